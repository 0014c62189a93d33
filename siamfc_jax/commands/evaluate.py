"""Run a tracker on a benchmark and report its official numbers.

    siamfc evaluate --benchmark otb --data DIR --weights siamfc-small --output runs/siamfc
    siamfc evaluate --benchmark otb --data DIR --tracker csrt --output runs/csrt
    siamfc evaluate --benchmark otb --data DIR --results runs/siamfc runs/csrt --output runs/all

The first two write a result file a sequence, `summary.json`, `table.md`, plots and
`report.html`; what has a result file already is not tracked again. The third only
reads result files, of any tracker, and compares them.
"""

import pathlib

from siamfc_jax import compilation, config
from siamfc_jax.commands import flags
from siamfc_jax.files import locked

STOPPED = "stopped; the same command goes on from here"


def add_arguments(parser, words) -> None:
    """Adds the flags.

    Args:
      parser: of this command.
      words: of the command.
    """
    from siamfc_jax.evaluation import opencv_trackers, protocols
    from siamfc_jax.evaluation.benchmarks import BENCHMARKS

    flag = parser.add_argument
    flag(
        "--benchmark", choices=BENCHMARKS, default="otb", metavar="NAME",
        help=f"layout and rules, one of {', '.join(BENCHMARKS)} (default: %(default)s)",
    )  # fmt: skip
    flag("--data", nargs="+", required=True, metavar="DIR", help="folders as published, one set")
    flag("--output", required=True, metavar="DIR", help="folder for results and report")
    flag("--sequences", nargs="+", metavar="NAME", help="only these")
    flag(
        "--protocol", choices=protocols.WITHOUT_RESTARTS,
        help="of sets without restarts (default: ope)",
    )  # fmt: skip
    flag("--eao", nargs=2, type=int, metavar=("LOW", "HIGH"), help="run lengths of VOT's EAO")
    group = parser.add_argument_group("tracker (one of the first three)")
    which = group.add_mutually_exclusive_group()
    flags.add_weights(which)
    which.add_argument(
        "--tracker", choices=opencv_trackers.NAMES, metavar="NAME",
        help=f"one of OpenCV's: {', '.join(opencv_trackers.NAMES)}",
    )  # fmt: skip
    which.add_argument(
        "--results", nargs="+", metavar="DIR", help="only report on these folders of result files"
    )
    group.add_argument(
        "--tracker-files", nargs="+", metavar="FILE", help="its network, for nano, vit, dasiamrpn"
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
    flags.add_shard(
        flag,
        "track every Nth sequence, from sequence I of 0..N-1 on; when all shares are done the "
        "same command without --shard reports",
    )
    flags.add_settings(parser, words)


def check(args) -> None:
    """Refuses flags that would have no effect; `plan.checked` refuses the others.

    Args:
      args: the flags.

    Raises:
      ValueError: such a flag was given.
    """
    settings = " ".join(config.given(config.TrackerConfig, args))
    if args.tracker:
        flags.refuse(args, settings, "is a setting of our tracker; leave it out, or --tracker")
    else:
        flags.refuse(args, "tracker_files", "goes with --tracker nano, vit or dasiamrpn")
        if not args.results:
            flags.check_export(args)
    flags.parse_shard(args.shard, {})
    if args.results:
        flags.refuse(args, "shard", "is about tracking, --results only reads files")
        flags.refuse(args, settings, "changes how frames are tracked, --results only reads files")
        if args.jobs > 1 or args.together > 1:
            raise ValueError("--jobs and --together speed tracking up, --results only reads files")
    for name in ("jobs", "together"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name} must be at least 1, got {getattr(args, name)}")


def run(args) -> None:
    """Tracks what has no result yet, then reports from the files.

    Args:
      args: the flags.

    Raises:
      ValueError: the benchmark, the model or the results cannot be read, or do not fit.
    """
    from siamfc_jax.data.sequences import select_sequences
    from siamfc_jax.evaluation import execution, reports
    from siamfc_jax.evaluation.benchmarks import read_folders

    part, parts = flags.parse_shard(args.shard, {})
    evaluation = make_plan(args)
    with locked(args.output, share=args.shard):
        sequences = read_folders(evaluation.benchmark, args.data)
        sequences = select_sequences(sequences, args.sequences)[part::parts]
        evaluation = evaluation._replace(sequences=sequences)
        if evaluation.tracker:
            for line in execution.track(evaluation):
                print(line, flush=True)
        if parts > 1:
            print(f"share {part} of {parts} is done; when all are, the same command without "
                  "--shard reports")  # fmt: skip
            return
        print(reports.report(evaluation, args.results or [args.output]), end="")


def make_plan(args):
    """Returns the `Plan` that the flags ask for, without its sequences.

    Args:
      args: the flags.

    Raises:
      ValueError: the model cannot be read, or flags do not go together.
    """
    from siamfc_jax import load_model
    from siamfc_jax.evaluation import plan
    from siamfc_jax.evaluation.benchmarks import BENCHMARKS

    if args.jobs > 1:
        compilation.leave_accelerator()
    tracker: plan.SiamFC | plan.Exported | plan.OpenCV | None = None
    if args.tracker:
        tracker = plan.OpenCV(args.tracker, tuple(args.tracker_files or ()))
    elif not args.results and flags.is_export(args.weights):
        tracker = plan.Exported(args.weights)
    elif not args.results:
        chosen = load_model(args.weights).tracker_config
        tracker = plan.SiamFC(args.weights, config.from_arguments(chosen, args))
    benchmark = plan.choose_measures(BENCHMARKS[args.benchmark], args.eao)
    return plan.checked(
        plan.Plan(
            name=args.benchmark,
            benchmark=benchmark,
            protocol=plan.choose_protocol(benchmark, args.protocol),
            sequences=[],
            output=pathlib.Path(args.output),
            tracker=tracker,
            jobs=args.jobs,
            together=args.together,
        )
    )
