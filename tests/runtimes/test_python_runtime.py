"""The tracker of one file, without JAX, beside the tracker it was exported from."""

import csv
import dataclasses
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs pip install -r requirements-export.txt")
pytest.importorskip("onnxruntime", reason="needs pip install -r requirements-export.txt")

import exported

from siamfc_jax.export import checks
from siamfc_jax.media import video
from siamfc_jax.tracking import siamfc_onnx as runtime
from siamfc_jax.tracking.tracker import Tracker

PROGRAM = pathlib.Path(runtime.__file__)
CLIP, BOX = checks.make_clip(12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The shipped network, exported with its settings."""
    place = tmp_path_factory.mktemp("runtime") / "search"
    return exported.write(place, exported.shipped(), exported.shipped().tracker_config)


def compare(folder, settings, clip, box):
    """Follows a clip with both; returns the largest differences of boxes and confidences."""
    ours, live = runtime.Tracker(folder), Tracker(exported.shipped(), settings)
    ours.init(clip[0], box)
    live.init(clip[0], box)
    of_boxes, of_confidences = [], []
    for frame in clip[1:]:
        (here, score), (there, expected) = ours.update(frame), live.update(frame)
        assert score == pytest.approx(expected, abs=1e-3)
        assert ours.lost == live.lost
        of_boxes.append(np.abs(here - there).max())
        of_confidences.append(abs(ours.confidence - live.confidence))
    return max(of_boxes), max(of_confidences)


def test_boxes_are_those_of_the_live_tracker(folder):
    boxes, confidences = compare(folder, exported.shipped().tracker_config, CLIP, BOX)
    assert boxes < 0.05 and confidences < 1e-3


def test_scale_at_the_peak(tmp_path):
    settings = dataclasses.replace(
        exported.shipped().tracker_config, scales_on="peak", scale_rate=0.9
    )
    place = exported.write(tmp_path / "peak", exported.shipped(), settings)
    # Cut off on the left and above, so that the colour outside the frame counts.
    clip = [frame[45:, 35:] for frame in CLIP]
    boxes, confidences = compare(place, settings, clip, BOX - [35, 45, 0, 0])
    assert boxes < 0.05 and confidences < 1e-3


def test_an_object_that_goes_is_lost(folder):
    """As the live tracker says it, at the same frame; `compare` looks at each."""
    gone = np.random.default_rng(0).integers(100, 140, CLIP[0].shape, np.uint8)
    compare(folder, exported.shipped().tracker_config, [*CLIP[:3], *[gone] * 4], BOX)
    tracker = runtime.Tracker(folder)
    tracker.init(CLIP[0], BOX)
    for frame in [gone] * 4:
        tracker.update(frame)
    assert tracker.lost and tracker.confidence < exported.shipped().tracker_config.lost_below


def run(*words):
    command = [sys.executable, str(PROGRAM), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True)


def test_command_writes_boxes(folder, tmp_path):
    with video.video_writer(tmp_path / "clip.mp4", CLIP[0].shape, fps=10) as write:
        for frame in CLIP[:4]:
            write(frame)
    given = "30,40,40,50"
    done = run(
        folder, "--video", tmp_path / "clip.mp4", "--box", given, "--boxes", tmp_path / "b.csv"
    )
    assert (done.returncode, done.stderr) == (0, "")
    rows = list(csv.DictReader((tmp_path / "b.csv").read_text().splitlines()))
    assert [row["frame"] for row in rows] == ["0", "1", "2", "3"]
    assert [float(rows[0][key]) for key in "xywh"] == [30, 40, 40, 50]
    # The patch moves by 3 px a frame to the right and by 1 px downwards.
    assert [float(rows[3][key]) for key in "xy"] == pytest.approx([39, 43], abs=2)
    assert rows[3]["lost"] == "0" and float(rows[3]["confidence"]) > 0.5


def test_needs_no_jax(folder):
    code = f"""import sys; sys.path.insert(0, {str(PROGRAM.parent)!r})
import numpy, siamfc_onnx
tracker = siamfc_onnx.Tracker({str(folder)!r})
tracker.init(numpy.zeros((90, 90, 3), numpy.uint8), [10, 10, 30, 30])
assert not {{"jax", "flax", "cv2"}} & set(sys.modules)"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_errors(folder, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(folder, changed)
    (changed / "search.onnx").write_bytes(b"other")
    for words, message in [
        (
            (tmp_path, "--box", "1,2,3,4"),
            f"no manifest.json in {tmp_path}; write it: siamfc",
        ),
        ((changed, "--box", "1,2,3,4"), "search.onnx is not the file of its manifest"),
        ((folder, "--box", "1,2,3"), "--box must be four numbers x,y,w,h, got 1,2,3"),
    ]:
        done = run(*words, "--video", tmp_path / "no.mp4")
        assert done.returncode == 2
        assert done.stderr.startswith("error: ") and message in done.stderr
