"""`siamfc track` with objects that come and go."""

import csv

import cv2
import numpy as np
import pytest
import tiny_networks
from mirrored_scene import BOX, scene

import track
from siamfc_jax.annotation import cvat, key_files
from siamfc_jax.app import window
from siamfc_jax.config import TrackerConfig
from siamfc_jax.media import drawing
from siamfc_jax.network.saved_models import Model, save_model

COUNT = 8


def true_box(number):
    return BOX + [8 * number, -8 * number, 0, 0]


def word(number):
    return f"{number}:{','.join(map(str, true_box(number)))}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images of a scene that moves, and a network that sees pixels."""
    root = tmp_path_factory.mktemp("jobs")
    (root / "images").mkdir()
    for number in range(COUNT):
        frame = np.asarray(scene(8 * number, -8 * number))
        cv2.imwrite(str(root / "images" / f"{number}.png"), frame[..., ::-1])
    settings = TrackerConfig(num_scales=1, window_influence=0.0)
    save_model(root / "model", Model(tiny_networks.pixels(170.0), tiny_networks.CONFIG, settings))
    return root


@pytest.fixture
def run(folder, tmp_path, capfd):
    """Runs track.py in this process: (exit code, output, errors, rows of the csv)."""

    def run(*words, video="images", boxes="out.csv"):
        given = ["--video", folder / video, "--weights", folder / "model"]
        given += ["--boxes", tmp_path / boxes]
        code = track.main([str(word) for word in [*given, *words]])
        output, errors = capfd.readouterr()
        found = tmp_path / "out.csv"
        rows = list(csv.DictReader(found.read_text().splitlines())) if found.exists() else []
        return code, output, errors, rows

    return run


ANNA = ["--box", word(1), "--name", "anna", "--box", word(4), "--name", "anna"]


def test_key_boxes_an_end_and_the_summary(run):
    code, output, errors, rows = run(*ANNA, "--end", "6:anna")
    assert code == 0, errors
    assert [(int(row["frame"]), row["key"]) for row in rows] == [
        (1, "1"), (2, "0"), (3, "0"), (4, "1"), (5, "0"),
    ]  # fmt: skip
    for row in rows:
        box = [float(row[name]) for name in "xywh"]
        np.testing.assert_allclose(box, true_box(int(row["frame"])), atol=0.6)
    assert "8 frames" in output
    assert "anna: frames 1-5, 2 key boxes, never lost" in output


def test_backward_reaches_the_begin(run):
    _, _, errors, rows = run("--box", word(5), "--name", "anna", "--backward")
    assert [int(row["frame"]) for row in rows] == list(range(COUNT)), errors
    for row in rows:
        box = [float(row[name]) for name in "xywh"]
        np.testing.assert_allclose(box, true_box(int(row["frame"])), atol=0.6)


def test_every_second_frame_in_both_directions(run):
    words = ["--start", "1", "--stride", "2", "--box", word(3), "--box", word(7), "--backward"]
    _, output, errors, rows = run(*words, "--name", "a", "--name", "a")
    assert [int(row["frame"]) for row in rows] == [1, 3, 5, 7], errors
    assert "a: frames 1-7, 2 key boxes" in output


def test_cvat_goes_out_and_its_key_boxes_come_in_again(run, tmp_path):
    code, _, errors, _ = run(*ANNA, "--end", "6:anna", boxes="out.xml")
    assert code == 0, errors
    clip, (found,), ends = cvat.read(tmp_path / "out.xml")
    assert (clip.width, clip.height) == scene(0, 0).shape[1::-1]
    assert [mark.frame for mark in found.marks if mark.key] == [1, 4]
    assert ends == [(6, "anna")]
    _, _, errors, rows = run("--box-file", tmp_path / "out.xml")
    assert [int(row["frame"]) for row in rows if row["key"] == "1"] == [1, 4], errors
    assert [int(row["frame"]) for row in rows] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("name", ["out.csv", "out.json"])
def test_a_round_trip_keeps_key_boxes_and_ends(run, tmp_path, name):
    words = [*ANNA, "--end", "3:anna", "--end", "6:anna"]
    code, _, errors, _ = run(*words, boxes=name)
    assert code == 0, errors
    before = (tmp_path / name).read_text()
    (tmp_path / name).rename(tmp_path / f"in-{name}")
    code, _, errors, _ = run("--box-file", tmp_path / f"in-{name}", boxes=name)
    assert code == 0, errors
    assert (tmp_path / name).read_text() == before
    found = key_files.read_keys(tmp_path / name)
    assert [key.frame for key in found.keys] == [1, 4]
    assert found.ends == [(3, "anna"), (6, "anna")]


