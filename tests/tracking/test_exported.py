"""The commands with an exported model as their weights: without JAX, with the same boxes."""

import csv
import functools
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs pip install -r requirements-export.txt")
pytest.importorskip("onnxruntime", reason="needs pip install -r requirements-export.txt")

import cv2
import exported as made
import tiny_networks

from siamfc_jax.app import live
from siamfc_jax.commands import shell
from siamfc_jax.config import TrackerConfig
from siamfc_jax.export import checks
from siamfc_jax.network.saved_models import Model, load_model, save_model
from siamfc_jax.tracking import exported

LOADED = Model(tiny_networks.variables(), tiny_networks.CONFIG, TrackerConfig())
CLIP, BOX = checks.make_clip(5, height=150, width=130)
BOXES = np.stack([BOX, BOX + [15, 20, -8, 4]]).astype(np.float32)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The same model as a model folder and as an export, with a sequence of OTB's layout."""
    root = tmp_path_factory.mktemp("exported")
    save_model(root / "model", LOADED)
    made.write(root / "export", LOADED, LOADED.tracker_config)
    (root / "otb/Deer/img").mkdir(parents=True)
    for number, frame in enumerate(CLIP, start=1):
        assert cv2.imwrite(str(root / f"otb/Deer/img/{number:04d}.png"), frame[:, :, ::-1])
    (root / "otb/Deer/groundtruth_rect.txt").write_text("31,41,40,50\n" * len(CLIP))
    return root


def track(root, weights, *words):
    """Returns the words of the command that follows both objects."""
    given = [f"--box={','.join(f'{value:g}' for value in box)}" for box in BOXES]
    place = ["--video", str(root / "otb/Deer/img"), "--weights", str(root / weights)]
    return ["track", *place, *given, *map(str, words)]


def test_track_follows_an_export_without_jax(root, tmp_path):
    out = tmp_path / "export.csv", tmp_path / "model.csv"
    words = track(root, "export", "--boxes", out[0], "--output", tmp_path / "out.mp4", "--states")
    code = f"""import sys
from siamfc_jax.commands import shell
assert shell.main({words!r}) == 0
assert not {{"jax", "flax", "orbax"}} & set(sys.modules)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "5 frames, " in done.stdout and (tmp_path / "out.mp4").stat().st_size > 1000
    assert shell.main(track(root, "model", "--boxes", out[1], "--states")) == 0
    here, there = (list(csv.DictReader(path.read_text().splitlines())) for path in out)
    assert len(here) == len(there) == 2 * len(CLIP)
    for one, other in zip(here, there, strict=True):
        assert one["frame"] == other["frame"] and one["lost"] == other["lost"]
        for key in ("x", "y", "w", "h", "score", "confidence"):
            assert float(one[key]) == pytest.approx(float(other[key]), abs=0.01, nan_ok=True)


def test_objects_are_added_while_others_are_followed(root):
    """As the window does it: the second object begins in the third frame."""
    follow = functools.partial(exported.follow, root / "export")
    nothing = live.Orders(True, False, np.zeros((0, 4), np.float32))
    orders = {2: live.Orders(True, True, BOXES[1:])}

    def watch(found):
        return orders.get(found.number, nothing)

    results = list(live.follow(follow, enumerate(CLIP), BOXES[:1], watch=watch))
    assert [len(result.boxes) for result in results] == [1, 1, 2, 2, 2]
    np.testing.assert_array_equal(results[2].boxes[1], BOXES[1])
    alone = list(follow(iter(list(enumerate(CLIP))[2:]), BOXES[1]))
    np.testing.assert_array_equal(results[4].boxes[1], alone[2].boxes)
    assert alone[2].boxes.shape == (4,) and np.isnan(alone[0].scores)


@pytest.mark.usefixtures("no_pictures")
def test_evaluate_takes_an_export(root, tmp_path):
    for weights in ("export", "model"):
        words = ["--data", root / "otb", "--weights", root / weights]
        assert shell.main(["evaluate", *words, "--output", tmp_path / weights]) == 0
    boxes, expected, lost, expected_lost = (
        np.loadtxt(tmp_path / weights / name, delimiter=",")
        for name in ("Deer.txt", "scores/Deer_lost.txt")
        for weights in ("export", "model")
    )
    np.testing.assert_allclose(boxes, expected, atol=0.01)
    np.testing.assert_array_equal(lost, expected_lost)


@pytest.mark.usefixtures("no_pictures")
def test_results_of_an_export_are_not_mixed_with_others(root, tmp_path, capsys):
    words = ["--data", root / "otb", "--output", tmp_path, "--weights"]
    assert shell.main(["evaluate", *words, root / "export"]) == 0
    assert shell.main(["evaluate", *words, root / "model"]) == 2
    assert "holds results of another run" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, message",
    [
        (("--scale-rate", ".3"), "--scale-rate is part of an export; export again with it"),
        (("--debug", "d.mp4"), "--debug shows the inside of a network in JAX; give the model"),
        (("--chunk", "2"), "--chunk is for a network in JAX; leave it out with an export"),
        (("--backward",), "is an export, which siamfc track follows from the first frame on"),
    ],
)
def test_flags_that_an_export_refuses(root, tmp_path, capsys, words, message):
    assert shell.main(track(root, "export", "--boxes", tmp_path / "out.csv", *words)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1


def test_evaluate_refuses_settings_for_an_export(root, tmp_path, capsys):
    words = ["--data", root / "otb", "--weights", root / "export", "--output", tmp_path]
    assert shell.main(["evaluate", *words, "--num-scales", "5"]) == 2
    assert "--num-scales is part of an export" in capsys.readouterr().err


def test_an_export_is_no_model(root):
    with pytest.raises(ValueError, match="is an export, which siamfc track follows"):
        load_model(root / "export")


def test_an_archive_takes_an_export(root, tmp_path):
    box = ",".join(f"{value:g}" for value in BOXES[0])
    (tmp_path / "jobs.csv").write_text(f'source,boxes\n{root}/otb/Deer/img,"{box}"\n')
    words = ["track", "--weights", str(root / "export")]
    many = ["--manifest", tmp_path / "jobs.csv", "--output", tmp_path]
    assert shell.main([*words, *map(str, many)]) == 0
    one = ["--video", root / "otb/Deer/img", "--box", box, "--boxes", tmp_path / "one.csv"]
    assert shell.main([*words, *map(str, one)]) == 0
    assert (tmp_path / "img.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()
