"""Make a model folder of weights from elsewhere, or of a training run.

    siamfc convert SOURCE OUTPUT_DIR

SOURCE is a MatConvNet `.mat` of the authors, a `.pth` of siamfc-pytorch, or a `.npz` of
folded layers; docs/weights.md says what each holds. All three are read without the
program that wrote them, and none can run code. Or it is whatever `siamfc track --weights`
takes, such as the `--workdir` of a run. Tracker settings given as flags stay with the weights.
"""

import pathlib

from siamfc_jax import config
from siamfc_jax.files import locked

STOPPED = "stopped; nothing was written"


def add_arguments(parser, words) -> None:
    """Adds the flags.

    Args:
      parser: of this command.
      words: of the command.
    """
    del words
    parser.add_argument("source", metavar="SOURCE", type=pathlib.Path, help="file, run or model")
    parser.add_argument("output", metavar="OUTPUT_DIR", help="folder of the model to be written")
    config.add_arguments(
        parser,
        config.TrackerConfig(),
        "Defaults: those of a model as SOURCE; for files and runs the paper's, shown here.",
    )


def check(args) -> None:
    """Refuses words that cannot be followed.

    Args:
      args: the flags.

    Raises:
      ValueError: never; whether SOURCE can be read is seen when it is read.
    """
    del args


def run(args) -> None:
    """Reads the weights and writes the model folder.

    Args:
      args: the flags.

    Raises:
      ValueError: SOURCE is no such file or model, or OUTPUT_DIR is something else.
    """
    from siamfc_jax import save_model
    from siamfc_jax.network.weights import read_weights

    with locked(args.output, beside=True):
        loaded = read_weights(args.source)
        settings = config.from_arguments(loaded.tracker_config, args)
        save_model(args.output, loaded._replace(tracker_config=settings))
    print(f"wrote {args.output}; track with --weights {args.output}")
