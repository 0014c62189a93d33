"""Prepares a training set: checks its boxes, cuts a patch around every object, packs them.

    python -m siamfc_jax.preparation --dataset got10k --source GOT-10k --output prepared/got10k

Run it again after an interruption and it goes on where it was. docs/data.md leads
through each set. About 200 crops a second and core from 720p video.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import sys

from siamfc_jax.preparation import shards
from siamfc_jax.preparation.builder import prepare
from siamfc_jax.preparation.video_sets import READERS

SHOWN = 50  # messages on the terminal; report.json beside the records has all


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m siamfc_jax.preparation",
        description="Prepares a training set.",
        epilog="\n".join(f"{name}: SOURCE holds {r.layout}" for name, r in READERS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--dataset",
        required=True,
        help=f"one of {', '.join(READERS)}; tfds:NAME/CONFIG is a set below a tfds data folder",
    )
    parser.add_argument("--source", required=True, help="folder of the published set, unpacked")
    parser.add_argument("--output", help="folder of the prepared set, one set and split each")
    parser.add_argument("--split", help="part of the set (default: its training part)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument(
        "--check-only", action="store_true", help="read and check everything, write nothing"
    )
    parser.add_argument(
        "--as-is",
        action="store_true",
        help="store the source images unchanged: for sets that are patches already",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit code, 2 where the input is at fault, 130 for Ctrl-C."""
    args = make_parser().parse_args(argv)
    dataset, _, name = args.dataset.partition(":")
    source = pathlib.Path(args.source) / name
    try:
        if dataset not in READERS:
            raise ValueError(f"unknown --dataset '{dataset}', known are {', '.join(READERS)}")
        split = args.split or READERS[dataset].split
        if not re.fullmatch(r"\w+", split):
            raise ValueError(f"--split must be letters, digits and _, got '{split}'")
        if args.workers < 1:
            raise ValueError(f"--workers must be at least 1, got {args.workers}")
        if args.check_only:
            jobs = shards.make_jobs(
                dataset=dataset, root=source, split=split, as_is=args.as_is, folder=None
            )
            report = shards.join_reports(shards.run_jobs(jobs, workers=args.workers))
        elif args.output:
            place, report = prepare(
                dataset, source, args.output, split=split, workers=args.workers, as_is=args.as_is
            )
            print(f"records in {place}")
        else:
            raise ValueError("--output is missing; name a folder, or give --check-only")
    except (ValueError, OSError, concurrent.futures.BrokenExecutor) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    print(shards.format_report(report, shown=None if args.check_only else SHOWN))
    return 0


if __name__ == "__main__":
    sys.exit(main())
