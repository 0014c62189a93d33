"""The kits of the field run our tracker, and agree with our numbers on the same files."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tiny_networks
from compilations import compilations
from square_videos import truth, write_frames

import evaluate
from siamfc_jax.commands import shell
from siamfc_jax.config import TrackerConfig
from siamfc_jax.data import otb_table
from siamfc_jax.data.layouts import read_got10k, read_otb, read_vot
from siamfc_jax.evaluation import adapters, protocols, vot_files
from siamfc_jax.network.saved_models import Model
from siamfc_jax.tracking.tracker import Tracker

ROOT = pathlib.Path(__file__).parents[2]
STACK = """title: Tiny
dataset:
experiments:
  baseline:
    type: supervised
    repetitions: 1
    skip_initialize: 5
    analyses:
      - {type: supervised_average_ar, sensitivity: 30}
      - {type: supervised_eao_score, low: 2, high: 6}
  anchors:
    type: multistart
    analyses:
      - {type: multistart_eao_score, low: 2, high: 6}
      - {type: multistart_average_ar}
"""


def needs(module, package):
    found = importlib.util.find_spec(module) is not None
    return pytest.mark.skipif(not found, reason=f"{package} is not installed, see make test-kits")


def make_results(folder, root):
    """Writes results that drift off the true boxes, different in each sequence."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    for sequence in read_otb(root):
        drift = np.cumsum(rng.normal(0, 1.5, sequence.boxes.shape), axis=0)
        boxes = sequence.boxes + drift + [1, 1, 0, 0]
        np.savetxt(folder / f"{sequence.name}.txt", boxes, fmt="%.3f", delimiter=",")


@needs("got10k", "got10k")
@pytest.mark.filterwarnings("ignore")
def test_otb_numbers_equal_got10k(tmp_path):
    from got10k.experiments import ExperimentOTB

    data = tmp_path / "otb"
    for name in otb_table.VERSIONS["2013"]:
        (data / name).mkdir(parents=True)  # got10k would download what has no folder
    for name, count in {"Girl": 40, "Deer": 25, "Skiing": 30}.items():
        write_frames(data / name / "img", count)
        (data / name / "groundtruth_rect.txt").write_text(truth(count, first=1))
    make_results(tmp_path / "results" / "OTB2013" / "drift", data)
    experiment = ExperimentOTB(
        str(data), 2013, str(tmp_path / "results"), str(tmp_path / "reports")
    )
    theirs = experiment.report(["drift"])["drift"]
    output = tmp_path / "ours"
    command = ["--data", str(data), "--output", str(output)]
    command += ["--results", str(tmp_path / "results" / "OTB2013" / "drift")]
    assert evaluate.main(command) == 0
    ours = json.loads((output / "summary.json").read_text())
    pairs = [(ours, theirs["overall"])]
    pairs += [(ours["sequences"][name], theirs["seq_wise"][name]) for name in ours["sequences"]]
    assert len(pairs) == 4
    for our, their in pairs:
        assert our["success_auc"] == pytest.approx(their["success_score"], abs=1e-12)
        assert our["success_50"] == pytest.approx(their["success_rate"], abs=1e-12)
        assert our["precision_20"] == pytest.approx(their["precision_score"], abs=1e-12)
    assert 0.2 < ours["success_auc"] < 0.9
    np.testing.assert_allclose(
        ours["curves"]["precision"], theirs["overall"]["precision_curve"], atol=1e-12
    )


@needs("got10k", "got10k")
@pytest.mark.filterwarnings("ignore")
def test_got10k_runs_our_tracker(tmp_path, weights):
    from got10k.experiments import ExperimentGOT10k

    for number in (1, 2):
        folder = tmp_path / "val" / f"GOT-10k_Val_{number:06d}"
        write_frames(folder, 6, digits=8)
        (folder / "groundtruth.txt").write_text(truth(6, first=0))
        (folder / "meta_info.ini").write_text("[METAINFO]\nresolution: (64, 48)\n")
        for label, values in (
            ("cover", "887708"),
            ("absence", "000010"),
            ("cut_by_image", "0" * 6),
        ):
            (folder / f"{label}.label").write_text("\n".join(values) + "\n")
    (tmp_path / "val" / "list.txt").write_text("GOT-10k_Val_000001\nGOT-10k_Val_000002\n")
    tracker = adapters.got10k_tracker(weights, name="ours", one_based=False)
    places = str(tmp_path / "results"), str(tmp_path / "reports")
    experiment = ExperimentGOT10k(str(tmp_path), "val", result_dir=places[0], report_dir=places[1])
    experiment.run(tracker)
    kept = tmp_path / "results" / "GOT-10k" / "ours"
    rng = np.random.default_rng(0)
    for sequence in read_got10k(tmp_path, "val"):
        first = kept / sequence.name / f"{sequence.name}_001.txt"
        boxes = np.loadtxt(first, delimiter=",")
        np.testing.assert_array_equal(boxes[0], sequence.boxes[0])
        # A second repetition, of a tracker that drifts.
        drifting = boxes + np.cumsum(rng.normal(0, 1.5, boxes.shape), axis=0)
        second = first.with_name(f"{sequence.name}_002.txt")
        np.savetxt(second, drifting, fmt="%.3f", delimiter=",")
        times = np.loadtxt(kept / sequence.name / f"{sequence.name}_time.txt")
        times = np.stack([times, times], 1)
        np.savetxt(kept / sequence.name / f"{sequence.name}_time.txt", times, delimiter=",")
    theirs = experiment.report(["ours"])["ours"]
    output = tmp_path / "own"
    command = ["--benchmark", "got10k-val", "--data", str(tmp_path), "--output", str(output)]
    assert evaluate.main([*command, "--results", str(kept)]) == 0
    ours = json.loads((output / "summary.json").read_text())
    pairs = [(ours, theirs["overall"])]
    pairs += [(ours["sequences"][name], theirs["seq_wise"][name]) for name in ours["sequences"]]
    assert len(pairs) == 3
    for our, their in pairs:
        assert our["ao"] == pytest.approx(their["ao"], abs=1e-12)
        assert our["sr50"] == pytest.approx(np.ravel(their["sr"])[0], abs=1e-12)
    assert ours["fps"] > 0


