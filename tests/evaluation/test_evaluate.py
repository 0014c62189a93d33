"""The command evaluate.py, on tiny benchmarks made here."""

import json
import re
import shutil
import subprocess
import sys
import zipfile

import cv2
import numpy as np
import pytest
import tiny_networks
from square_videos import SETTINGS, truth, write_frames

import evaluate
from siamfc_jax.evaluation import execution
from siamfc_jax.network.saved_models import Model, save_model

LENGTHS = {"Deer": 3, "Girl": 4}


@pytest.fixture(scope="module")
def otb(tmp_path_factory):
    root = tmp_path_factory.mktemp("otb")
    for name, count in LENGTHS.items():
        write_frames(root / name / "img", count)
        (root / name / "groundtruth_rect.txt").write_text(truth(count, first=1))
    return str(root)


@pytest.fixture(scope="module")
def tracked(otb, weights, tmp_path_factory):
    """The output folder of a run over both sequences."""
    output = tmp_path_factory.mktemp("runs") / "tiny"
    command = ["--data", otb, "--weights", weights, "--output", str(output)]
    assert evaluate.main(command) == 0
    return output


def test_writes_results_and_report(tracked):
    for name, count in LENGTHS.items():
        lines = (tracked / f"{name}.txt").read_text().splitlines()
        assert len(lines) == count
        assert lines[0] == "11.000,17.000,16.000,16.000"
        assert len((tracked / "times" / f"{name}_time.txt").read_text().split()) == count
        assert (tracked / "scores" / f"{name}_score.txt").read_text().split()[0] == "nan"
    summary = json.loads((tracked / "summary.json").read_text())
    assert set(summary["sequences"]) == set(LENGTHS)
    for found in (summary, *summary["sequences"].values()):
        assert 0 < found["success_auc"] < 1
        assert 0 < found["precision_20"] <= 1
        assert found["fps"] > found["fps_with_reading"] > 0
    assert summary["attributes"]["IPR"]["count"] == 2
    assert (tracked / "table.md").read_text().startswith("| tracker | AUC |")
    assert (tracked / "report.html").read_text().count("<h3>") == 2
    lines = (tracked / "Deer.txt").read_text().splitlines()
    assert len(set(lines)) > 1
    for name in ("success", "precision", "attributes"):
        assert cv2.imread(str(tracked / f"{name}.png")).shape[0] > 200


@pytest.mark.usefixtures("no_pictures")
def test_does_not_track_again(tracked, otb, capsys):
    before = {path: path.stat().st_mtime_ns for path in tracked.glob("*.txt")}
    (tracked / "summary.json").unlink()
    command = ["--data", otb, "--output", str(tracked), "--results", str(tracked)]
    assert evaluate.main(command) == 0
    assert before == {path: path.stat().st_mtime_ns for path in tracked.glob("*.txt")}
    assert (tracked / "summary.json").is_file()
    assert "| Girl |" in capsys.readouterr().out


