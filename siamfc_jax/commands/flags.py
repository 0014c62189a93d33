"""Flags that several commands take."""

import argparse
import itertools
import pathlib
import re

from siamfc_jax import config, network
from siamfc_jax.config import TrackerConfig

PRETRAINED = pathlib.Path(network.__path__[0]) / "pretrained"  # as in network/saved_models.py
DEFAULT_MODEL = "siamfc-small"


def add_weights(parser) -> None:
    """Adds `--weights`.

    Args:
      parser: of a command, or a group of it.
    """
    parser.add_argument(
        "--weights",
        default=DEFAULT_MODEL,
        metavar="NAME|PATH",
        help="shipped model (see siamfc models), model folder, --workdir of siamfc train, or "
        "folder of siamfc export, which starts without JAX (siamfc track and evaluate) "
        "(default: %(default)s)",
    )


def is_export(path: str) -> bool:
    """Finds out whether a path is a folder that `siamfc export` wrote.

    Args:
      path: name or path of any model.

    Returns:
      Whether the manifest and the search are there.
    """
    return all((pathlib.Path(path) / name).is_file() for name in ("manifest.json", "search.onnx"))


def check_export(args) -> bool:
    """Finds out whether `--weights` is an export; refuses settings for it.

    Args:
      args: the flags, with those of `add_settings`.

    Returns:
      Whether it is a folder that `siamfc export` wrote.

    Raises:
      ValueError: a setting was given; those of an export are in its files.
    """
    if not is_export(args.weights):
        return False
    settings = " ".join(config.given(config.TrackerConfig, args))
    refuse(args, settings, f"is part of an export; export again with it, to replace {args.weights}")
    return True


def add_range(parser) -> None:
    """Adds the flags that take a part of a video.

    Args:
      parser: of a command.
    """
    flag = parser.add_argument_group("part of the video").add_argument
    flag("--start", type=int, default=0, metavar="FRAME", help="first frame (default: 0)")
    flag("--stop", type=int, metavar="FRAME", help="frame to stop before (default: the end)")
    flag("--stride", type=int, default=1, metavar="N", help="take every Nth frame (default: 1)")
    flag("--resize", metavar="WIDTHxHEIGHT", help="bring all frames to this size first")


def add_settings(parser, words) -> None:
    """Adds a flag for each setting of the tracker, with the values that the model has.

    Args:
      parser: of a command with `--weights`.
      words: of the command; the model is looked up there, as the help shows its values.
    """
    weights = weights_in(words)
    settings = read_settings(weights)
    whose = f"those of {weights}"
    if settings is None:
        settings, whose = TrackerConfig(), "those of the model; the paper's are shown"
    config.add_arguments(parser, settings, f"Defaults: {whose}.")


def weights_in(words) -> str:
    """Returns the value of `--weights` among the words of a command.

    Args:
      words: those after its name, right or wrong.

    Returns:
      The last value, the name of the default model where there is none.
    """
    value = DEFAULT_MODEL
    for word, following in itertools.pairwise([*words, ""]):
        if word == "--weights":
            value = following
        elif word.startswith("--weights="):
            value = word.partition("=")[2]
    return value


def read_settings(weights) -> TrackerConfig | None:
    """Reads the settings that were chosen for a model.

    Args:
      weights: name of a shipped model, or a model folder.

    Returns:
      The settings, None where there is no such model; that is an error only for who loads it.
    """
    for folder in (PRETRAINED / weights, pathlib.Path(weights)):
        try:
            text = (folder / "config.json").read_text(encoding="utf-8")
            return config.from_json(text, tracker=TrackerConfig)["tracker"]
        except (OSError, ValueError, TypeError, AttributeError):
            continue
    return None


def add_shard(flag, help: str) -> None:
    """Adds `--shard`, the share of this machine.

    Args:
      flag: `add_argument` of a command or a group of it.
      help: what a share is.
    """
    flag(
        "--shard",
        metavar="I/N",
        help=help,
    )


def parse_shard(text: str | None, environment) -> tuple[int, int]:
    """Finds out which share of the work is meant.

    Args:
      text: `I/N`, or None.
      environment: variables in which Slurm tells the place of a job in an array; empty where
        an array may stand for something else.

    Returns:
      (I, N); (0, 1) for all of it.

    Raises:
      ValueError: it is no share.
    """
    if text is None:
        if "SLURM_ARRAY_TASK_ID" not in environment:
            return 0, 1
        first = int(environment.get("SLURM_ARRAY_TASK_MIN", 0))
        step = int(environment.get("SLURM_ARRAY_TASK_STEP", 1))
        last = int(environment.get("SLURM_ARRAY_TASK_MAX", first))
        return (int(environment["SLURM_ARRAY_TASK_ID"]) - first) // step, (last - first) // step + 1
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found or int(found[1]) >= int(found[2]):
        raise ValueError(f"--shard is I/N with I from 0 to N-1, such as 0/8, got {text!r}")
    return int(found[1]), int(found[2])


def refuse(args: argparse.Namespace, names: str, reason: str) -> None:
    """Refuses flags that would have no effect.

    Args:
      args: the parsed flags.
      names: of the flags, separated by spaces, as attributes of `args`.
      reason: ends the sentence "--flag ...", and says what to do.

    Raises:
      ValueError: one of them was given.
    """
    for name in names.split():
        if getattr(args, name, None) not in (None, False):
            raise ValueError(f"--{name.replace('_', '-')} {reason}")
