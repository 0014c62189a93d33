"""An archive of tiny videos, and what its processes do in tests."""

import os

import tiny_networks
from square_videos import SETTINGS, write_frames

from siamfc_jax.commands.archive import Outcome
from siamfc_jax.network.saved_models import Model, save_model

BOX = "10,16,16,16"


def make_archive(folder):
    """Makes a model, two clips of squares and a manifest, of which one line is wrong."""
    model = Model(tiny_networks.pixels(30), tiny_networks.CONFIG, SETTINGS)
    save_model(folder / "model", model)
    write_frames(folder / "clips" / "a", 6)
    write_frames(folder / "clips" / "b", 4)
    lines = [
        "source,boxes,name",
        f'clips/a,"{BOX}",first/a',
        'clips/b,"10,16,16,16; 9,15,18,18",b',
        f'clips/c,"{BOX}",',
        "clips/b,boxes.csv,from_file",
    ]
    (folder / "jobs.csv").write_text("\n".join(lines) + "\n")
    (folder / "boxes.csv").write_text("x,y,w,h\n10,16,16,16\n")
    return folder


def allocation(entry):
    """Returns an outcome that tells how the process takes a GPU's memory."""
    return Outcome(entry, 0, 0, os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"])


def count(entry):
    """Returns an outcome that tells the process; dies of an entry named "deadly"."""
    if entry == "deadly":
        os._exit(9)
    return Outcome(entry, 0, os.getpid(), "")
