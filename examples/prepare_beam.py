"""Prepares a training set with Apache Beam; the flags are those of `siamfc prepare`.

    pip install -r requirements-beam.txt
    python examples/prepare_beam.py --dataset got10k --source GOT-10k --output prepared/got10k \
        -- --runner FlinkRunner --flink_master HOST:8081

What follows `--` is for Beam; without it Beam's own runner works, on this machine:
`-- --runner DirectRunner --direct_running_mode multi_processing --direct_num_workers 2`. The
folders of the source and of the output must be the same path on all machines. The prepared set
is that of `siamfc prepare` byte for byte. A worker that dies costs the shards it had, of which a
set has at most 128; Beam's own runner then waits for ever, so stop it with Ctrl-C. A run that was
stopped goes on where it was, by either command.
"""

import pathlib
import sys

from siamfc_jax.commands import prepare, shell
from siamfc_jax.files import locked
from siamfc_jax.preparation import builder, shards


def main(words) -> int:
    """Runs the command; returns its exit code."""
    place = words.index("--") if "--" in words else len(words)
    words, beam_words = words[:place], words[place + 1 :]
    args = shell.make_parser(["prepare", *words]).parse_args(words)
    prepare.check(args)
    if not args.output or args.shard:
        raise ValueError("give --output DIR, and neither --check-only nor --shard")
    import apache_beam as beam  # here, as words are checked before it
    from apache_beam.options.pipeline_options import PipelineOptions

    dataset, _, name = args.dataset.partition(":")
    source = pathlib.Path(args.source, name).absolute()
    output = pathlib.Path(args.output).absolute()
    if builder.is_whole(output):
        return shell.main(["prepare", *words])  # says what is there
    with locked(output):
        jobs = builder.plan(dataset, source, output, split=args.split, as_is=args.as_is)
        with beam.Pipeline(options=PipelineOptions(beam_words)) as pipeline:
            (
                pipeline
                | "shards" >> beam.Create([tuple(job) for job in jobs])
                | "to all workers" >> beam.Reshuffle()
                | "write" >> beam.Map(write)
            )
        missing = sum(not pathlib.Path(f"{job.stem}.json").is_file() for job in jobs)
        if missing:
            raise ValueError(
                f"{missing} of {len(jobs)} shards are not in {output}; it must be the same "
                "folder on all machines"
            )
    return shell.main(["prepare", *words])  # finds all done, and joins it


def write(job) -> None:
    """Writes a shard, on a worker."""
    shards.write_shard(shards.ShardJob(*job))


if __name__ == "__main__":
    sys.exit(shell.guard(lambda: main(sys.argv[1:])))
