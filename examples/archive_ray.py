"""Tracks an archive on a Ray cluster; the flags are those of `siamfc track --manifest`.

    pip install -r requirements-ray.txt
    python examples/archive_ray.py --manifest jobs.csv --output results --jobs 2

`--jobs` is the number of actors, each with one CPU (or a GPU, with `--gpus 1`). An actor
compiles the tracker once and takes one video after the other. The folders of videos and results
must be the same path on all machines. Results equal those of `siamfc track --manifest` byte for
byte, and a run that was stopped goes on where it was, by either command.
"""

import sys

from siamfc_jax import compilation
from siamfc_jax.commands import archive, shell


class Actor:
    """A process of the cluster that tracks."""

    def __init__(self, work):
        """Takes the `work` of an `archive.Archive`."""
        compilation.share_accelerator()
        self.work = work

    def __call__(self, row):
        """Tracks the entry of a row."""
        return {"outcome": self.work(row["entry"])}


def main(words) -> int:
    """Runs the command; returns its exit code."""
    gpus = 0.0
    if "--gpus" in words:
        place = words.index("--gpus")
        gpus = float(words[place + 1])
        words = words[:place] + words[place + 2 :]
    args = shell.make_parser(["track", *words]).parse_args(words)
    if not args.manifest:
        raise ValueError("give --manifest FILE.csv and --output DIR")
    if args.together:
        raise ValueError("--together is for the processes of one machine; give --jobs")
    import ray  # here, as words are checked before it

    archive.check(args)
    plan = archive.plan(args)
    ray.init(ignore_reinit_error=True, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False  # `follow` shows its own
    entries = ray.data.from_items(
        [{"entry": entry} for entry in plan.waiting],
        override_num_blocks=max(1, len(plan.waiting)),  # one video a task, so that none waits
    )
    outcomes = entries.map(
        Actor,
        fn_constructor_args=(plan.work,),
        compute=ray.data.ActorPoolStrategy(size=args.jobs or 1),
        num_cpus=1,
        num_gpus=gpus,  # Ray Data restarts an actor that is killed, and the video it had
    )
    return archive.follow(plan, (row["outcome"] for row in outcomes.iter_rows()))


if __name__ == "__main__":
    sys.exit(shell.guard(lambda: main(sys.argv[1:])))
