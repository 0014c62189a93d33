"""Runs train.py as people do: killed, stopped, resumed, and with everything wrong."""

import contextlib
import io
import json
import os
import re
import signal
import types

import numpy as np
import pytest
import tiny_networks
import tiny_tracks
from train_process import Training, assert_same

import train
from siamfc_jax.commands.train import next_lines
from siamfc_jax.config import ModelConfig, TrackerConfig
from siamfc_jax.data import mixture
from siamfc_jax.network import run_folders, saved_models
from siamfc_jax.network.saved_models import Model
from siamfc_jax.signals import caught_signals
from siamfc_jax.training import loop, sgd


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """On two devices, with the programs that other tests have compiled."""
    cache = os.environ["JAX_COMPILATION_CACHE_DIR"]
    return Training(tmp_path_factory.mktemp("train"), batch_size=2, epochs=3, cache=cache)


@contextlib.contextmanager
def inside():
    """Gives train.main without the search for a cluster, which must come before all of JAX."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sgd, "connect", lambda *_: None)
        patch.setattr(loop, "MEASURED_STEPS", 2)  # at the end, of speeds that no test asks for
        yield train.main


@pytest.fixture
def main():
    """Returns train.main, to be called in this process."""
    with inside() as main:
        yield main


# With a schedule and a mean of the weights, both of which a run must go on with.
SCHEDULE = ["--cosine", "--warmup-steps", "2", "--ema-decay", ".9"]


@pytest.fixture(scope="module")
def reference(training):
    """Returns the variables of a run that nothing disturbed."""
    with inside() as main, contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(training.words("reference", *SCHEDULE)) == 0
    assert "loader alone" in out.getvalue() and "step alone" in out.getvalue()
    rates = [r["learning_rate"] for r in run_folders.read_metrics(training.root / "reference")]
    assert rates[-1] == pytest.approx(1e-5, rel=1e-3)
    return training.variables("reference")


def test_killed_and_stopped_run_ends_as_one_never_stopped(training, reference, main, capsys):
    """Also where a part of it holds the patches in memory and makes several steps a call."""
    # Just before the second checkpoint becomes valid by being renamed.
    kill = ("9", "os.rename", "4")
    training.run("a", *SCHEDULE, interrupt=kill, devices=2, code=-signal.SIGKILL)
    # Stopped at the save that follows the first call of 3 steps, while the next steps run.
    words = [*SCHEDULE, "--resident", "--steps-per-call", "3"]
    stop = ("15", "os.rename", "6")
    out, err = training.run("a", *words, interrupt=stop, devices=2, code=143)
    assert out.startswith("27 patches, 0.0 GB, read once, in ")
    stopped = re.search(r"saved at step (\d+); the same command goes on from there\n", err)
    assert 7 <= int(stopped[1]) < training.steps
    assert main(training.words("a", *SCHEDULE)) == 0
    out = capsys.readouterr().out
    assert "epoch 3/3: loss " in out and f"--weights {training.root / 'a'}\n" in out
    assert_same(training.variables("a"), reference)
    steps = list(training.losses("a"))
    assert steps == sorted(set(steps)) and steps[-1] == training.steps


def test_weights_to_start_from_bring_their_network_and_tracker(training, main, capsys):
    config = ModelConfig(channels=(2, 2, 4, 4, 2), first_kernel=7)  # of which a step is compiled
    tracker = TrackerConfig(scale_rate=0.3, confidence_bias=-2.0)
    model = Model(tiny_networks.variables(config), config, tracker)
    saved_models.save_model(training.root / "odd", model)
    flags = ["--init-from", training.root / "odd", "--resident"]
    assert main(training.words("tuned", *flags, network=())) == 0
    out = capsys.readouterr().out
    assert "27 patches, " in out and "loader alone" in out
    assert "starts from a network of ModelConfig(" in out and "(2, 2, 4, 4, 2)" in out
    assert "tracker: scale_rate 0.3, confidence_bias -2.0\n" in out
    assert out.splitlines()[-2:] == [
        f"curves: tensorboard --logdir {training.root}/tuned",
        f"next: siamfc track --video FILE --box X,Y,W,H --weights {training.root}/tuned",
    ]
    loaded = saved_models.load_model(training.root / "tuned")
    assert (loaded.model_config, loaded.tracker_config) == (config, tracker)


def test_run_with_held_out_tracks_is_to_be_calibrated_first():
    assert next_lines("runs/my dogs", "prepared/held") == [
        "curves: tensorboard --logdir 'runs/my dogs'",
        "confidence: siamfc calibrate --weights 'runs/my dogs' --data prepared/held "
        "--output 'models/my dogs'",
        "next: siamfc track --video FILE --box X,Y,W,H --weights 'models/my dogs'",
    ]


@pytest.mark.parametrize("errors, step", [([5.0, 6.0, 4.0], 8), ([5.0, 5.5, 5.0], 8)])
def test_end_of_a_fine_tuning_says_what_it_brought(tmp_path, capsys, errors, step):
    """The step with the least error of 4 and 8, beside the weights that it began with."""
    records = [
        {"step": 4 * n, "validation_loss": n / 8, "validation_center_error": error}
        for n, error in enumerate(errors)
    ]
    lines = [json.dumps({"step": 4, "loss": 1.0}), *map(json.dumps, records)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    manager = types.SimpleNamespace(all_steps=lambda: [4, 8])
    errors = run_folders.validation_errors(records)
    loop._report_best(types.SimpleNamespace(workdir=tmp_path, manager=manager, errors=errors))
    before, after, *hint = capsys.readouterr().out.splitlines()
    assert before == "before training, loss 0.000, centre error in px 5.000 on held-out tracks"
    figures = f"loss 0.250, centre error in px {errors[step]:.3f} on held-out tracks"
    assert after == f"best checkpoint: step {step}, {figures}"
    assert len(hint) == (errors[step] >= 5)
    assert all("try a lower --learning-rate, or more tracks" in line for line in hint)


def test_one_checkpoint_of_a_run_is_a_model(training, reference):
    loaded = saved_models.load_model(
        training.root / "reference" / "checkpoints" / str(training.steps)
    )
    assert_same(loaded.variables, reference)


def test_finished_run_has_nothing_left_to_do(training, reference, main, capsys):
    flags = training.words("reference", *SCHEDULE)
    assert main(flags) == 0
    assert "nothing left to do" in capsys.readouterr().out
    for changed, text in [
        (["--batch-size", "8"], "has batch_size 2, got 8; go on with the same settings, or choose"),
        (["--seed", "5"], "has seed 0, got 5; go on with the same"),
        (["--width", ".06"], "has width 0.01, got 0.06; go on with the same"),
        (["--data", f"{training.root}/tracks"], "has training data "),
    ]:
        assert main([*flags, *changed]) == 2
        err = capsys.readouterr().err
        assert err.startswith("error: the run in ") and text in err and err.count("\n") == 1


def test_loss_that_is_no_number_ends_the_run(training, main, capsys):
    config = ModelConfig(width=0.01, first_kernel=7)
    variables = tiny_networks.variables(config)
    variables["params"]["conv3"]["kernel"][:] = 1e38  # finite, but no sum of it is
    path = training.root / "broken"
    saved_models.save_model(path, Model(variables, config, TrackerConfig()))
    assert main(training.words("nan", "--init-from", path)) == 2
    err = capsys.readouterr().err
    line = next(line for line in err.splitlines() if line.startswith("error: "))
    assert "loss nan, gradient nan at step 1, pairs 0, 1 of tracks made_" in line
    assert "look at these, or begin anew with a lower --learning-rate" in line
    assert not any((training.root / "nan" / "checkpoints").iterdir())


def test_signals_are_noted_and_a_second_one_interrupts():
    with caught_signals() as caught:
        os.kill(os.getpid(), signal.SIGINT)
        assert caught == [signal.SIGINT]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_weights_of_sets_and_of_sources(tmp_path):
    tiny_tracks.write(tmp_path / "a", tracks=2, frames=1, source="film")
    tiny_tracks.write(tmp_path / "b:c", tracks=1, frames=1, source="drone")
    (tmp_path / "b:c" / "list.txt").write_text("drone_0\ndrone_0\n")
    entries = [f"{tmp_path}/a", f"{tmp_path}/a:0.5,film:.1", f"{tmp_path}/b:c,drone:3"]
    tracks, weights = mixture.read_mixture(entries)
    assert [track.name for track in tracks] == ["film_0", "film_1"] * 2 + ["drone_0"] * 2
    np.testing.assert_allclose(weights, [1, 1, 0.05, 0.05, 3, 3])


def test_errors(tmp_path, main, capsys):
    tiny_tracks.write(tmp_path / "tracks", tracks=1, frames=2)
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    config = ModelConfig(width=0.05)
    other = Model(tiny_networks.variables(config), config, TrackerConfig())
    saved_models.save_model(tmp_path / "other", other)
    good = ["--workdir", f"{tmp_path}/run", "--data", f"{tmp_path}/tracks", "--width", ".04"]
    for flags, text in [
        (["--data", f"{tmp_path}/none"], "no folder .*none; expected a prepared set, or a folder"),
        (
            ["--data", f"{tmp_path}/empty"],
            "holds 0 prepared data sets, expected one; name a folder",
        ),
        (["--data", f"{tmp_path}/tracks:-1"], "--data takes weights from 0 upwards, got .*:-1"),
        (["--data", f"{tmp_path}/tracks,x:2"], "tracks has no source x; it has made"),
        (["--validation", f"{tmp_path}/none"], "no folder .*none; expected"),
        (["--batch-size", "3"], "--batch-size must be a multiple of 2 devices on 1 hosts .*got 3"),
        (["--epochs", "0"], "epochs must be at least 1, got 0"),
        (["--workers", "-1"], "--workers must not be negative, got -1"),
        (["--profile", "-1"], "--profile must not be negative, got -1"),
        (["--workdir", f"{tmp_path}/file/run"], "Not a directory: .*file/run.*; check the path"),
        (["--init-from", f"{tmp_path}/none"], "no model at .*none; expected"),
        (["--teacher", f"{tmp_path}/none"], "no model at .*none; expected"),
        (
            ["--init-from", f"{tmp_path}/other", "--channels", "2,12,20,20,14"],
            r"--init-from is a network of .*width=0.05.*asked for .*\(2, 12, 20, 20, 14\).*"
            r"; give its --first-kernel, and .*nowhere wider",
        ),
    ]:
        args = good if flags[0] != "--data" else good[:2] + good[4:]
        assert main([*args, *flags]) == 2, flags
        err = capsys.readouterr().err
        assert err.startswith("error: ") and err.count("\n") == 1, err
        assert re.search(text, err), err


def test_hosts_are_named_together_or_not_at_all():
    for given in [(None, None, 1), ("a:1", 2, None), ("a:1", 2, 2)]:
        with pytest.raises(ValueError, match=r"--coordinator HOST:PORT, --num-processes N and"):
            sgd.connect(*given)