@needs("vot", "vot-toolkit")
def test_vot_toolkit_runs_our_tracker(tmp_path, weights, capsys):
    sequences = tmp_path / "sequences"
    for name, count in {"bag": 12, "ball": 14}.items():
        write_frames(sequences / name / "color", count, digits=8)
        anchors = ["1"] + ["0"] * (count - 2) + ["-1"]
        (sequences / name / "anchor.value").write_text("\n".join(anchors) + "\n")
        (sequences / name / "sequence").write_text(
            f"name={name}\nfps=30\nformat=default\nchannels.color=color/%08d.jpg\n"
            f"length={count}\nwidth=64\nheight=48\n"
        )
    (sequences / "bag" / "groundtruth.txt").write_text(truth(12, first=0))
    # Polygons that leap away, so that the tracker fails and is started anew.
    corners = "{0},10,{1},8,{2},26,{0},28\n"
    left = [4 + n if n < 4 else 42 for n in range(14)]
    text = "".join(corners.format(x, x + 15, x + 17) for x in left)
    (sequences / "ball" / "groundtruth.txt").write_text(text)
    (sequences / "list.txt").write_text("bag\nball\n")
    (tmp_path / "stack.yaml").write_text(STACK)
    (tmp_path / "config.yaml").write_text("stack: ./stack.yaml\nregistry: [./trackers.ini]\n")
    flags = ["--weights", weights, "--frame-size", "64x48", "--print-ini"]
    assert shell.main(["trax", *flags]) == 0
    (tmp_path / "trackers.ini").write_text(capsys.readouterr().out)

    run_vot("evaluate", "--workspace", str(tmp_path), "siamfc_jax")
    run_vot("analysis", "--workspace", str(tmp_path), "--format", "json", "--name", "a")
    theirs = json.loads((tmp_path / "analysis" / "a.json").read_text())["results"]
    results, chosen = tmp_path / "results" / "siamfc_jax", read_vot(sequences)

    (accuracy, failures, point, _), (eao,) = unpack(theirs["baseline"])
    ours = protocols.report(chosen, "supervised", results, low=2, high=6)
    assert failures > 0
    assert ours["accuracy"] == pytest.approx(accuracy, abs=1e-9)
    assert ours["failures_weighted"] == pytest.approx(failures, abs=1e-9)
    assert ours["reliability"] == pytest.approx(point[0], abs=1e-9)
    assert ours["eao"] == pytest.approx(eao, abs=1e-6)  # the toolkit's sums are float32

    (eao,), (accuracy, robustness, *_) = unpack(theirs["anchors"])
    (tmp_path / "anchors").mkdir()
    (results / "anchors").rename(tmp_path / "anchors" / "baseline")
    ours = protocols.report(chosen, "multistart", tmp_path / "anchors", low=2, high=6)
    assert ours["accuracy"] == pytest.approx(accuracy, abs=1e-9)
    assert ours["robustness"] == pytest.approx(robustness, abs=1e-9)
    assert ours["eao"] == pytest.approx(eao, abs=1e-9)

    # The same runs in our own harness.
    own = ["--benchmark", "vot2016", "--data", str(sequences), "--weights", weights]
    assert evaluate.main([*own, "--eao", "2", "6", "--output", str(tmp_path / "own")]) == 0
    for sequence in chosen:
        name = f"baseline/{sequence.name}/{sequence.name}_001.txt"
        our, their = (
            vot_files.read_trajectory(folder / name) for folder in (tmp_path / "own", results)
        )
        np.testing.assert_array_equal(our.codes, their.codes)
        np.testing.assert_allclose(our.boxes, their.boxes, atol=2e-3)


def unpack(experiment):
    """Returns the measures of the only tracker, by analysis."""
    return [rows[0] for rows in experiment["results"]]


def run_vot(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "vot", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "VOT_RESULTS_BINARY": "false"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "error" not in done.stdout, done.stdout


def test_a_size_must_be_two_numbers(capsys):
    assert shell.main(["trax", "--frame-size", "640"]) == 2
    assert "expected WIDTHxHEIGHT such as 640x480, got '640'" in capsys.readouterr().err


def test_prints_the_entry_of_the_registry(capsys):
    assert shell.main(["trax", "--weights", "x", "--print-ini"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("[siamfc_jax]\nlabel = SiamFC\nprotocol = trax\ncommand = ")
    assert " -m siamfc_jax trax --weights x\n" in text


def test_missing_weights_are_an_error(capsys):
    assert shell.main(["trax", "--weights", "missing"]) == 2
    assert capsys.readouterr().err.startswith("error: no model at missing")


def test_warmed_up_nothing_is_compiled_for_an_object_of_any_size():
    ours = Tracker(Model(tiny_networks.pixels(128.0), tiny_networks.CONFIG, TrackerConfig()))
    adapters.warm_up(ours, (700, 300))
    frame = np.zeros((300, 700, 3), np.uint8)
    with compilations("init", "step") as compiled:
        for box in ([5, 5, 9, 9], [340, 140, 60, 50], [100, 50, 150, 150], [0, 0, 700, 300]):
            ours.init(frame, box)
            ours.update(frame)
    assert not compiled
