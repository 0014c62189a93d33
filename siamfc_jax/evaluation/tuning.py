"""Chooses tracker settings for a model on validation sequences: `siamfc tune`."""

import dataclasses
import json
import pathlib
from typing import NamedTuple

import numpy as np

from siamfc_jax.config import TrackerConfig
from siamfc_jax.evaluation import bootstrap, runner, tables
from siamfc_jax.evaluation.benchmarks import Benchmark
from siamfc_jax.evaluation.protocols import Protocol
from siamfc_jax.tracking import tracker


class Found(NamedTuple):
    """What a search found.

    Attributes:
      config: the settings with the highest score.
      score: of them.
      gain: by sequence, of them over the settings that the search began with.
    """

    config: TrackerConfig
    score: float
    gain: bootstrap.Difference


# What is searched. The authors' values (tracker.m) lie inside.
RANGES = {
    "window_influence": (0.05, 0.5),
    "scale_penalty": (0.9, 1.0),
    "scale_rate": (0.1, 0.9),
    "scale_step": (1.01, 1.08),
}
STEP = 0.15  # standard deviation of a local trial, in shares of a range


def search(score, base: TrackerConfig, *, trials: int, seed: int, log, subject: dict) -> Found:
    """Looks for the settings with the highest score.

    The first trial is `base`. Half of the trials are drawn evenly from RANGES, the others
    around the best settings so far. Trials that are in the log already are not run again;
    the same seed and log lead to the same search.

    Args:
      score: TrackerConfig -> (number, list of one number a sequence).
      base: settings to begin with; settings that are not in RANGES stay.
      trials: number of settings to try, including those in the log.
      seed: of the drawing.
      log: file of one JSON object a trial, appended to.
      subject: what is tuned on what, as JSON has it; a log of another subject is refused.

    Returns:
      Found.

    Raises:
      ValueError: the log belongs to another search, or is damaged.
    """
    log, done = pathlib.Path(log), []
    for number, line in enumerate(log.read_text().splitlines() if log.is_file() else (), start=1):
        try:
            done.append(json.loads(line))
        except json.JSONDecodeError:
            raise ValueError(f"{log}, line {number} is no trial; remove the line") from None
    taken_over = len(done)
    for index in range(trials):
        settings = _propose(done[:index], base, trials, np.random.default_rng([seed, index]))
        if index < len(done):
            # Older versions wrote no subject.
            if done[index].get("subject") != subject or done[index]["settings"] != settings:
                raise ValueError(f"{log} is of another search; remove it, or repeat its command")
            continue
        if index == taken_over > 0:
            print(f"{log}: goes on after {taken_over} of {trials} trials", flush=True)
        value, by_sequence = score(dataclasses.replace(base, **settings))
        done.append(
            {"score": value, "settings": settings, "sequences": by_sequence, "subject": subject}
        )
        with log.open("a") as file:
            file.write(json.dumps(done[-1]) + "\n")
        tried = {name: settings[name] for name in RANGES}
        print(f"{index + 1}/{trials} {value:.4f} {tried}", flush=True)
    best = max(done[:trials], key=lambda trial: trial["score"])
    gain = bootstrap.mean_difference(best["sequences"], done[0]["sequences"])
    return Found(dataclasses.replace(base, **best["settings"]), best["score"], gain)


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


def score_on(sequences, model, benchmark: Benchmark, protocol: Protocol, *, every: int):
    """Makes the function that `search` maximises.

    Args:
      sequences: to track.
      model: network and settings; the settings are what is tried.
      benchmark: of BENCHMARKS; the score is the number that ranks its tables (AO of
        GOT-10k, AUC elsewhere).
      protocol: which runs over a sequence the number is a mean of.
      every: of these runs only the first and each `every`th after it.

    Returns:
      TrackerConfig -> (number, list of one number a sequence).
    """
    params = tracker.prepare(model)

    def score(settings):
        track = runner.siamfc(params, config=settings)
        runs = {
            sequence.name: [
                (protocol.run(track, run), run.sequence)
                for run in protocol.list_runs(sequence)[::every]
            ]
            for sequence in sequences
        }
        summary = protocol.summarize(runs, **benchmark.measures)
        column = tables.leading_column([summary])
        return summary[column], [row[column] for row in summary["sequences"].values()]

    return score
