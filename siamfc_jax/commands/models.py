"""List the models that ship: name, size, speed, data and licence.

    siamfc models

The figures are those of docs/models.md, which also tells how they were measured, how each model was
trained, and where it fails.
"""

import json
import pathlib
from typing import NamedTuple

from siamfc_jax.commands.flags import DEFAULT_MODEL, PRETRAINED
from siamfc_jax.config import ModelConfig

STOPPED = "stopped"


class Card(NamedTuple):
    """What docs/models.md says of a model.

    Attributes:
      parameters: how many numbers the network has.
      speed: frames a second at 640 x 480 with its settings, on 2 cores of an AMD EPYC.
      accuracy: success AUC / precision at 20 px on the 33 sequences that choose.
    """

    parameters: str
    speed: str
    accuracy: str


CARDS = {
    "siamfc": Card("2,336,322", "36", ".667 / .874"),
    "siamfc-nano": Card("45,066", "165", ".657 / .860"),
    "siamfc-small": Card("148,050", "157", ".664 / .855"),
}
DATA = (
    "3,726 object tracks cut from public video and still-image sets, each under its "
    "publisher's\nown licence; taught by networks of others. See docs/models.md."
)
LICENCE = "MIT, as all of siamfc_jax."


def add_arguments(parser, words) -> None:
    """Adds no flag.

    Args:
      parser: of this command.
      words: of the command.
    """
    del parser, words


def check(args) -> None:
    """Refuses words that cannot be followed.

    Args:
      args: the flags.

    Raises:
      ValueError: never; there are no words.
    """
    del args


def run(args) -> None:
    """Prints the table.

    Args:
      args: no flags.
    """
    del args
    folders = sorted(path.parent for path in PRETRAINED.glob("*/config.json"))
    rows = [("name", "network", "parameters", "size", "frames/s", "AUC / precision")]
    rows += [_row(folder) for folder in folders]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print(
            "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        )
    print(
        f"\n{DEFAULT_MODEL} is the default of --weights."
        "\nframes/s: 640 x 480, 2 CPU cores."
        "\nAUC / precision at 20 px: 33 sequences by which models are chosen; others will differ."
        f"\ndata: {DATA}\nlicence: {LICENCE}"
    )


def _row(folder: pathlib.Path):
    network = ModelConfig(**json.loads((folder / "config.json").read_text())["model"])
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    card = CARDS.get(folder.name, Card("", "", ""))
    width = "-".join(map(str, network.channels)) or f"width {network.width:g}"
    form = f"{width}, first kernel {network.first_kernel}"
    return folder.name, form, card.parameters, f"{size / 1e6:.1f} MB", card.speed, card.accuracy
