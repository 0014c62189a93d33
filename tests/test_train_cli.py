"""Runs train.py as people do: killed, stopped, resumed, and with everything wrong."""

import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest
import tiny_tracks

from siamfc_jax import checkpoints

ROOT = pathlib.Path(__file__).parents[1]
# 12 steps with a checkpoint after every second one.
TINY = ["--width", ".05", "--batch-size", "2", "--pairs-per-epoch", "8", "--epochs", "3"]
TINY += ["--save-every", "2", "--keep", "2"]
KILLED = -signal.SIGKILL


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Returns run(workdir, *flags, interrupt) -> finished process, of small compiled steps."""
    root = tmp_path_factory.mktemp("train")
    tiny_tracks.write(root / "tracks")
    env = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(root / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "XLA_FLAGS": "--xla_backend_optimization_level=0",  # half the time to compile
    }

    def run(workdir, *flags, interrupt=("9", "any", "0"), devices=1):
        flags = ["--workdir", str(root / workdir), "--data", str(root / "tracks"), *TINY, *flags]
        count = f" --xla_force_host_platform_device_count={devices}"
        return subprocess.run(
            [sys.executable, "tests/interrupted_train.py", *interrupt, *flags],
            cwd=ROOT,
            env=env | {"XLA_FLAGS": env["XLA_FLAGS"] + count},
            capture_output=True,
            text=True,
            timeout=600,
        )

    run.root = root
    return run


@pytest.fixture(scope="module")
def reference(run):
    """Returns the variables of a run that nothing disturbed, and its number of operations."""
    done = run("reference")
    assert done.returncode == 0, done.stderr
    assert "loader alone" in done.stdout
    return variables(run, "reference"), int(done.stderr.split()[-2])


def variables(run, workdir):
    folder = run.root / workdir
    steps = [int(path.name) for path in (folder / "checkpoints").iterdir()]
    assert max(steps) == 12
    return checkpoints.load_model(folder).variables


def assert_same(found, expected):
    flat, wanted = (dict(_leaves(tree)) for tree in (found, expected))
    assert flat.keys() == wanted.keys()
    for name, value in flat.items():
        np.testing.assert_array_equal(value, wanted[name], err_msg=name)


def _leaves(tree, name=""):
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _leaves(value, f"{name}/{key}")
    else:
        yield name, tree


def test_killed_and_stopped_run_ends_as_one_never_stopped(run, reference):
    # Before the first save is made valid by renaming it; then stopped; then killed while an
    # old checkpoint is being removed.
    killed = run("a", interrupt=("9", "os.rename", "2"))
    assert killed.returncode == KILLED
    stopped = run("a", interrupt=("15", "os.rename", "2"))
    assert stopped.returncode == 143, stopped.stderr
    assert "stopped and saved at step" in stopped.stderr.splitlines()[-2]
    killed = run("a", interrupt=("9", "os.rmdir", "1"))
    assert killed.returncode == KILLED
    done = run("a")
    assert done.returncode == 0, done.stderr
    assert_same(variables(run, "a"), reference[0])
    steps = [r["step"] for r in checkpoints.read_metrics(run.root / "a") if "loss" in r]
    assert steps == sorted(set(steps)) and steps[-1] == 12