def test_a_finished_csv_begins_anew_and_says_so(run, tmp_path):
    lines = ["frame,object,x,y,w,h"]
    lines += [f"{n},a," + ",".join(map(str, true_box(n))) for n in range(2, 6)]
    (tmp_path / "in.csv").write_text("\n".join(lines))
    _, output, errors, rows = run("--box-file", tmp_path / "in.csv")
    assert [row["frame"] for row in rows if row["key"] == "1"] == ["2"]
    assert "1 key boxes; the other 3 boxes are not used, give --key-frames" in errors
    _, output, errors, rows = run("--box-file", tmp_path / "in.csv", "--key-frames")
    assert "a: frames 2-7, 4 key boxes" in output


class Screen:
    """A window in which a person presses q after some frames."""

    def __init__(self, patience=99):
        self.patience, self.seen = patience, []

    def __call__(self, *, is_fixed, is_given):
        assert is_given
        return self

    def look(self, frame, number, tracked, names, colors):
        assert frame.shape == scene().shape
        self.seen.append((number, tracked[0], dict(zip(names, colors, strict=True))))
        return len(self.seen) < self.patience


def test_show_tells_what_both_passes_see(run, monkeypatch):
    monkeypatch.setattr(window, "Window", screen := Screen())
    code, _, errors, _ = run(*ANNA, "--show")
    assert code == 0, errors
    assert [number for number, *_ in screen.seen] == [4, 3, 2, 1, *range(COUNT)]
    for number, boxes, _ in screen.seen:
        for box in boxes:
            np.testing.assert_allclose(box, true_box(number), atol=0.6)


def test_q_ends_and_keeps_what_was_written(run, monkeypatch):
    # Four frames of the backward pass, then 0 to 2 forward.
    monkeypatch.setattr(window, "Window", Screen(patience=7))
    code, output, errors, rows = run(*ANNA, "--show")
    assert code == 0, errors
    assert [row["frame"] for row in rows] == ["1", "2"]
    assert output.startswith("3 frames")
    monkeypatch.setattr(window, "Window", Screen(patience=2))
    code, output, errors, rows = run(*ANNA, "--show")
    assert code == 0, errors
    assert rows == [] and output.startswith("0 frames")


def test_an_object_keeps_its_colour_when_another_has_gone(run, monkeypatch, tmp_path):
    monkeypatch.setattr(window, "Window", screen := Screen())
    drawn, draw = [], drawing.draw

    def spy(frame, boxes, confidences, lost, names, *, colors):
        drawn.append(dict(zip(names, colors, strict=True)))
        return draw(frame, boxes, confidences, lost, names, colors=colors)

    monkeypatch.setattr(drawing, "draw", spy)
    words = ["--box", word(0), "--box", word(3), "--name", "a", "--name", "b", "--end", "3:a"]
    code, _, errors, _ = run(*words, "--output", tmp_path / "out.mp4", "--show")
    assert code == 0, errors
    orange, blue = drawing.COLORS[:2]
    wanted = [{"a": orange}] * 3 + [{"b": blue}] * (COUNT - 3)
    assert drawn == wanted
    assert [colors for *_, colors in screen.seen] == wanted


def test_yolo_is_a_folder(run, tmp_path):
    code, _, errors, _ = run(*ANNA, "--format", "yolo", boxes="set")
    assert code == 0, errors
    lines = (tmp_path / "set" / "labels" / "train" / "images_000004.txt").read_text().split()
    height, width = scene(0, 0).shape[:2]
    x, y, w, h = true_box(4)
    wanted = [0, (x + w / 2) / width, (y + h / 2) / height, w / width, h / height]
    np.testing.assert_allclose([float(field) for field in lines], wanted, atol=1e-4)


@pytest.mark.parametrize(
    "words, message",
    [
        (["--box", "x:1,2,3,4"], "a box of a later frame is FRAME:X,Y,W,H, got 'x:1,2,3,4'"),
        (["--box", word(1), "--end", "3"], "an end is FRAME:NAME, such as 300:anna, got '3'"),
        (["--box", word(1), "--end", "3:b"], "'b' ends at frame 3, but has no box before it"),
        (["--box", word(99)], "ends before frame 99, which has a box of '1'"),
        (["--box", word(3), "--stride", "2"], "frame 3 has a box of '1', but is not among the fr"),
        (["--box", word(1), "--chunk", "2"], "--chunk goes with boxes of the first frame alone"),
        (["--box", word(1), "--debug", "d.mp4"], "--debug does not go with boxes of later frames"),
        (["--box", word(1), "--key-frames"], "--key-frames is about the boxes of a file"),
        (["--box", "1:9999,1,5,5"], "box"),
    ],
)
def test_errors_are_one_line(run, words, message):
    code, _, errors, _ = run(*words)
    assert code == 2 and message in errors and "Traceback" not in errors
