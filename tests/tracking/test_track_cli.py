"""track.py as people run it: the main ways as a process, errors and forms in this one."""

import csv
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from functools import partial

import cv2
import jax
import numpy as np
import pytest

import siamfc_jax
import track
from siamfc_jax.config import ModelConfig, TrackerConfig
from siamfc_jax.media import video
from siamfc_jax.network import model
from siamfc_jax.network.saved_models import Model, save_model

ROOT = pathlib.Path(track.__file__).parent
COUNT, HEIGHT, WIDTH = 6, 60, 82
BOX = "20,15,24,20"


def save_random_model(path, settings):
    """Made without running the initialiser, which would have to be compiled."""
    shapes = jax.eval_shape(partial(model.init_variables, config=settings), jax.random.key(0))
    rng = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: rng.normal(0.1, 0.1, leaf.shape).astype(np.float32) ** 2, shapes
    )
    save_model(path, Model(variables, settings, TrackerConfig(num_scales=1)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A clip of a patch that moves, and a tiny network of random weights."""
    root = tmp_path_factory.mktemp("track")
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    patch = rng.integers(0, 255, (20, 24, 3), np.uint8)
    (root / "images").mkdir()
    with video.video_writer(root / "clip.mp4", scene.shape, fps=10) as write:
        for number in range(COUNT):
            frame = scene.copy()
            frame[15 : 15 + 20, 20 + number : 20 + number + 24] = patch
            write(frame)
            half = cv2.resize(frame, (WIDTH // 2, HEIGHT // 2))
            cv2.imwrite(str(root / "images" / f"{number}.png"), half)
    settings = ModelConfig(width=0.02, first_kernel=7)
    save_random_model(root / "weights", settings)
    return root


@pytest.fixture
def run(folder, tmp_path, capfd):
    """Runs track.py in this process: (exit code, output, errors, rows of the csv)."""

    def run(*words, clip="clip.mp4", weights="weights", boxes="out.csv"):
        given = ["--video", folder / clip, "--weights", folder / weights]
        given += ["--boxes", tmp_path / boxes] if boxes else []
        code = track.main([str(word) for word in [*given, *words]])
        output, errors = capfd.readouterr()
        found = tmp_path / "out.csv"
        rows = list(csv.DictReader(found.read_text().splitlines())) if found.exists() else None
        return code, output, errors, rows

    return run


def boxes_of(rows):
    return np.array([[float(row[key]) for key in ("x", "y", "w", "h")] for row in rows])


def start(folder, *words):
    command = [sys.executable, ROOT / "track.py", "--weights", folder / "weights", *words]
    environment = os.environ | {  # the first process compiles for all
        "JAX_COMPILATION_CACHE_DIR": str(folder / "cache"),
    }
    return subprocess.Popen(
        [str(word) for word in command], env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def frames_in(path):
    return len(list(video.open_source(str(path)).frames))


def test_as_a_command(folder, tmp_path):
    process = start(
        folder, "--video", folder / "clip.mp4", "--box", BOX,
        "--output", tmp_path / "new" / "out.mp4", "--boxes", tmp_path / "new" / "out.csv",
    )  # fmt: skip
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert f"{COUNT} frames, " in output
    assert "a second tracking" in output
    assert "with reading and writing" in output
    assert f"wrote {tmp_path / 'new' / 'out.mp4'}" in output
    assert list((folder / "cache").glob("jit_step-*"))
    lines = (tmp_path / "new" / "out.csv").read_text().splitlines()
    assert lines[0] == "frame,x,y,w,h,score"
    assert lines[1] == "0,20.0,15.0,24.0,20.0,nan"
    assert [line.split(",")[0] for line in lines[1:]] == [str(n) for n in range(COUNT)]
    frames = [frame for _, frame in video.open_source(str(tmp_path / "new" / "out.mp4")).frames]
    assert len(frames) == COUNT
    assert frames[0].shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped_in_the_middle(folder, tmp_path, how):
    """What was tracked is on disk when the process is stopped or killed."""
    long = tmp_path / "long"
    long.mkdir()
    for number in range(3000):
        (long / f"{number}.png").symlink_to(folder / "images" / f"{number % COUNT}.png")
    found = tmp_path / "out.csv"
    process = start(
        folder, "--video", long, "--resize", f"{WIDTH}x{HEIGHT}", "--box", BOX,
        "--output", tmp_path / "out.mp4", "--boxes", found,
    )  # fmt: skip
    while process.poll() is None and (not found.exists() or found.read_text().count("\n") < 10):
        time.sleep(0.02)
    process.send_signal(how)
    output, errors = process.communicate(timeout=60)
    lines = found.read_text().splitlines()
    assert 10 <= len(lines) < 3000
    assert all(line.count(",") == 5 for line in lines)
    if how != signal.SIGKILL:
        assert process.returncode == 128 + how, errors
        assert f"stopped after {len(lines) - 1} frames" in output
        assert "Traceback" not in errors
        assert frames_in(tmp_path / "out.mp4") == len(lines) - 1


def test_box_alone_and_among_several(run):
    code, _, _, alone = run("--box", BOX)
    assert code == 0
    code, _, _, rows = run("--box", BOX, "--box", "50,20,15,15", "--name", "patch", "--name", "sky")
    assert code == 0
    assert [row["object"] for row in rows[:4]] == ["patch", "sky", "patch", "sky"]
    np.testing.assert_allclose(boxes_of(rows[::2]), boxes_of(alone), atol=2e-3)
    assert boxes_of(rows[1:2]).tolist() == [[50, 20, 15, 15]]


def test_images_range_and_json(run, tmp_path):
    code, *_ = run(
        "--box", BOX, "--start", 1, "--stop", 6, "--stride", 2, "--resize", f"{WIDTH}x{HEIGHT}",
        clip="images", boxes="out.json",
    )  # fmt: skip
    assert code == 0
    rows = json.loads((tmp_path / "out.json").read_text())
    assert [row["frame"] for row in rows] == [1, 3, 5]
    assert rows[0]["score"] is None
    assert isinstance(rows[1]["score"], float)
    assert (rows[0]["confidence"], rows[0]["lost"]) == (1, False)


def test_result_as_box_file(run, tmp_path):
    given = tmp_path / "given.csv"
    given.write_text("frame,object,x,y,w,h,score\n0,a,20,15,24,20,nan\n0,b,50,20,15,15,nan\n")
    code, _, _, rows = run("--box-file", given)
    assert code == 0
    assert [(row["object"], row["x"]) for row in rows[:2]] == [("a", "20.0"), ("b", "50.0")]


def test_chunks_give_what_single_frames_give(run, tmp_path):
    words = ["--box", BOX, "--box", "50,20,15,15", "--states", "--show-response", "--output"]
    _, _, _, rows = run(*words, tmp_path / "single.mp4")
    for chunk in (2, 3, 9):  # with a frame left over, without, and all left over
        code, _, _, found = run(*words, tmp_path / "chunk.mp4", "--chunk", chunk)
        assert code == 0
        assert [row["frame"] for row in found] == [row["frame"] for row in rows]
        assert [row["lost"] for row in found] == [row["lost"] for row in rows]
        sure = [[float(row["confidence"]) for row in part] for part in (found, rows)]
        np.testing.assert_allclose(*sure, atol=2e-3)
        np.testing.assert_allclose(boxes_of(found), boxes_of(rows), atol=2e-3)
        single, together = (
            np.stack([f for _, f in video.open_source(str(tmp_path / f"{name}.mp4")).frames])
            for name in ("single", "chunk")
        )
        assert np.abs(single.astype(int) - together).mean() < 1


def test_response(run, tmp_path):
    for name, words in (("plain", []), ("response", ["--show-response"])):
        code, *_ = run("--box", BOX, "--output", tmp_path / f"{name}.mp4", *words)
        assert code == 0
    plain, response = (
        [frame.astype(int) for _, frame in video.open_source(str(tmp_path / f"{name}.mp4")).frames]
        for name in ("plain", "response")
    )
    assert len(plain) == len(response) == COUNT
    assert np.abs(plain[-1] - response[-1]).mean() > 10


def test_debug_shows_exemplar_search_and_response_of_each_object(run, tmp_path, folder):
    words = ["--box", BOX, "--box", "50,20,15,15", "--debug", tmp_path / "debug.mp4"]
    code, output, *_ = run(*words, boxes=None)
    assert code == 0 and f"wrote {tmp_path / 'debug.mp4'}" in output
    frames = [frame for _, frame in video.open_source(str(tmp_path / "debug.mp4")).frames]
    assert len(frames) == COUNT and frames[0].shape == (552, 638, 3)
    for exemplar in (slice(21, 148), slice(297, 424)):
        still = np.abs(frames[0][exemplar, :127].astype(int) - frames[-1][exemplar, :127]).mean()
        assert still < 3 and frames[0][exemplar, :127].std() > 20
    # In the first frame the exemplar lies in the middle of the search.
    middle = frames[0][85 : 85 + 127, 127 + 64 : 127 + 64 + 127].astype(int)
    assert np.abs(middle - frames[0][21:148, :127]).mean() < 8


@pytest.mark.parametrize(
    "words, message",
    [
        (["--box", "1,2,3"], "a box is X,Y,W,H in pixels, got '1,2,3'"),
        (["--box", "20,15,0,20"], "must have positive width and height in pixels, got 20,15"),
        (["--box", "90,15,9,9"], "box must have its centre inside the frame of 82 x 60 pixels"),
        (["--box", BOX, "--name", "a", "--name", "b"], "1 boxes need as many names"),
        (
            ["--box", BOX, "--box", BOX, "--name", "a", "--name", "a"],
            "frame 0 has two boxes of 'a'",
        ),
        (["--box-file", "none.csv"], "cannot read none.csv: No such file"),
        (["--box", BOX, "--start", "99"], "has no frame 99"),
        (["--box", BOX, "--chunk", "0"], "--chunk must be at least 1, got 0"),
        (["--box", BOX, "--chunk", "1000000000"], "--chunk 1000000000 needs 59040.0 GB of memory"),
        (["--box", BOX, "--resize", "99999x99999"], "--resize 99999x99999 needs 240.0 GB of mem"),
        (["--box", "50,30,1e-38,1e-38"], "box must have sides of 0.01 to 8200 pixels"),
        (["--box", BOX, "--context", "1e30"], "context must lie in [0, 10], got 1e+30"),
        (["--box", BOX, "--num-scales", "2"], "num_scales must be odd and lie in 1..99, got 2"),
        (["--box", BOX, "--output", "out.avi"], "out.avi must end in .mp4"),
        (["--box", BOX, "--output", "/dev/null/out.mp4"], "cannot write /dev/null/out.mp4"),
        (["--box", BOX, "--boxes", "/dev/null/out.csv"], "cannot write /dev/null/out.csv"),
        (["--box", BOX, "--boxes", "/dev/full", "--format", "csv"], "No space left on device"),
        (["--box", BOX, "--boxes", "out.xyz"], "out.xyz must end in .csv, .json or .txt"),
    ],
)
def test_errors_are_one_line(run, words, message):
    code, output, errors, _ = run(*words)
    assert code == 2
    assert errors.startswith("error: ")
    assert message in errors
    assert errors.count("\n") == 1
    assert not output


@pytest.mark.parametrize("flag", ["--select", "--show"])
def test_window_without_display(run, monkeypatch, flag):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    code, _, errors, _ = run(*([flag] if flag == "--select" else [flag, "--box", BOX]))
    assert code == 2
    assert errors.startswith("error: no display for a window; give the object with --box")


def test_nowhere_to_write(run):
    code, _, errors, _ = run("--box", BOX, boxes=None)
    assert code == 2
    assert errors == "error: nowhere to put the result; give --output, --boxes or --show\n"


def test_bad_sources(run, folder):
    for clip, message in [
        ("none.mp4", "no file"),
        ("weights/config.json", "expected a video that FFmpeg can decode"),
    ]:
        code, _, errors, rows = run("--box", BOX, clip=clip)
        assert code == 2
        assert errors.startswith("error: ")
        assert message in errors
        assert errors.count("\n") == 1
        assert rows is None


def test_bad_weights(run, folder):
    code, _, errors, _ = run("--box", BOX, weights="none")
    assert code == 2
    assert "error: no model at" in errors
    other = folder / "other"
    wide = ModelConfig(width=0.05, first_kernel=7)
    save_random_model(other, wide)
    (other / "config.json").write_text((folder / "weights" / "config.json").read_text())
    code, _, errors, _ = run("--box", BOX, weights="other")
    assert code == 2
    assert "is another network than its config.json says" in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize("chunk", [1, 4])
def test_damaged_frame_loses_nothing(run, folder, tmp_path, chunk):
    images = tmp_path / "images"
    images.mkdir()
    for number in range(3):
        data = (folder / "images" / f"{number}.png").read_bytes()
        (images / f"{number}.png").write_bytes(data if number < 2 else data[:40])
    words = ["--box", BOX, "--resize", f"{WIDTH}x{HEIGHT}", "--output", tmp_path / "out.mp4"]
    code, _, errors, rows = run(*words, "--chunk", chunk, clip=images)
    assert code == 2
    assert errors.startswith(f"error: cannot read image {images / '2.png'}")
    assert len(rows) == 2
    assert frames_in(tmp_path / "out.mp4") == 2


def test_ctrl_c_before_the_first_frame(run, monkeypatch):
    def interrupted(*words):
        raise KeyboardInterrupt

    monkeypatch.setattr(siamfc_jax, "load_model", interrupted)
    code, output, errors, _ = run("--box", BOX)
    assert (code, output, errors) == (130, "", "stopped before the first frame was tracked\n")
