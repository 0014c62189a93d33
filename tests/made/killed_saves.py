"""Saves a model over another one, killed at each file operation in its turn.

    python tests/made/killed_saves.py FOLDER

Each save is a process of its own, a fork of this one, and writes to FOLDER/NUMBER/model. The
last one, which needs fewer operations than the number at which it would be killed, ends well.
"""

import itertools
import os
import pathlib
import shutil
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import tiny_networks
from interrupted_train import OPERATIONS

from siamfc_jax.config import TrackerConfig
from siamfc_jax.network.saved_models import Model, save_model

OLD, NEW = (
    Model(tiny_networks.variables(seed=seed), tiny_networks.CONFIG, TrackerConfig())
    for seed in (1, 2)
)


def save(path, saved, count):
    """Saves in a forked process, killed at file operation `count`; returns whether it ended."""
    process = os.fork()
    if process:
        status = os.waitpid(process, 0)[1]
        assert status in (0, signal.SIGKILL), status
        return status == 0
    operations = itertools.count(1)

    def watch(event, arguments):
        inside = event in OPERATIONS and str(path.parent) in str(arguments[0])
        if inside and next(operations) == count:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    try:
        save_model(path, saved)
    except BaseException as error:
        print(error, file=sys.stderr)
        os._exit(1)
    os._exit(0)


def main(root):
    """Makes the folders."""
    save(root / "before" / "model", OLD, 0)
    (root / "before" / "model" / "README.md").write_text("a card")
    for number in itertools.count(1):
        shutil.copytree(root / "before", root / str(number))
        if save(root / str(number) / "model", NEW, number):
            break


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
