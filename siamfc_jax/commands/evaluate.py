"""Run a tracker on a benchmark and report its official numbers.

    siamfc evaluate --benchmark otb --data DIR --weights siamfc-small --output runs/siamfc
    siamfc evaluate --benchmark otb --data DIR --tracker csrt --output runs/csrt
    siamfc evaluate --benchmark otb --data DIR --results runs/siamfc runs/csrt --output runs/all

The first two write a result file a sequence, `summary.json`, `table.md`, plots and
`report.html`; what has a result file already is not tracked again. The third only
reads result files, of any tracker, and compares them.
"""

from siamfc_jax import config
from siamfc_jax.commands import flags

STOPPED = "stopped; the same command goes on from here"


def add_arguments(parser, words) -> None:
    """Adds the flags.

    Args:
      parser: of this command.
      words: of the command.
    """
    from siamfc_jax.evaluation import opencv_trackers
    from siamfc_jax.evaluation.benchmarks import BENCHMARKS

    flag = parser.add_argument
    flag(
        "--benchmark", choices=BENCHMARKS, default="otb", metavar="NAME",
        help=f"one of {', '.join(BENCHMARKS)} (default: %(default)s)",
    )  # fmt: skip
    flag("--data", required=True, metavar="DIR", help="folder of the benchmark as published")
    flag("--output", required=True, metavar="DIR", help="folder for results and report")
    flag("--sequences", nargs="+", metavar="NAME", help="only these")
    flag(
        "--protocol", choices=["ope", "tre", "sre"],
        help="of sets without restarts (default: ope)",
    )  # fmt: skip
    flag("--eao", nargs=2, type=int, metavar=("LOW", "HIGH"), help="run lengths of VOT's EAO")
    which = parser.add_argument_group("tracker (one of these)").add_mutually_exclusive_group()
    flags.add_weights(which)
    which.add_argument(
        "--tracker", choices=opencv_trackers.NAMES, metavar="NAME",
        help=f"one of OpenCV's: {', '.join(opencv_trackers.NAMES)}",
    )  # fmt: skip
    which.add_argument(
        "--results", nargs="+", metavar="DIR", help="only report on these folders of result files"
    )
    flag = parser.add_argument_group("speed").add_argument
    flag(
        "--jobs", type=int, default=1, metavar="N",
        help="processes that share sequences and cores of a CPU (default: 1)",
    )  # fmt: skip
    flag(
        "--together", type=int, default=1, metavar="N",
        help="sequences a call of a GPU or TPU (default: 1)",
    )  # fmt: skip
    flags.add_settings(parser, words)


def check(args) -> None:
    """Refuses flags that do not go together.

    Args:
      args: the flags.

    Raises:
      ValueError: a number is too small, or a flag would have no effect.
    """
    from siamfc_jax.evaluation.benchmarks import BENCHMARKS

    for name in ("jobs", "together"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name} must be at least 1, got {getattr(args, name)}")
    with_restarts = bool(BENCHMARKS[args.benchmark].eao)
    if args.together > 1 and (args.tracker or args.jobs > 1 or with_restarts):
        raise ValueError(
            "--together is for our tracker, in one process, on benchmarks without restarts; "
            "leave it out, or --tracker and --jobs"
        )
    settings = " ".join(config.given(config.TrackerConfig, args))
    if args.tracker:
        flags.refuse(args, settings, "is a setting of our tracker; leave it out, or --tracker")
    if args.results:
        flags.refuse(args, settings, "changes how frames are tracked, --results only reads files")
        if args.jobs > 1 or args.together > 1:
            raise ValueError("--jobs and --together speed tracking up, --results only reads files")
    if with_restarts:
        flags.refuse(args, "protocol", f"does not go with {args.benchmark}, which has its own")
    else:
        flags.refuse(args, "eao", f"belongs to VOT; {args.benchmark} has no such measure")


def run(args) -> None:
    """Tracks what has no result yet, then reports from the files.

    Args:
      args: the flags.

    Raises:
      ValueError: the benchmark, the model or the results cannot be read, or do not fit.
    """
    from siamfc_jax.evaluation import benchmarking

    args.protocol = args.protocol or "ope"
    benchmarking.run(args)
