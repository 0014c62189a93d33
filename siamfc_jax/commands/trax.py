"""Serve the VOT toolkit: the tracker behind TraX.

    siamfc trax --weights siamfc-small --frame-size 640x480

is the command that the VOT toolkit starts; with `--print-ini` it prints the entry for
`trackers.ini` instead.
"""

import argparse
import sys

from siamfc_jax import memory
from siamfc_jax.commands import flags

STOPPED = "stopped"


def add_arguments(parser, words) -> None:
    """Adds the flags.

    Args:
      parser: of this command.
      words: of the command.
    """
    del words
    flags.add_weights(parser)
    parser.add_argument(
        "--frame-size",
        type=_size,
        action="append",
        default=[],
        metavar="WIDTHxHEIGHT",
        help="compile for frames of this size before the first one comes; repeatable",
    )
    parser.add_argument("--print-ini", action="store_true", help="print the entry of trackers.ini")


def _size(text):
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"expected WIDTHxHEIGHT such as 640x480, got {text!r}")
    return int(width), int(height)


def check(args) -> None:
    """Refuses words that cannot be followed.

    Args:
      args: the flags.

    Raises:
      ValueError: a frame is larger than the memory.
    """
    for width, height in args.frame_size:
        memory.check(8 * 3 * width * height, f"--frame-size {width}x{height}")


def run(args) -> None:
    """Answers the toolkit until it quits, or prints its configuration.

    Args:
      args: the flags.

    Raises:
      ImportError: TraX is not installed.
      ValueError: the model cannot be read.
    """
    if args.print_ini:
        sizes = [f"--frame-size {width}x{height}" for width, height in args.frame_size]
        words = ["-m", "siamfc_jax", "trax", "--weights", args.weights, *sizes]
        command = " ".join([sys.executable, *words])
        print(f"[siamfc_jax]\nlabel = SiamFC\nprotocol = trax\ncommand = {command}\ntimeout = 120")
        return
    from siamfc_jax.evaluation import adapters
    from siamfc_jax.tracking.tracker import Tracker

    tracker = Tracker(args.weights)
    for frame_size in args.frame_size:
        adapters.warm_up(tracker, frame_size)
    adapters.serve(tracker)
