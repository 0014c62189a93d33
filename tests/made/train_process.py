"""Runs train.py in processes of their own, on a tiny training set, with compiled steps kept."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import tiny_tracks

from siamfc_jax.network import run_folders, saved_models

ROOT = pathlib.Path(__file__).parents[2]
# The smallest network: 2, 2, 4, 4 and 2 channels. What is not optimised computes slowly.
NETWORK = ["--width", ".01", "--first-kernel", "7"]
EPOCH = 4  # steps
NEVER = ("9", "any", "0")


class Training:
    """A folder with a training set and the workdirs of runs on it.

    `cache` is where its processes keep what they have compiled.
    """

    def __init__(self, root, *, batch_size, epochs, cache):
        self.root = root
        self.steps = EPOCH * epochs
        batch = ["--batch-size", batch_size, "--pairs-per-epoch", EPOCH * batch_size]
        self.flags = [*batch, "--epochs", epochs, "--save-every", "2", "--keep", "2"]
        tiny_tracks.write(root / "tracks")
        self.env = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": str(cache)}

    def words(self, workdir, *flags, network=NETWORK):
        """Returns what train.py is to be called with; a checkpoint follows every second step."""
        places = ["--workdir", self.root / workdir, "--data", self.root / "tracks"]
        return [str(word) for word in [*places, *network, *self.flags, *flags]]

    def start(self, workdir, *flags, interrupt=NEVER, devices=1, prefix=(), network=NETWORK):
        """Starts train.py; `interrupt` as interrupted_train.py takes it, `prefix` runs it all."""
        xla = os.environ["XLA_FLAGS"] + f" --xla_force_host_platform_device_count={devices}"
        return subprocess.Popen(
            [
                *prefix,
                sys.executable,
                "tests/made/interrupted_train.py",
                *interrupt,
                *self.words(workdir, *flags, network=network),
            ],
            cwd=ROOT,
            env=self.env | {"XLA_FLAGS": xla},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, workdir, *flags, code=0, **start):
        """Runs train.py to its end, which must be `code`; returns (stdout, stderr)."""
        process = self.start(workdir, *flags, **start)
        out, err = process.communicate(timeout=900)
        assert process.returncode == code, err
        return out, err

    def variables(self, workdir):
        """Returns the variables of a run that is done."""
        steps = (self.root / workdir / "checkpoints").iterdir()
        assert max(int(path.name) for path in steps) == self.steps
        return saved_models.load_model(self.root / workdir).variables

    def losses(self, workdir):
        """Returns step -> mean loss since the last record, of a run."""
        records = run_folders.read_metrics(self.root / workdir)
        return {record["step"]: record["loss"] for record in records if "loss" in record}


def leaves(tree, name=""):
    """Yields (name, array) of nested dictionaries."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{name}/{key}")
        else:
            yield f"{name}/{key}", value


def assert_same(found, expected):
    """Checks that two trees are equal bit for bit."""
    found, expected = dict(leaves(found)), dict(leaves(expected))
    assert found.keys() == expected.keys()
    for name, value in found.items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
