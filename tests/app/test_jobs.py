"""The queue of clips; test_page.py really tracks."""

import concurrent.futures
import csv
import types

import cv2
import mirrored_scene
import numpy as np
import pytest
import tiny_networks

import track
from siamfc_jax.app import exports, frames, jobs, projects
from siamfc_jax.config import TrackerConfig
from siamfc_jax.media import video
from siamfc_jax.network.saved_models import Model, load_model, save_model
from siamfc_jax.tracking import tracker


class Worker:
    """A worker that never comes to anything by itself."""

    def submit(self, work, *args, **settings):
        return concurrent.futures.Future()


def clip(path="/secret/clip"):
    return jobs.Clip("folder", path, (60, 81, 3), 10, 30.0, None, None)


def test_queue():
    clips = [clip() for _ in range(jobs.MAX_WAITING + 1)]
    for one in clips[:-1]:
        jobs.begin(Worker(), one, [], clips, None)
    with pytest.raises(ValueError, match="4 videos wait already; try again when one is done"):
        jobs.begin(Worker(), clips[-1], [], clips, None)
    with pytest.raises(ValueError, match="this video is being tracked; stop that first"):
        jobs.begin(Worker(), clips[0], [], clips, None)
    jobs.cancel(clips[0])
    assert clips[0].run.phase == "stopped"
    jobs.begin(Worker(), clips[-1], [], clips, None)
    assert [jobs.active(one) for one in clips] == [False, True, True, True, True]


def test_failure_is_told_without_the_place_of_the_file():
    one = clip()
    jobs.begin(Worker(), one, [], [one], None)
    one.run.future.set_exception(ValueError("cannot decode /secret/clip beyond 3\nmore"))
    assert one.run.phase == "failed"
    assert one.run.error == "cannot decode this video beyond 3"


def test_clip_that_cannot_be_opened():
    def open_source(path):
        raise ValueError(f"cannot read {path}; expected a video")

    with pytest.raises(ValueError, match=r"^cannot read this video; expected a video$"):
        jobs.open_clip("folder", "/secret/clip", open_source=open_source)


def test_frames_are_counted_where_the_video_does_not_say_how_many_there_are():
    def open_source(path, start=0):
        listed = ((n, np.zeros((4, 6, 3), np.uint8)) for n in range(start, 7))
        return types.SimpleNamespace(frames=listed, fps=5.0, length=None)

    assert jobs.open_clip("folder", "clip", open_source=open_source).count == 7


def test_any_frame_by_its_number(monkeypatch):
    opened = []

    def open_frames(start):
        opened.append(start)
        return ((n, np.full((8, 8, 3), n, np.uint8)) for n in range(start, 200))

    plain = {n: frames.encode(np.full((8, 8, 3), n, np.uint8)) for n in range(200)}
    monkeypatch.setattr(frames, "CACHE_BYTES", 30 * len(plain[0]))
    monkeypatch.setattr(frames, "KEPT", frames.Kept())
    reader = frames.FrameReader(open_frames)
    for number in (0, 5, 4, 150, 149, 140, 199, 0):
        assert reader.jpeg(number) == plain[number]
    assert opened == [0, 126, 0]  # 149 and 140 were kept, as BACK frames before 150 are read
    with pytest.raises(ValueError, match="the video has no frame 200"):
        reader.jpeg(200)
    assert reader.jpeg(1) == plain[1]


def test_all_videos_together_keep_so_many_frames(monkeypatch):
    opened = []

    def reader_of(name, value):
        def open_frames(start):
            opened.append(name)
            return ((n, np.full((8, 8, 3), value + n, np.uint8)) for n in range(start, 100))

        return frames.FrameReader(open_frames)

    size = len(frames.encode(np.zeros((8, 8, 3), np.uint8)))
    monkeypatch.setattr(frames, "CACHE_BYTES", 20 * size)
    monkeypatch.setattr(frames, "KEPT", frames.Kept())
    one, two = reader_of("one", 0), reader_of("two", 100)
    first = one.jpeg(0)
    one.jpeg(9)
    assert two.jpeg(4) != one.jpeg(0) == first and opened == ["one", "two"]
    two.jpeg(40)  # now all of one are gone
    assert one.jpeg(0) == first and opened == ["one", "two", "one"]
    two.close()
    one.jpeg(18)  # 19 frames, in the room that two left
    one.jpeg(0)
    assert opened == ["one", "two", "one"]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Images of a scene that moves, and a network that sees pixels."""
    root = tmp_path_factory.mktemp("scenes")
    (root / "images").mkdir()
    for number in range(8):
        frame = np.asarray(mirrored_scene.scene(8 * number, -8 * number, noise=20))
        cv2.imwrite(str(root / "images" / f"{number}.png"), frame[..., ::-1])
    settings = TrackerConfig(num_scales=1, window_influence=0.0)
    save_model(root / "model", Model(tiny_networks.pixels(170.0), tiny_networks.CONFIG, settings))
    return root


def test_page_and_command_give_equal_boxes(scenes, tmp_path):
    def box(number, aside=0):
        return (mirrored_scene.BOX + [8 * number + aside, -8 * number, 0, 0]).tolist()

    drawn = {(1, 1): box(1), (1, 5): box(5, 6)}
    anna = projects.Object(1, "anna", "#ff0000", False)
    project = projects.Project((anna,), drawn, frozenset({(1, 7)}))
    one = jobs.open_clip(tmp_path, str(scenes / "images"), open_source=video.open_source)
    one.project = project
    model = load_model(scenes / "model")

    def load():
        return tracker.prepare(model), model.tracker_config

    with concurrent.futures.ThreadPoolExecutor(1) as worker:
        parts = jobs.choose_spans(project, {"direction": "all", "backward": True})
        jobs.begin(worker, one, parts, [one], load)
    assert (one.run.phase, one.run.error) == ("done", "")
    assert one.run.done == one.run.total
    by_page = read_csv(exports.write("csv", one, tmp_path))

    words = ["--video", scenes / "images", "--weights", scenes / "model", "--backward"]
    for (_, frame), numbers in drawn.items():
        words += [f"--box={frame}:{','.join(map(str, numbers))}", "--name", "anna"]
    words += ["--end", "7:anna", "--boxes", tmp_path / "command.csv"]
    assert track.main([str(word) for word in words]) == 0
    by_command = read_csv(tmp_path / "command.csv")
    assert list(by_page) == [(str(n), "anna") for n in range(7)]
    assert by_page == by_command


def read_csv(path):
    """Returns (frame, object) -> box, confidence, lost, key of a csv."""
    rows = csv.DictReader(path.read_text().splitlines())
    fields = ("x", "y", "w", "h", "confidence", "lost", "key")
    return {(row["frame"], row["object"]): [float(row[name]) for name in fields] for row in rows}
