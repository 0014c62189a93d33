"""The search for tracker settings, and its command on a tiny validation set."""

import dataclasses
import json
import re

import numpy as np
import pytest
from square_videos import truth, write_frames

from siamfc_jax.commands import shell
from siamfc_jax.config import TrackerConfig
from siamfc_jax.evaluation import metrics, tuning
from siamfc_jax.evaluation.benchmarks import BENCHMARKS, read_folders
from siamfc_jax.network.saved_models import load_model

BASE = TrackerConfig(num_scales=5)
SUBJECT = {"weights": "abc", "sequences": ["a", "b"]}
BEST = {"window_influence": 0.3, "scale_penalty": 0.96, "scale_rate": 0.3, "scale_step": 1.06}


def score(config):
    """Falls with the distance from BEST, in shares of the ranges; two sequences are .1 apart."""
    value = -sum(
        ((getattr(config, name) - BEST[name]) / (high - low)) ** 2
        for name, (low, high) in tuning.RANGES.items()
    )
    return value, [value - 0.1, value + 0.1]


def test_the_search_comes_closer(tmp_path):
    found = tuning.search(score, BASE, trials=60, seed=0, log=tmp_path / "log", subject=SUBJECT)
    assert found.score == score(found.config)[0]
    assert found.score > 0.2 * score(BASE)[0]  # both are negative
    assert found.config.num_scales == 5
    # Both sequences gain as much, so that no draw of them changes the gain.
    gain = found.score - score(BASE)[0]
    np.testing.assert_allclose(found.gain[:3], gain, rtol=1e-12)
    trials = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert len(trials) == 60
    assert trials[0]["settings"]["scale_step"] == BASE.scale_step
    for trial in trials[1:]:
        for name, (low, high) in tuning.RANGES.items():
            assert low <= trial["settings"][name] <= high


def test_one_trial_keeps_the_settings(tmp_path):
    found = tuning.search(score, BASE, trials=1, seed=0, log=tmp_path / "log", subject=SUBJECT)
    assert found.config == BASE
    assert found.gain.mean == 0


def test_an_interrupted_search_goes_on(tmp_path, capsys):
    whole = tuning.search(score, BASE, trials=12, seed=3, log=tmp_path / "whole", subject=SUBJECT)
    lines = (tmp_path / "whole").read_text().splitlines(keepends=True)
    (tmp_path / "half").write_text("".join(lines[:7]))
    calls = []

    def counting(config):
        calls.append(config)
        return score(config)

    def again(*, name="half", seed=3, subject=SUBJECT):
        log = tmp_path / name
        return tuning.search(counting, BASE, trials=12, seed=seed, log=log, subject=subject)

    capsys.readouterr()
    assert again() == whole
    assert len(calls) == 5
    begin = capsys.readouterr().out.splitlines()[0]
    assert begin == f"{tmp_path / 'half'}: goes on after 7 of 12 trials"
    with pytest.raises(ValueError, match="half is of another search; remove it, or repeat"):
        again(seed=4)
    with pytest.raises(ValueError, match="half is of another search; remove it, or repeat"):
        again(subject=SUBJECT | {"weights": "abd"})
    trial = {"score": 0.5, "settings": dataclasses.asdict(BASE), "sequences": [0.4, 0.6]}
    (tmp_path / "older").write_text(json.dumps(trial) + "\n")
    with pytest.raises(ValueError, match="older is of another search; remove it, or repeat"):
        again(name="older", seed=0)
    assert len(calls) == 5


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("got")
    name = "GOT-10k_Val_000001"
    write_frames(root / "val" / name, 3, digits=8)
    (root / "val" / name / "groundtruth.txt").write_text(truth(3, first=0))
    (root / "val" / "list.txt").write_text(name + "\n")
    return str(root)


def test_command_saves_the_settings_with_the_model(data, weights, tmp_path, capsys):
    output = tmp_path / "models" / "tuned"
    command = ["--data", data, "--weights", weights, "--output", str(output), "--trials", "2"]
    command += ["--scales-on", "exemplar"]
    assert shell.main(["tune", *command]) == 0
    lines = (tmp_path / "models" / "tuned.trials.jsonl").read_text().splitlines()
    trials = [json.loads(line) for line in lines]
    best = max(trials, key=lambda trial: trial["score"])
    found = load_model(str(output))
    expected = dataclasses.replace(load_model(weights).tracker_config, **best["settings"])
    assert found.tracker_config == expected
    assert expected.scales_on == "exemplar"
    printed = capsys.readouterr().out
    assert f"{output}: {best['score']:.4f} with window_influence" in printed
    gain = best["score"] - trials[0]["score"]
    assert (
        f"{gain:+.4f} a sequence over the settings that the search began with ({gain:+.4f} to"
        in printed
    )


