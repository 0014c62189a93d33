"""The tracker in C++ gives the boxes of the tracker in Python, where it can be built."""

import csv
import dataclasses
import pathlib
import shutil
import subprocess
import sys

import cv2
import pytest

pytest.importorskip("onnx", reason="needs pip install -r requirements-export.txt")
pytest.importorskip("onnxruntime", reason="needs pip install -r requirements-export.txt")

import exported

from siamfc_jax.export import checks
from siamfc_jax.tracking import siamfc_onnx

RUNTIMES = pathlib.Path(__file__).parents[2] / "runtimes"
PACKAGE = ["pkg-config", "--cflags", "opencv4"]

if not shutil.which("g++") or not shutil.which("pkg-config"):
    pytest.skip("needs g++ and pkg-config", allow_module_level=True)
FOUND = subprocess.run(PACKAGE, capture_output=True, text=True)
if FOUND.returncode:
    pytest.skip("needs OpenCV for C++, apt-get install libopencv-dev", allow_module_level=True)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The program, built by the line at its head, every warning an error."""
    place = tmp_path_factory.mktemp("cpp") / "siamfc"
    libraries = [f"-lopencv_{name}" for name in ("core", "dnn", "imgcodecs", "videoio")]
    command = ["g++", "-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror"]
    command += [str(RUNTIMES / "cpp/siamfc.cpp"), "-o", str(place), *FOUND.stdout.split()]
    built = subprocess.run([*command, *libraries], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return place


def boxes(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return list(csv.DictReader(done.stdout.splitlines()))


@pytest.mark.parametrize("scales_on", ["search", "peak"])
def test_boxes_are_those_of_the_python_runtime(program, tmp_path, scales_on):
    settings = dataclasses.replace(exported.shipped().tracker_config, scales_on=scales_on)
    folder = exported.write(tmp_path / "model", exported.shipped(), settings)
    clip, box = checks.make_clip(10)
    clip = [frame[45:, 35:] for frame in clip]  # the object is cut off
    for number, frame in enumerate(clip):
        assert cv2.imwrite(str(tmp_path / f"{number:04d}.png"), frame[:, :, ::-1])
    given = ",".join(f"{value:g}" for value in box - [35, 45, 0, 0])
    images = tmp_path / "%04d.png"
    ours = boxes(program, folder, images, given)
    theirs = boxes(
        sys.executable, siamfc_onnx.__file__, folder, "--video", images, "--box=" + given
    )
    assert len(ours) == len(theirs) == 10
    for one, other in zip(ours[1:], theirs[1:], strict=True):
        for key in ("x", "y", "w", "h"):
            assert float(one[key]) == pytest.approx(float(other[key]), abs=0.05)
        for key in ("score", "confidence", "lost"):
            assert float(one[key]) == pytest.approx(float(other[key]), abs=0.002)


def test_errors(program, tmp_path):
    for words, message in [
        ((tmp_path, "none.mp4", "1,2,3,4"), f"error: no manifest.json in {tmp_path}; write it: "),
        ((tmp_path, "none.mp4", "1,2,3"), "usage: "),
    ]:
        done = subprocess.run([program, *words], capture_output=True, text=True)
        assert done.returncode == 2
        assert done.stderr.startswith(message), done.stderr
