"""Fit the confidence of a model to clips whose object is gone for a while.

    siamfc calibrate --weights runs/a --data got10k/val --output models/a

makes such clips of held-out tracks, tracks them, and writes the model with the numbers that
turn a score into a confidence. It takes as long as tracking 2400 frames. `--data` is as in
siamfc train.
"""

from siamfc_jax.files import locked

STOPPED = "stopped; nothing was written"


def add_arguments(parser, words) -> None:
    """Adds the flags.

    Args:
      parser: of this command.
      words: of the command.
    """
    del words
    flag = parser.add_argument
    flag("--weights", required=True, metavar="NAME|PATH", help="model to calibrate")
    flag("--data", required=True, metavar="DIR", help="folder of held-out tracks")
    flag("--output", required=True, metavar="DIR", help="folder for the model with its numbers")
    flag(
        "--tracks", type=int, default=60, metavar="N",
        help="how many to take (default: %(default)s)",
    )  # fmt: skip


def check(args) -> None:
    """Refuses words that cannot be followed.

    Args:
      args: the flags.

    Raises:
      ValueError: there is nothing to take.
    """
    if args.tracks < 1:
        raise ValueError(f"--tracks must be at least 1, got {args.tracks}")


def run(args) -> None:
    """Calibrates a model and writes it.

    Args:
      args: the flags.

    Raises:
      ValueError: no model, no tracks, or nothing can be learnt from them.
    """
    from siamfc_jax import load_model, save_model
    from siamfc_jax.data.prepared import read_tracks
    from siamfc_jax.training import calibration

    with locked(args.output, beside=True):
        model, tracks = load_model(args.weights), read_tracks(args.data, "val")
        result = calibration.calibrate(model, tracks, count=args.tracks)
        save_model(args.output, result.model)
    numbers = ", ".join(f"{name} {value}" for name, value in result.numbers.items())
    print(f"{args.output}: ROC AUC {result.area:.3f} in {result.frames} frames with {numbers}")