def test_the_protocol_decides_over_the_runs(tmp_path, weights, capsys):
    """SRE is the mean over runs from shifted boxes; its trials are not those of one pass."""
    root = tmp_path / "otb" / "Square"
    write_frames(root / "img", 3, digits=4)
    (root / "groundtruth_rect.txt").write_text(truth(3, first=1))
    data = ["--benchmark", "otb", "--data", str(root.parent)]
    command = ["tune", *data, "--force", "--weights", weights, "--output", str(tmp_path / "x")]
    assert shell.main([*command, "--trials", "1", "--protocol", "sre"]) == 0
    evaluate = ["evaluate", *data, "--weights", weights, "--output", str(tmp_path / "results")]
    assert shell.main([*evaluate, "--protocol", "sre"]) == 0
    trial = json.loads((tmp_path / "x.trials.jsonl").read_text())
    summary = json.loads((tmp_path / "results" / "summary.json").read_text())
    assert trial["score"] == pytest.approx(summary["success_auc"], abs=1e-3)
    assert trial["subject"]["protocol"] == "sre"
    assert shell.main([*evaluate[:-1], str(tmp_path / "one_pass")]) == 0
    one_pass = json.loads((tmp_path / "one_pass" / "summary.json").read_text())
    assert abs(trial["score"] - one_pass["success_auc"]) > 0.01
    capsys.readouterr()
    assert shell.main([*command, "--trials", "1"]) == 2
    assert "x.trials.jsonl is of another search; remove it" in capsys.readouterr().err


def test_only_each_nth_run_counts(tmp_path, weights):
    """With every sixth of SRE's 12 runs: the mean over the first and the seventh."""
    root = tmp_path / "otb" / "Square"
    write_frames(root / "img", 3, digits=4)
    (root / "groundtruth_rect.txt").write_text(truth(3, first=1))
    data = ["--benchmark", "otb", "--data", str(root.parent), "--weights", weights]
    data += ["--protocol", "sre", "--output"]
    assert shell.main(["evaluate", *data, str(tmp_path / "results")]) == 0
    tune = ["tune", *data, str(tmp_path / "x"), "--force", "--trials", "1", "--every", "6"]
    assert shell.main(tune) == 0
    (sequence,) = read_folders(BENCHMARKS["otb"], [root.parent])
    rates = []
    for run in ("Square_01", "Square_07"):
        (file,) = (tmp_path / "results").rglob(f"sre/{run}.txt")
        tracked = np.loadtxt(file, delimiter=",") - [1, 1, 0, 0]
        tracked[0] = sequence.boxes[0]  # calcSeqErrRobust.m of the kit
        rates.append(metrics.success_curve(metrics.iou(tracked, sequence.boxes)).mean())
    trial = json.loads((tmp_path / "x.trials.jsonl").read_text())
    assert trial["score"] == pytest.approx(np.mean(rates), abs=1e-3)
    assert trial["subject"]["every"] == 6
    assert abs(rates[0] - rates[1]) > 0.01


def test_folders_are_one_set(data, tmp_path, weights, capsys):
    command = ["--data", data, data, "--weights", weights, "--output", str(tmp_path / "x")]
    assert shell.main(["tune", *command]) == 2
    assert "folders that are evaluated together need sequences of different" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--benchmark", "otb100"], "error: otb100 is a test set: .*; tune on got10k-val, or say"),
        (["--benchmark", "got10k-test"], "error: the true boxes of got10k-test are not published"),
        (["--trials", "0"], "error: --trials must be at least 1, got 0"),
        (["--every", "0"], "error: --every must be at least 1, got 0"),
        (["--every", "2"], "error: --every 2 leaves out runs, and ope has one a sequence; add"),
        (["--sequences", "x"], "error: there is no sequence x in --data"),
        (["--weights", "missing"], "error: no model at missing"),
        (["--benchmark", "otb", "--force"], "error: no NAME/groundtruth_rect.txt below"),
    ],
)
def test_errors(data, weights, tmp_path, capsys, flags, message):
    command = ["--data", data, "--weights", weights, "--output", str(tmp_path / "x"), *flags]
    assert shell.main(["tune", *command]) == 2
    assert re.match(message, capsys.readouterr().err)
