"""Runs a tracker on a benchmark and reports its official numbers.

    python evaluate.py --benchmark otb --data DIR --weights siamfc-small --output runs/siamfc
    python evaluate.py --benchmark otb --data DIR --tracker csrt --output runs/csrt
    python evaluate.py --benchmark otb --data DIR --results runs/siamfc runs/csrt --output runs/all

The first two write a result file a sequence, `summary.json`, `table.md`, plots and
`report.html`; what has a result file already is not tracked again. The third only
reads result files, of any tracker, and compares them.
"""

import argparse
import dataclasses
import functools
import json
import multiprocessing
import os
import pathlib
import signal
import sys

from siamfc_jax import config, signals
from siamfc_jax.compilation import keep_compiled, keep_memory
from siamfc_jax.data.sequences import choose
from siamfc_jax.evaluation import (
    batched,
    html_report,
    opencv_trackers,
    plots,
    protocols,
    reports,
    runner,
)
from siamfc_jax.evaluation.benchmarks import BENCHMARKS
from siamfc_jax.network.saved_models import checksum, load_model
from siamfc_jax.tracking import tracker


def main(argv=None) -> int:
    """Runs the command; returns its exit code."""
    args = make_parser().parse_args(argv)
    keep_compiled()
    keep_memory()
    try:
        run(args)
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
    parser.add_argument("--benchmark", choices=BENCHMARKS, default="otb")
    parser.add_argument("--data", required=True, help="folder of the benchmark as published")
    parser.add_argument("--output", required=True, help="folder for results and report")
    parser.add_argument(
        "--weights", default="siamfc-small", help="our tracker: name or path of a model"
    )
    parser.add_argument(
        "--tracker", choices=opencv_trackers.NAMES, help="one of OpenCV's, not ours"
    )
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
    parser.add_argument(
        "--jobs", type=int, default=1, help="processes that share sequences and cores of a CPU"
    )
    parser.add_argument(
        "--together", type=int, default=1, metavar="N", help="sequences a call of a GPU or TPU"
    )
    config.add_arguments(parser, config.TrackerConfig)
    return parser


def run(args) -> None:
    """Tracks what has no result yet, then reports from the files."""
    benchmark, output = BENCHMARKS[args.benchmark], pathlib.Path(args.output)
    check(args)
    sequences = choose(benchmark.read(args.data), args.sequences)
    output.mkdir(parents=True, exist_ok=True)
    if args.results is None:
        settings = remember(args)
        # The longest first, so that all processes end together.
        by_length = sorted(sequences, key=lambda sequence: -len(sequence.frames))
        track = track_together if args.together > 1 else track_each
        total, names = track(args, settings, by_length)
        for number, name in enumerate(names, start=1):
            print(f"{number}/{total} {name}", flush=True)
    if benchmark.server:
        path = output / "submission.zip"
        runner.write_archive(path, output, [s.name for s in sequences], *benchmark.server)
        print(f"the true boxes are not published; send {path} to the server")
        return
    folders = [pathlib.Path(folder).resolve() for folder in args.results or [output]]
    if len({folder.name for folder in folders}) < len(folders):
        raise ValueError("--results needs folders of different names, they name the trackers")
    summaries = {folder.name: summarize(args, sequences, folder) for folder in folders}
    # Pictures show the first tracker, where there is one run a sequence.
    shown = protocol_of(args) == "ope"
    write_report(args, summaries, collect(args, sequences, folders[0]) if shown else {})


def check(args) -> None:
    """Refuses what cannot be done together."""
    for name in ("jobs", "together"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name} must be at least 1, got {getattr(args, name)}")
    if args.together > 1 and (args.tracker or args.jobs > 1 or BENCHMARKS[args.benchmark].eao):
        raise ValueError(
            "--together is for our tracker, in one process, on benchmarks without restarts; "
            "leave it out, or --tracker and --jobs"
        )


def remember(args):
    """Writes down whose results the output folder holds; refuses to mix them with others.

    Args:
      args: flags of the command.

    Returns:
      TrackerConfig of our tracker, None for another one.
    """
    path, settings = pathlib.Path(args.output) / "run.json", None
    run = {"benchmark": args.benchmark, "tracker": args.tracker or "siamfc_jax"}
    if not args.tracker:
        model = load_model(args.weights)
        settings = config.from_arguments(model.tracker_config, args)
        run["weights"] = checksum(model.variables)
        run["settings"] = dataclasses.asdict(settings)
    if path.is_file():
        before = json.loads(path.read_text())
        differing = [key for key in {**run, **before} if run.get(key) != before.get(key)]
        if differing:
            raise ValueError(
                f"{args.output} holds results of another run, with other {', '.join(differing)}; "
                "take another --output, or remove the folder"
            )
    partial = path.with_name("run.json.part")
    partial.write_text(json.dumps(run, indent=2) + "\n")
    os.replace(partial, path)
    return settings


def track_each(args, settings, sequences):
    """Tracks sequence by sequence; returns how many, and an iterator of names as they are done."""
    tasks = [(args, settings, sequence) for sequence in sequences]
    return len(tasks), map(track_one, tasks) if args.jobs == 1 else in_processes(tasks, args.jobs)


def in_processes(tasks, jobs: int):
    """Yields the results of `track_one`, from several processes."""
    context = multiprocessing.get_context("spawn")
    places = context.Queue()
    for place in range(jobs):
        places.put(place)
    with context.Pool(jobs, start_worker, (places, jobs)) as pool:
        yield from pool.imap_unordered(track_one, tasks)


def start_worker(places, jobs: int) -> None:
    """Gives a process its share of the cores: where all use all, they wait for each other."""
    signals.follow_parent(signal.SIGINT)
    place = places.get()
    if hasattr(os, "sched_setaffinity"):  # Linux
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[place % len(cores) :: jobs])
    keep_compiled()
    keep_memory()


def track_one(task) -> str:
    """Runs the tracker over one sequence and writes its results; returns its name."""
    args, settings, sequence = task
    track = make_track(args.tracker, args.weights, settings)
    one_based = BENCHMARKS[args.benchmark].one_based
    protocols.perform(track, sequence, protocol_of(args), args.output, one_based=one_based)
    return sequence.name


@functools.lru_cache(maxsize=1)
def make_track(name, weights, settings):
    """Returns the tracker as a generator function, once a process."""
    if name:
        return opencv_trackers.opencv(name)
    return runner.siamfc(tracker.prepare(load_model(weights)), config=settings)


def track_together(args, settings, sequences):
    """Tracks several sequences in one pass of the network; otherwise as `track_each`, by run."""
    params = tracker.prepare(load_model(args.weights))
    runs = protocols.pending(sequences, protocol_of(args), args.output)

    def results():
        found = batched.together(params, runs, config=settings, count=args.together)
        for name, result in found:
            one_based = BENCHMARKS[args.benchmark].one_based
            runner.write_result(args.output, name, result, one_based=one_based)
            yield name

    return len(runs), results()


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
    text = "\n".join(reports.tables(summaries))
    (output / "table.md").write_text(text)
    for name, figure in plots.figures(summaries, eao=eao).items():
        figure.savefig(output / f"{name}.png", dpi=150)
    named = next(iter(summaries)) if len(summaries) == 1 else f"{len(summaries)} trackers"
    title = f"{named} on {args.benchmark}"
    (output / "report.html").write_text(html_report.build(title, summaries, runs, eao=eao))
    print(text)


if __name__ == "__main__":
    sys.exit(main())
