"""Chooses tracker settings for a model on validation sequences.

    python -m siamfc_jax.evaluation.tuning --weights runs/a --data GOT-10k --output models/a

tries settings on GOT-10k's validation set and writes the model with the best ones into
`--output`. The search begins with the settings of the model, or with what flags such as
`--scales-on exemplar` put in their place. A set that is for testing is refused unless
`--force` says otherwise. Every trial is a line of `OUTPUT.trials.jsonl`; an interrupted
search goes on.
"""

import argparse
import dataclasses
import json
import pathlib
import sys

import numpy as np

from siamfc_jax import config
from siamfc_jax.config import TrackerConfig
from siamfc_jax.data.sequences import choose
from siamfc_jax.evaluation import reports, runner
from siamfc_jax.evaluation.benchmarks import BENCHMARKS
from siamfc_jax.network.saved_models import load_model, save_model
from siamfc_jax.tracking import tracker

# What is searched. The authors' values (tracker.m) lie inside.
RANGES = {
    "window_influence": (0.05, 0.5),
    "scale_penalty": (0.9, 1.0),
    "scale_rate": (0.1, 0.9),
    "scale_step": (1.01, 1.08),
}
VALIDATION = ("got10k-val",)
STEP = 0.15  # standard deviation of a local trial, in shares of a range


def search(score, base: TrackerConfig, *, trials: int, seed: int, log) -> tuple:
    """Looks for the settings with the highest score.

    The first trial is `base`; up to the half are drawn evenly from RANGES, the others
    around the best so far. Trials that the log holds already are not run again; the
    same seed and log lead to the same search.

    Args:
      score: TrackerConfig -> number.
      base: settings to begin with; what is not in RANGES stays.
      trials: number of settings to try, the ones in the log included.
      seed: of the drawing.
      log: file of one JSON object a trial, appended to.

    Returns:
      (best TrackerConfig, its score).

    Raises:
      ValueError: the log is of another search, or damaged.
    """
    log, done = pathlib.Path(log), []
    for number, line in enumerate(log.read_text().splitlines() if log.is_file() else (), start=1):
        try:
            done.append(json.loads(line))
        except json.JSONDecodeError:
            raise ValueError(f"{log}, line {number} is no trial; remove the line") from None
    for index in range(trials):
        settings = _propose(done[:index], base, trials, np.random.default_rng([seed, index]))
        if index < len(done):
            if done[index]["settings"] != settings:
                raise ValueError(f"{log} is of another search; remove it, or repeat its command")
            continue
        value = score(dataclasses.replace(base, **settings))
        done.append({"score": value, "settings": settings})
        with log.open("a") as file:
            file.write(json.dumps(done[-1]) + "\n")
        tried = {name: settings[name] for name in RANGES}
        print(f"{index + 1}/{trials} {value:.4f} {tried}", flush=True)
    best = max(done[:trials], key=lambda trial: trial["score"])
    return dataclasses.replace(base, **best["settings"]), best["score"]


def _propose(done, base, trials, rng):
    if not done:
        return dataclasses.asdict(base)
    low, high = np.array(list(RANGES.values())).T
    if len(done) <= trials // 2:
        values = rng.uniform(low, high)
    else:
        best = max(done, key=lambda trial: trial["score"])["settings"]
        center = np.array([best[name] for name in RANGES])
        values = np.clip(center + rng.normal(0, STEP, len(low)) * (high - low), low, high)
    tried = {name: round(float(value), 4) for name, value in zip(RANGES, values, strict=True)}
    return dataclasses.asdict(base) | tried


def score_on(sequences, model, benchmark):
    """Makes the function that `search` maximises.

    Args:
      sequences: to track.
      model: whose settings are tried.
      benchmark: of BENCHMARKS; AO where it has one, else the success AUC.

    Returns:
      TrackerConfig -> number.
    """
    params = tracker.prepare(model)

    def score(settings):
        track = runner.siamfc(params, config=settings)
        runs = {s.name: [(runner.one_pass(track, s), s)] for s in sequences}
        if benchmark.extra:
            return next(iter(benchmark.extra(runs).values()))
        return reports.report(runs)["success_auc"]

    return score


def main(argv=None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    one_pass = [name for name, entry in BENCHMARKS.items() if entry.protocol == "ope"]
    parser.add_argument("--benchmark", choices=one_pass, default=VALIDATION[0])
    parser.add_argument("--data", required=True, help="folder of the benchmark as published")
    parser.add_argument("--weights", required=True, help="name or path of a model")
    parser.add_argument("--output", required=True, help="folder for the model with its settings")
    parser.add_argument("--trials", type=int, default=60, help="settings to try")
    parser.add_argument("--sequences", nargs="+", metavar="NAME", help="only these")
    parser.add_argument("--seed", type=int, default=0, help="of the search")
    parser.add_argument("--force", action="store_true", help="tune on a test set all the same")
    config.add_arguments(parser, TrackerConfig)
    args = parser.parse_args(argv)
    try:
        run(args)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def run(args) -> None:
    """Searches, then writes the model.

    Args:
      args: flags of the command.

    Raises:
      ValueError: a test set without `--force`, or nothing to search.
    """
    benchmark = BENCHMARKS[args.benchmark]
    if benchmark.server:
        raise ValueError(f"the true boxes of {args.benchmark} are not published")
    if args.benchmark not in VALIDATION and not args.force:
        raise ValueError(
            f"{args.benchmark} is a test set: numbers on it mean nothing once it chose the "
            f"settings; tune on {' or '.join(VALIDATION)}, or say --force"
        )
    if args.trials < 1:
        raise ValueError(f"--trials must be at least 1, got {args.trials}")
    sequences = choose(benchmark.read(args.data), args.sequences)
    model, output = load_model(args.weights), pathlib.Path(args.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    log = output.with_name(f"{output.name}.trials.jsonl")
    score = score_on(sequences, model, benchmark)
    base = config.from_arguments(model.tracker_config, args)
    best, value = search(score, base, trials=args.trials, seed=args.seed, log=log)
    save_model(output, model._replace(tracker_config=best))
    chosen = ", ".join(f"{name} {getattr(best, name)}" for name in RANGES)
    print(f"{output}: {value:.4f} with {chosen}")


if __name__ == "__main__":
    sys.exit(main())
