"""Prepare a training set: check its boxes, cut a patch around every object, pack them.

    siamfc prepare --dataset got10k --source GOT-10k --output prepared/got10k

Run it again after an interruption and it goes on where it was. docs/data.md leads
through each set. About 200 crops a second and core from 720p video.
"""

import os
import pathlib
import re

from siamfc_jax.commands import flags
from siamfc_jax.files import locked

STOPPED = "stopped; the same command goes on from here"

SHOWN = 50  # messages on the terminal; report.json beside the records has all


def add_arguments(parser, words) -> None:
    """Adds the flags.

    Args:
      parser: of this command.
      words: of the command.
    """
    del words
    from siamfc_jax.preparation.video_sets import READERS

    parser.epilog = "\n".join(f"{name}: SOURCE holds {r.layout}" for name, r in READERS.items())
    flag = parser.add_argument
    flag(
        "--dataset",
        required=True,
        metavar="NAME",
        help=f"one of {', '.join(READERS)}; tfds:NAME/CONFIG is a set below a tfds data folder",
    )
    flag("--source", required=True, metavar="DIR", help="folder of the published set, unpacked")
    result = parser.add_mutually_exclusive_group(required=True)
    result.add_argument(
        "--output", metavar="DIR", help="folder of the prepared set, one set and split each"
    )
    result.add_argument(
        "--check-only", action="store_true", help="read and check everything, write nothing"
    )
    flag("--split", metavar="NAME", help="part of the set (default: its training part)")
    flag(
        "--workers", type=int, default=os.cpu_count(), metavar="N",
        help="processes (default: %(default)s, the cores of this machine)",
    )  # fmt: skip
    flags.add_shard(
        flag, "do every Nth part of the set, from part I of 0..N-1 on; when all shares are "
        "done the same command without --shard joins them"
    )  # fmt: skip
    flag(
        "--as-is",
        action="store_true",
        help="store the source images unchanged: for sets that are patches already",
    )


def check(args) -> None:
    """Refuses words that cannot be followed.

    Args:
      args: the flags.

    Raises:
      ValueError: there is no such set or split, or no worker.
    """
    from siamfc_jax.preparation.video_sets import READERS

    dataset = args.dataset.partition(":")[0]
    if dataset not in READERS:
        raise ValueError(f"unknown --dataset '{dataset}', known are {', '.join(READERS)}")
    if args.split is not None and not re.fullmatch(r"\w+", args.split):
        raise ValueError(f"--split must be letters, digits and _, got '{args.split}'")
    if args.workers < 1:
        raise ValueError(f"--workers must be at least 1, got {args.workers}")
    if args.check_only:
        flags.refuse(args, "shard", "writes a share; leave out --check-only")
    flags.parse_shard(args.shard, {})


def run(args) -> None:
    """Prepares or checks a set, and prints what was kept and what was not.

    Args:
      args: the flags.

    Raises:
      ValueError: the set is not in its published form.
    """
    from siamfc_jax.preparation import shards
    from siamfc_jax.preparation.video_sets import READERS

    dataset, _, name = args.dataset.partition(":")
    source = pathlib.Path(args.source) / name
    split = args.split or READERS[dataset].split
    if args.check_only:
        jobs = shards.make_jobs(
            dataset=dataset, root=source, split=split, as_is=args.as_is, folder=None
        )
        report = shards.join_reports(shards.run_jobs(jobs, workers=args.workers))
    else:
        from siamfc_jax.preparation import builder

        what: dict = {"split": split, "as_is": args.as_is}
        share = flags.parse_shard(args.shard, {})
        with locked(args.output, share=args.shard):
            is_whole = builder.is_whole(args.output)
            if share == (0, 1) or is_whole:
                place, report = builder.prepare(
                    dataset, source, args.output, workers=args.workers, **what
                )
                if is_whole:
                    print("the whole set is there already, so nothing was done")
                print(f"records in {place}")
            else:
                jobs = builder.plan(dataset, source, args.output, **what)
                reports = shards.run_jobs(jobs[share[0] :: share[1]], workers=args.workers)
                report = shards.join_reports(reports)
                print(f"share {share[0]} of {share[1]} is done; when all are, the same command "
                      "without --shard joins them")  # fmt: skip
    print(shards.format_report(report, shown=None if args.check_only else SHOWN))