def test_processes_share_the_sequences_and_flags_change_the_tracker(otb, weights, tmp_path):
    command = ["--data", otb, "--weights", weights, "--output", str(tmp_path)]
    command += ["--jobs", "2", "--window-influence", "1"]
    done = subprocess.run(
        [sys.executable, "evaluate.py", *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for name, count in LENGTHS.items():
        lines = (tmp_path / f"{name}.txt").read_text().splitlines()
        assert lines == [lines[0]] * count  # nothing but the window: it never moves
    assert len(json.loads((tmp_path / "summary.json").read_text())["sequences"]) == 2


@pytest.mark.usefixtures("no_pictures")
def test_machines_share_the_sequences(tracked, otb, weights, tmp_path, capsys):
    command = ["--data", otb, "--weights", weights, "--output", str(tmp_path)]
    assert evaluate.main([*command, "--shard", "1/2"]) == 0
    assert "share 1 of 2 is done; when all are" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.glob("*.txt")) == ["Girl.txt"]
    assert not (tmp_path / "summary.json").exists()
    assert evaluate.main(command) == 0
    for name in LENGTHS:
        assert (tmp_path / f"{name}.txt").read_bytes() == (tracked / f"{name}.txt").read_bytes()
    assert (tmp_path / "summary.json").is_file()


@pytest.mark.usefixtures("no_pictures")
def test_sequences_are_tracked_together(otb, weights, tmp_path):
    command = ["--data", otb, "--weights", weights, "--protocol", "sre", "--output"]
    assert evaluate.main([*command, str(tmp_path / "each")]) == 0
    assert evaluate.main([*command, str(tmp_path / "together"), "--together", "3"]) == 0
    files = [path.relative_to(tmp_path / "each") for path in (tmp_path / "each").rglob("*.txt")]
    assert len(files) == 2 * 12 * 5  # with scores, lost and two of times
    for file in files:
        ours, theirs = (
            np.loadtxt(tmp_path / way / file, delimiter=",") for way in ("each", "together")
        )
        assert len(ours) == len(theirs)
        if file.parent.name != "times":
            np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_ctrl_c(otb, weights, tmp_path, capsys, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(execution.protocols, "run_sequence", interrupt)
    assert evaluate.main(["--data", otb, "--weights", weights, "--output", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "stopped; the same command goes on from here\n"


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000])
def test_run_settings_of_another_form_are_named(text, tmp_path):
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"run.json does not say whose results lie there; take"):
        execution._read_settings(path)


@pytest.mark.usefixtures("no_pictures")
def test_refuses_to_mix_results(tracked, otb, weights, tmp_path, capsys):
    command = ["--data", otb, "--weights", weights, "--output", str(tracked)]
    assert evaluate.main([*command, "--sequences", "Deer"]) == 0  # the same run: goes on
    assert evaluate.main([*command, "--scale-rate", "0.5"]) == 2
    message = "error: .*tiny holds results of another run, with other settings; take another"
    assert re.match(message, capsys.readouterr().err)
    other = tmp_path / "other"
    save_model(other, Model(tiny_networks.variables(), tiny_networks.CONFIG, SETTINGS))
    command[3] = str(other)
    assert evaluate.main(command) == 2
    assert "with other weights;" in capsys.readouterr().err


def test_compares_trackers(tracked, otb, tmp_path, capsys):
    perfect = tmp_path / "perfect"
    perfect.mkdir()
    for name, count in LENGTHS.items():
        (perfect / f"{name}.txt").write_text(truth(count, first=1))
    output = tmp_path / "both"
    command = ["--data", otb, "--output", str(output), "--results", str(tracked), str(perfect)]
    assert evaluate.main(command) == 0
    summary = json.loads((output / "summary.json").read_text())
    assert list(summary) == ["tiny", "perfect"]
    assert summary["perfect"]["success_auc"] == pytest.approx(20 / 21)
    assert summary["perfect"]["fps"] is None
    table = (output / "table.md").read_text()
    assert table.splitlines()[2].startswith("| perfect | 0.952 |")
    apart = summary["perfect"]["success_auc"] - summary["tiny"]["success_auc"]
    assert f"| perfect - tiny | {apart:+.3f} | " in table
    assert table == capsys.readouterr().out
    (found,) = json.loads((output / "comparisons.json").read_text())
    assert (found["better"], found["other"], found["sequences"]) == ("perfect", "tiny", 2)
    assert found["mean"] == pytest.approx(apart)
    assert found["low"] <= apart <= found["high"]


@pytest.mark.usefixtures("no_pictures")
def test_several_folders_are_one_set(otb, weights, tmp_path, capsys):
    write_frames(tmp_path / "more" / "Own" / "img", 20)
    (tmp_path / "more" / "Own" / "groundtruth_rect.txt").write_text(truth(20, first=1))
    folders = [otb, str(tmp_path / "more")]
    outputs = [str(tmp_path / "one"), str(tmp_path / "two")]
    command = ["--data", *folders, "--weights", weights, "--protocol", "tre"]
    assert evaluate.main([*command, "--output", outputs[0]]) == 0
    # Only the first frame has 20 left: the kit takes it as the first and as the last start.
    assert len(list((tmp_path / "one" / "tre").glob("Own_??.txt"))) == 2
    shutil.copytree(*outputs)
    for path in (tmp_path / "two" / "tre").glob("*.txt"):  # a tracker that never moves
        lines = path.read_text().splitlines()
        path.write_text("\n".join([lines[0]] * len(lines)))
    command = ["--data", *folders, "--protocol", "tre", "--results", *outputs]
    assert evaluate.main([*command, "--output", str(tmp_path / "both")]) == 0
    (found,) = json.loads((tmp_path / "both" / "comparisons.json").read_text())
    assert found["sequences"] == 3
    summary = json.loads((tmp_path / "both" / "summary.json").read_text())
    by_sequence = [
        [row["success_auc"] for row in summary[name]["sequences"].values()]
        for name in (found["better"], found["other"])
    ]
    assert found["mean"] == pytest.approx(np.mean(by_sequence[0]) - np.mean(by_sequence[1]))
    capsys.readouterr()
    assert evaluate.main(["--data", otb, otb, "--output", str(tmp_path / "x")]) == 2
    assert re.match("error: sequence Deer is in .* and in .*; folders", capsys.readouterr().err)


@pytest.mark.usefixtures("no_pictures")
def test_takes_some_sequences(tracked, otb, tmp_path):
    command = ["--data", otb, "--output", str(tmp_path), "--results", str(tracked)]
    assert evaluate.main([*command, "--sequences", "Deer"]) == 0
    assert list(json.loads((tmp_path / "summary.json").read_text())["sequences"]) == ["Deer"]


def test_vot_protocols(weights, tmp_path):
    write_frames(tmp_path / "vot" / "bag" / "color", 6, digits=8)
    (tmp_path / "vot" / "list.txt").write_text("bag\n")
    (tmp_path / "vot" / "bag" / "groundtruth.txt").write_text(truth(6, first=0))
    (tmp_path / "vot" / "bag" / "anchor.value").write_text("1\n0\n0\n0\n0\n-1\n")
    for benchmark, results in (("vot2016", 1), ("vot2022", 2)):
        output = tmp_path / benchmark
        command = ["--benchmark", benchmark, "--data", str(tmp_path / "vot"), "--weights", weights]
        assert evaluate.main([*command, "--output", str(output), "--eao", "1", "4"]) == 0
        assert len(list((output / "baseline" / "bag").glob("bag_*.txt"))) == results
        summary = json.loads((output / "summary.json").read_text())
        assert summary["eao"] == pytest.approx(np.mean(summary["curve"][1:5]))
        assert (output / "eao.png").is_file()
        assert (output / "table.md").read_text().startswith("| tracker | EAO | A |")


@pytest.mark.usefixtures("no_pictures")
def test_packs_results_for_a_server(weights, tmp_path, capsys):
    name = "GOT-10k_Test_000001"
    write_frames(tmp_path / "got" / "test" / name, 3, digits=8)
    (tmp_path / "got" / "test" / "list.txt").write_text(name + "\n")
    (tmp_path / "got" / "test" / name / "groundtruth.txt").write_text(truth(1, first=0))
    command = ["--benchmark", "got10k-test", "--data", str(tmp_path / "got"), "--weights", weights]
    assert evaluate.main([*command, "--output", str(tmp_path / "out")]) == 0
    with zipfile.ZipFile(tmp_path / "out" / "submission.zip") as archive:
        assert archive.namelist() == [f"{name}/{name}_001.txt", f"{name}/{name}_time.txt"]
        assert archive.read(f"{name}/{name}_001.txt").startswith(b"10.000,16.000,16.000,16.000\n")
    assert "not published; send" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--protocol", "tre"], "error: --protocol tre is for benchmarks without restarts, VOT"),
        (["--eao", "5", "4"], "error: --eao LOW HIGH needs 1 <= LOW <= HIGH, got 5 4"),
    ],
)
def test_flags_that_vot_refuses(weights, tmp_path, capsys, flags, message):
    command = ["--benchmark", "vot2016", "--data", str(tmp_path), "--output", str(tmp_path / "x")]
    assert evaluate.main([*command, *flags]) == 2
    assert re.match(message, capsys.readouterr().err)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--sequences", "Deer", "Own"], "error: there is no sequence Own in --data"),
        (["--weights", "missing"], "error: no model at missing; expected"),
        (["--scale-step", "0.5"], "error: scale_step must lie"),
        (["--results", "a/x", "b/x"], "error: --results needs folders of different names"),
        (["--results", "missing"], "error: no .*missing/Deer.txt; expected a result file"),
        (["--tracker", "kcf"], "error: OpenCV .* lacks the tracker kcf, it is in opencv-contrib"),
        (
            ["--tracker", "nano"],
            "error: the tracker nano needs 2 model files, --tracker-files BACK",
        ),
        (["--tracker", "vit", "--tracker-files", "x.onnx"], "error: no file x.onnx; the tracker v"),
        (["--tracker-files", "x.onnx"], "error: --tracker-files goes with --tracker nano, vit or"),
        (["--eao", "1", "4"], "error: --eao is for the VOT benchmarks; leave it out"),
        (["--jobs", "0"], "error: --jobs must be at least 1, got 0"),
        (["--together", "0"], "error: --together must be at least 1, got 0"),
        (["--together", "2", "--jobs", "2"], "error: --together is for our tracker, in one proc"),
        (["--together", "2", "--tracker", "kcf"], "error: --together is for our tracker"),
        (["--output", "/dev/null/x"], "error: .*Not a directory: '/dev/null/x'"),
        (["--benchmark", "vot2016"], "error: no .*list.txt; expected the VOT layout"),
    ],
)
def test_errors(otb, weights, tmp_path, capsys, flags, message):
    if "kcf" in flags and hasattr(cv2, "legacy"):
        pytest.skip("this OpenCV has the contrib modules")
    ours = not {"--tracker", "--results"} & set(flags)
    command = ["--data", otb, "--output", str(tmp_path), *flags]
    command += ["--weights", weights] if ours and "--weights" not in flags else []
    assert evaluate.main(command) == 2
    assert re.match(message, capsys.readouterr().err)
