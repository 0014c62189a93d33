"""The queue of clips; test_page.py really tracks."""

import concurrent.futures
import types

import numpy as np
import pytest

from siamfc_jax.app import frames, jobs


class Worker:
    """A worker that never comes to anything by itself."""

    def submit(self, work, *args, **settings):
        return concurrent.futures.Future()


def clip(path="/secret/clip"):
    return jobs.Clip("folder", path, (60, 81, 3), 10, 30.0, None)


def test_queue():
    clips = [clip() for _ in range(jobs.MAX_WAITING + 1)]
    for one in clips[:-1]:
        jobs.begin(Worker(), one, [], clips)
    with pytest.raises(ValueError, match="4 videos wait already; try again when one is done"):
        jobs.begin(Worker(), clips[-1], [], clips)
    with pytest.raises(ValueError, match="this video is being tracked; stop that first"):
        jobs.begin(Worker(), clips[0], [], clips)
    jobs.cancel(clips[0])
    assert clips[0].run.phase == "stopped"
    jobs.begin(Worker(), clips[-1], [], clips)
    assert [jobs.active(one) for one in clips] == [False, True, True, True, True]


def test_failure_is_told_without_the_place_of_the_file():
    one = clip()
    jobs.begin(Worker(), one, [], [one])
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
        return types.SimpleNamespace(frames=listed, fps=5.0, count=None)

    assert jobs.open_clip("folder", "clip", open_source=open_source).count == 7


def test_any_frame_by_its_number(monkeypatch):
    opened = []

    def open_frames(start):
        opened.append(start)
        return ((n, np.full((8, 8, 3), n, np.uint8)) for n in range(start, 200))

    plain = {n: frames.encode(np.full((8, 8, 3), n, np.uint8)) for n in range(200)}
    monkeypatch.setattr(frames, "CACHE_BYTES", 30 * len(plain[0]))
    reader = frames.FrameReader(open_frames)
    for number in (0, 5, 4, 150, 149, 140, 199, 0):
        assert reader.jpeg(number) == plain[number]
    assert opened == [0, 126, 0]  # 149 and 140 were kept, as BACK frames before 150 are read
    with pytest.raises(ValueError, match="the video has no frame 200"):
        reader.jpeg(200)
    assert reader.jpeg(1) == plain[1]
