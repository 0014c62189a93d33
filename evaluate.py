"""Runs a tracker on a benchmark and reports its official numbers.

    python evaluate.py --benchmark otb --data DIR --weights siamfc-small --output runs/siamfc
    python evaluate.py --benchmark otb --data DIR --tracker csrt --output runs/csrt
    python evaluate.py --benchmark otb --data DIR --results runs/siamfc runs/csrt --output runs/all

The first two write a result file a sequence, `summary.json`, `table.md`, plots and
`report.html`; what has a result file already is not tracked again. The third only
reads result files, of any tracker, and compares them.
"""

import argparse
import pathlib
import sys

from siamfc_jax import config
from siamfc_jax.compilation import keep_compiled, keep_memory
from siamfc_jax.data.sequences import choose
from siamfc_jax.evaluation import execution, opencv_trackers, plan, protocols, reports
from siamfc_jax.evaluation.benchmarks import BENCHMARKS, read_folders
from siamfc_jax.network.checkpoints import load_model


def main(argv=None) -> int:
    """Runs the command; returns its exit code."""
    args = make_parser().parse_args(argv)
    keep_compiled()
    keep_memory()
    try:
        evaluation = make_plan(args)
        if evaluation.tracker:
            for line in execution.track(evaluation):
                print(line, flush=True)
        print(reports.report(evaluation, args.results or [args.output]), end="")
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command's flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--benchmark", choices=BENCHMARKS, default="otb", help="layout and rules (default: otb)")
    add("--data", nargs="+", required=True, metavar="DIR", help="folders as published, one set")
    add("--output", required=True, metavar="DIR", help="folder for results and report")
    add("--weights", metavar="MODEL", help="our tracker: name or path (default: siamfc-small)")
    add("--tracker", choices=opencv_trackers.NAMES, help="one of OpenCV's, not ours")
    add("--tracker-files", nargs="+", metavar="FILE", help="its network, for nano, vit, dasiamrpn")
    add("--results", nargs="+", metavar="DIR", help="only report on these folders of result files")
    add("--sequences", nargs="+", metavar="NAME", help="only these")
    add("--protocol", choices=protocols.WITHOUT_RESTARTS, help="of sets without restarts")
    add("--eao", nargs=2, type=int, metavar=("LOW", "HIGH"), help="run lengths of VOT's EAO")
    add("--jobs", type=int, default=1, metavar="N", help="processes that share sequences and cores")
    add("--together", type=int, default=1, metavar="N", help="sequences a call of a GPU or TPU")
    config.add_arguments(parser, config.TrackerConfig)
    return parser


def make_plan(args: argparse.Namespace) -> plan.Plan:
    """Returns what the flags ask for; refuses flags that do not go together."""
    benchmark = plan.choose_measures(BENCHMARKS[args.benchmark], args.eao)
    return plan.checked(
        plan.Plan(
            name=args.benchmark,
            benchmark=benchmark,
            protocol=plan.choose_protocol(benchmark, args.protocol),
            sequences=choose(read_folders(benchmark, args.data), args.sequences),
            output=pathlib.Path(args.output),
            tracker=None if args.results else make_tracker(args),
            jobs=args.jobs,
            together=args.together,
        )
    )


def make_tracker(args: argparse.Namespace) -> plan.SiamFC | plan.OpenCV:
    """Returns the tracker that the flags ask for."""
    if args.tracker_files and not args.tracker:
        raise ValueError("--tracker-files goes with --tracker nano, vit or dasiamrpn")
    if args.tracker:
        return plan.OpenCV(args.tracker, tuple(args.tracker_files or ()))
    weights = args.weights or "siamfc-small"
    return plan.SiamFC(weights, config.from_arguments(load_model(weights).tracker_config, args))


if __name__ == "__main__":
    sys.exit(main())
