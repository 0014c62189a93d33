"""Runs the tracker of a plan over what has no result yet: one by one, in processes, or batched."""

import functools
import json
import multiprocessing
import signal
from collections.abc import Iterator

from siamfc_jax import signals
from siamfc_jax.compilation import (
    keep_compiled,
    keep_memory,
    share_accelerator,
    use_own_cores,
)
from siamfc_jax.data.sequences import Sequence
from siamfc_jax.evaluation import batched, protocols
from siamfc_jax.evaluation.plan import Plan
from siamfc_jax.files import write_whole
from siamfc_jax.network.saved_models import load_model
from siamfc_jax.tracking import tracker


def track(plan: Plan) -> Iterator[str]:
    """Tracks what has no result file yet.

    Args:
      plan: with a tracker.

    Yields:
      a line of progress after each sequence, or after each run of a batch.

    Raises:
      ValueError: the output folder holds results of something else, or the tracker fails.
    """
    plan.output.mkdir(parents=True, exist_ok=True)
    write_run_settings(plan)
    # The longest first, so that all processes end together.
    by_length = sorted(plan.sequences, key=lambda sequence: -len(sequence.frames))
    if plan.together > 1:
        total, names = _track_batched(plan, by_length)
    else:
        tasks = [(plan._replace(sequences=[]), sequence) for sequence in by_length]
        total = len(tasks)
        names = map(_track_one, tasks) if plan.jobs == 1 else _track_in_processes(tasks, plan.jobs)
    for number, name in enumerate(names, start=1):
        yield f"{number}/{total} {name}"


def write_run_settings(plan: Plan) -> None:
    """Writes into `run.json` whose results the output folder holds; refuses to mix results.

    Args:
      plan: with a tracker.

    Raises:
      ValueError: the folder holds results of another tracker, settings or benchmark.
    """
    if plan.tracker is None:
        raise ValueError("this plan has no tracker to run; it only reports")
    path = plan.output / "run.json"
    settings = {"benchmark": plan.name, **plan.tracker.describe()}
    before = _read_settings(path) if path.is_file() else settings
    differing = [key for key in {**settings, **before} if settings.get(key) != before.get(key)]
    if differing:
        raise ValueError(
            f"{plan.output} holds results of another run, with other {', '.join(differing)}; "
            "take another --output, or remove the folder"
        )
    write_whole(path, json.dumps(settings, indent=2) + "\n")


def _read_settings(path):
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict):
        raise ValueError(f"{path} does not say whose results lie there; take another --output")
    return settings


def _track_in_processes(tasks, jobs):
    """Yields the results of `_track_one`, from several processes."""
    context = multiprocessing.get_context("spawn")
    numbers = context.Queue()
    for number in range(jobs):
        numbers.put(number)
    with context.Pool(jobs, _start_worker, (numbers, jobs)) as pool:
        yield from pool.imap_unordered(_track_one, tasks)


def _start_worker(numbers, jobs):
    """Prepares a process: it has cores of its own, and Ctrl-C is a matter of the parent."""
    signals.follow_parent(signal.SIGINT)
    use_own_cores(numbers.get(), jobs)
    share_accelerator()
    keep_compiled()
    keep_memory()


def _track_one(task: tuple[Plan, Sequence]) -> str:
    """Runs the tracker over one sequence and writes its results; returns its name."""
    plan, sequence = task
    one_based = plan.benchmark.one_based
    protocols.run_sequence(
        plan.protocol, _make(plan.tracker), sequence, plan.output, one_based=one_based
    )
    return sequence.name


@functools.lru_cache(maxsize=1)
def _make(chosen):
    """Makes the tracker once a process."""
    return chosen.make()


def _track_batched(plan, sequences):
    """Returns how many runs there are, and an iterator of their names as they end."""
    params = tracker.prepare(load_model(plan.tracker.weights))
    runs = protocols.pending_runs(plan.protocol, sequences, plan.output)

    def names():
        config, one_based = plan.tracker.settings, plan.benchmark.one_based
        ended = batched.track_all(params, runs, config=config, count=plan.together)
        for name, result in ended:
            plan.protocol.write(plan.output, name, result, one_based=one_based)
            yield name

    return len(runs), names()
