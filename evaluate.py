"""Runs a tracker on a benchmark and reports its official numbers.

    python evaluate.py --benchmark otb --data DIR --weights siamfc --output runs/siamfc
    python evaluate.py --benchmark otb --data DIR --tracker csrt --output runs/csrt
    python evaluate.py --benchmark otb --data DIR --results runs/siamfc runs/csrt --output runs/all

The first two write a result file a sequence, `summary.json`, `table.md`, plots and
`report.html`; what has a result file already is not tracked again. The third only
reads result files, of any tracker, and compares them.
"""

import argparse
import dataclasses
import json
import multiprocessing
import pathlib
import sys

from siamfc_jax import (
    baselines,
    config,
    evaluation,
    html_report,
    plots,
    protocols,
    reports,
    tracker,
)
from siamfc_jax.benchmarks import BENCHMARKS
from siamfc_jax.checkpoints import checksum, load_model
from siamfc_jax.compilation import keep_compiled, keep_memory
from siamfc_jax.sequences import choose


def main(argv=None) -> int:
    """Runs the command; returns its exit code."""
    args = make_parser().parse_args(argv)
    keep_compiled()
    keep_memory()
    try:
        run(args)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command's flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--benchmark", choices=BENCHMARKS, default="otb")
    parser.add_argument("--data", required=True, help="folder of the benchmark as published")
    parser.add_argument("--output", required=True, help="folder for results and report")
    parser.add_argument("--weights", default="siamfc", help="our tracker: name or path of a model")
    parser.add_argument("--tracker", choices=baselines.NAMES, help="one of OpenCV's, not ours")
    parser.add_argument(
        "--results", nargs="+", metavar="DIR", help="only report on these folders of result files"
    )
    parser.add_argument("--sequences", nargs="+", metavar="NAME", help="only these")
    parser.add_argument(
        "--protocol", choices=["ope", "tre", "sre"], default="ope", help="of sets without restarts"
    )
    parser.add_argument(
        "--eao", nargs=2, type=int, metavar=("LOW", "HIGH"), help="run lengths of VOT's EAO"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes that share the sequences")
    config.add_arguments(parser, config.TrackerConfig)
    return parser


def run(args) -> None:
    """Tracks what has no result yet, then reports from the files."""
    benchmark, output = BENCHMARKS[args.benchmark], pathlib.Path(args.output)
    if args.jobs < 1:
        raise ValueError(f"--jobs must be at least 1, got {args.jobs}")
    sequences = choose(benchmark.read(args.data), args.sequences)
    output.mkdir(parents=True, exist_ok=True)
    if args.results is None:
        remember(args)
        # The longest first, dealt out in turn, so that all processes end together.
        by_length = sorted(sequences, key=lambda sequence: -len(sequence.frames))
        shares = [by_length[index :: args.jobs] for index in range(args.jobs)]
        if args.jobs == 1:
            track_all(args, shares[0])
        else:
            with multiprocessing.get_context("spawn").Pool(args.jobs) as pool:
                pool.starmap(track_all, [(args, share) for share in shares])
    if benchmark.server:
        path = output / "submission.zip"
        evaluation.write_archive(path, output, [s.name for s in sequences], *benchmark.server)
        print(f"the true boxes are not published; send {path} to the server")
        return
    folders = [pathlib.Path(folder).resolve() for folder in args.results or [output]]
    if len({folder.name for folder in folders}) < len(folders):
        raise ValueError("--results needs folders of different names, they name the trackers")
    summaries = {folder.name: summarize(args, sequences, folder) for folder in folders}
    # Pictures show the first tracker, where there is one run a sequence.
    shown = protocol_of(args) == "ope"
    write_report(args, summaries, collect(args, sequences, folders[0]) if shown else {})


def remember(args) -> None:
    """Writes down whose results the output folder holds; refuses to mix them with others."""
    path = pathlib.Path(args.output) / "run.json"
    run = {"benchmark": args.benchmark, "tracker": args.tracker or "siamfc_jax"}
    if not args.tracker:
        model = load_model(args.weights)
        run["weights"] = checksum(model.variables)
        run["settings"] = dataclasses.asdict(config.from_arguments(model.tracker_config, args))
    if path.is_file():
        before = json.loads(path.read_text())
        differing = [key for key in {**run, **before} if run.get(key) != before.get(key)]
        if differing:
            raise ValueError(
                f"{args.output} holds results of another run, with other {', '.join(differing)}; "
                "take another --output, or remove the folder"
            )
    path.write_text(json.dumps(run, indent=2) + "\n")


def track_all(args, sequences) -> None:
    """Runs the tracker that the flags ask for over some sequences, and writes its results."""
    benchmark = BENCHMARKS[args.benchmark]
    if args.tracker:
        track = baselines.opencv(args.tracker)
    else:
        model = load_model(args.weights)
        settings = config.from_arguments(model.tracker_config, args)
        track = evaluation.siamfc(tracker.prepare(model), config=settings)
    for sequence in sequences:
        protocols.perform(
            track, sequence, protocol_of(args), args.output, one_based=benchmark.one_based
        )
        print(f"tracked {sequence.name}", flush=True)


def protocol_of(args) -> str:
    """Returns the protocol that the flags ask for."""
    fixed = BENCHMARKS[args.benchmark].protocol
    return args.protocol if fixed == "ope" else fixed


def eao_range(args):
    """Returns the run lengths of EAO, None for a benchmark without it."""
    return BENCHMARKS[args.benchmark].eao and (args.eao or BENCHMARKS[args.benchmark].eao)


def collect(args, sequences, folder) -> dict:
    """Returns the runs of a tracker by sequence, from its result files."""
    one_based = BENCHMARKS[args.benchmark].one_based
    return {
        s.name: protocols.collect(s, protocol_of(args), folder, one_based=one_based)
        for s in sequences
    }


def summarize(args, sequences, folder) -> dict:
    """Returns the numbers of a tracker from its result files."""
    benchmark = BENCHMARKS[args.benchmark]
    if benchmark.protocol != "ope":
        low, high = eao_range(args)
        return protocols.report(sequences, benchmark.protocol, folder, low=low, high=high)
    runs = collect(args, sequences, folder)
    return reports.report(runs, absent_counts=benchmark.absent_counts, extra=benchmark.extra)


def write_report(args, summaries: dict, runs: dict) -> None:
    """Writes the numbers of one tracker, or those of several by name, as data and to look at."""
    output, eao = pathlib.Path(args.output), eao_range(args)
    found = next(iter(summaries.values())) if len(summaries) == 1 else summaries
    (output / "summary.json").write_text(json.dumps(found, indent=2) + "\n")
    text = reports.table(summaries, heading="tracker")
    for name, summary in summaries.items():
        for key in ("attributes", "sequences"):
            if summary.get(key):
                text += f"\n{name}\n\n" + reports.table(summary[key], heading=key[:-1])
    (output / "table.md").write_text(text)
    for name, figure in plots.figures(summaries, eao=eao).items():
        figure.savefig(output / f"{name}.png", dpi=150)
    named = next(iter(summaries)) if len(summaries) == 1 else f"{len(summaries)} trackers"
    title = f"{named} on {args.benchmark}"
    (output / "report.html").write_text(html_report.build(title, summaries, runs, eao=eao))
    print(text)


if __name__ == "__main__":
    sys.exit(main())
