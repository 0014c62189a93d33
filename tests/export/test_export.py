"""What the export writes does what the live model does, and what does not is not written."""

import hashlib
import json
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
import tiny_networks

pytest.importorskip("onnx", reason="needs pip install -r requirements-export.txt")
pytest.importorskip("onnxruntime", reason="needs pip install -r requirements-export.txt")

import onnx
import onnxruntime

from siamfc_jax.commands import shell
from siamfc_jax.config import TrackerConfig
from siamfc_jax.export import checks, onnx_graphs, stablehlo
from siamfc_jax.network.saved_models import Model, save_model
from siamfc_jax.tracking import peaks, tracker

ROOT = pathlib.Path(shell.__file__).parents[2]
CONFIG = TrackerConfig()
LOADED = Model(tiny_networks.variables(), tiny_networks.CONFIG, CONFIG)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The folder that the command writes for a tiny network."""
    root = tmp_path_factory.mktemp("export")
    save_model(root / "tiny", LOADED)
    clip = checks.make_clip(3)  # what is not optimised takes long to follow 24 frames
    words = ["export", str(root / "tiny"), str(root / "out"), "--scale-rate", ".3"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "make_clip", lambda: clip)
        assert shell.main(words) == 0
    return root / "out"


@pytest.fixture(scope="module")
def graphs():
    """Sessions of both graphs of the tiny network."""
    params = tracker.prepare(LOADED)
    built = onnx_graphs.build_exemplar(params), onnx_graphs.build_search(params, config=CONFIG)
    return [onnxruntime.InferenceSession(graph.SerializeToString()) for graph in built]


def test_manifest_says_what_is_there(exported):
    manifest = json.loads((exported / "manifest.json").read_text())
    names = {"exemplar.onnx", "search.onnx", "init.jaxexport", "step.jaxexport"}
    assert set(manifest["files"]) == names
    assert {path.name for path in exported.iterdir()} == names | {"manifest.json"}
    for name, entry in manifest["files"].items():
        data = (exported / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    assert manifest["tracker"]["scale_rate"] == 0.3
    assert manifest["network"] == {"width": 0.02, "first_kernel": 11, "channels": 6}
    assert manifest["adjust"] == pytest.approx({"gain": 1e-3, "bias": -2.0})
    assert manifest["compared"]["frames"] == 3 < 20 < len(checks.make_clip()[0])
    assert manifest["compared"]["largest_differences"]["search.onnx"]["score"] < 1e-4


def test_normal_operators_only(exported):
    for name in ("exemplar.onnx", "search.onnx"):
        model = onnx.load(exported / name)
        assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
        assert {node.domain for node in model.graph.node} == {""}
        operators = {node.op_type for node in model.graph.node}
        assert operators >= {"Conv", "MaxPool", "Relu"}
        assert not operators & {"Loop", "If", "Scan"}  # which many converters refuse


def test_correlation_is_that_of_the_paper(graphs):
    """Each crop meets its own exemplar; a float64 loop over shifts, from the features."""
    rng = np.random.default_rng(1)
    crops = rng.uniform(0, 255, (2, 3, 255, 255)).astype(np.float32)
    (exemplars,) = graphs[0].run(None, {"crops": crops[:, :, 60:187, 70:197]})
    (features,) = graphs[0].run(None, {"crops": crops})
    assert features.shape == (2, 6, 22, 22)
    (logits,) = graphs[1].run(["logits"], {"crops": crops, "exemplar": exemplars})
    for index in range(2):
        for row in range(17):
            for column in range(17):
                window = features[index, :, row : row + 6, column : column + 6]
                expected = 1e-3 * np.sum(np.float64(window) * exemplars[index]) - 2
                assert logits[index, row, column] == pytest.approx(expected, abs=1e-5)


def test_peak_is_that_of_the_tracker(graphs):
    """One exemplar for all crops, each crop alone gives what the batch gives."""
    rng = np.random.default_rng(2)
    crops = rng.uniform(0, 255, (3, 3, 255, 255)).astype(np.float32)
    (exemplar,) = graphs[0].run(None, {"crops": crops[:1, :, 40:167, 88:215]})
    logits, maximum, offset, score = graphs[1].run(None, {"crops": crops, "exemplar": exemplar})
    for index in range(3):
        side = np.float32([255 / 8])  # of a square of one cell a pixel: the shift is in cells
        peak = peaks.find_peak(logits[index : index + 1], side, config=CONFIG)
        np.testing.assert_array_equal(offset[index], peak.shift)
        assert score[index] == pytest.approx(float(peak.score), abs=1e-5)
        assert maximum[index] >= logits[index].max() - 1e-5
        alone = graphs[1].run(None, {"crops": crops[index : index + 1], "exemplar": exemplar})
        np.testing.assert_allclose(alone[0][0], logits[index], atol=1e-5)
        np.testing.assert_array_equal(alone[2][0], offset[index])
    # The first crop shows the exemplar 88 px from the left, 40 from the top, in cells of 8 px.
    assert abs(offset[0] - [(88 - 64) / 8, (40 - 64) / 8]).max() < 0.2


def test_a_flat_response_lies_in_the_middle(graphs):
    """Nothing but the window decides; no division by zero."""
    crops = np.zeros((1, 3, 255, 255), np.float32)
    exemplar = np.zeros((1, 6, 6, 6), np.float32)
    logits, maximum, offset, score = graphs[1].run(None, {"crops": crops, "exemplar": exemplar})
    np.testing.assert_array_equal(logits, -2)
    assert maximum == pytest.approx(-2) and score == pytest.approx(-2)
    np.testing.assert_array_equal(offset, [[0, 0]])


def test_programs_are_lowered_for_devices_that_are_not_here(exported):
    for name in ("init", "step"):
        program = jax.export.deserialize(bytearray((exported / f"{name}.jaxexport").read_bytes()))
        assert program.platforms == stablehlo.PLATFORMS == ("cpu", "cuda", "tpu")


def test_programs_take_frames_of_any_size(exported):
    init, step = (
        jax.jit(jax.export.deserialize(bytearray((exported / name).read_bytes())).call)
        for name in ("init.jaxexport", "step.jaxexport")
    )
    frames, box = checks.make_clip(2, height=150, width=130)
    state, found, score = step(init(frames[0], box), frames[1])
    live = tracker.init(tracker.prepare(LOADED), frames[0], box, config=CONFIG)
    np.testing.assert_allclose(state["exemplar"], live.exemplar, atol=1e-5)
    assert found.shape == (4,) and np.isfinite(score)


def test_what_differs_is_not_written(tmp_path, monkeypatch, capsys):
    build = onnx_graphs.build_search

    def build_wrong(params, *, config):
        adjust = {"gain": np.float32(1e-3), "bias": np.float32(-1.9)}
        return build({"params": {**params["params"], "adjust": adjust}}, config=config)

    monkeypatch.setattr(onnx_graphs, "build_search", build_wrong)
    clip = checks.make_clip(3)
    monkeypatch.setattr(checks, "make_clip", lambda: clip)
    monkeypatch.setattr(stablehlo, "export_tracker", lambda *_, **__: pytest.fail("goes on"))
    save_model(tmp_path / "tiny", LOADED)
    assert shell.main(["export", str(tmp_path / "tiny"), str(tmp_path / "out")]) == 2
    assert "search.onnx is not written: its logits differs by 0.1 from" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "flags, message",
    [
        ("--scales-on exemplar", "scales_on must be search or peak in an export, got exemplar"),
        ("--redetect", "an export does not search the whole frame; add --no-redetect"),
        ("--video clip.mp4", "--video needs --box X,Y,W,H, the object in its first frame"),
        ("--scale-step .5", "scale_step must lie in [1, 2], got 0.5"),
    ],
)
def test_errors(tmp_path, capsys, flags, message):
    assert shell.main(["export", "siamfc-small", str(tmp_path / "out"), *flags.split()]) == 2
    assert capsys.readouterr().err == f"error: {message}\n"
    assert not (tmp_path / "out").exists()


def test_command_says_what_is_wrong(tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "siamfc_jax",
            "export",
            str(tmp_path / "none"),
            str(tmp_path / "out"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
