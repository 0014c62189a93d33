"""Paired bootstrap over sequences: whether one tracker is better, or had easier sequences.

Efron and Tibshirani 1993, chapters 6 and 13. Both trackers ran over the same sequences, so
the sequences are drawn anew with replacement and the mean difference is taken of each draw.
"""

from typing import NamedTuple

import numpy as np

RESAMPLES = 10_000
SEED = 0  # fixed, so that the same results always give the same interval
COVERED = 0.95


class Difference(NamedTuple):
    """Mean difference of two trackers over the same sequences.

    Attributes:
      mean: of the differences by sequence.
      low: lower end of the 95 % interval of the mean.
      high: upper end.
      twice_error: twice the standard error of the mean.
      sequences: number of sequences.
    """

    mean: float
    low: float
    high: float
    twice_error: float
    sequences: int


def mean_difference(first, second) -> Difference:
    """Computes the mean of `first - second` and how far another draw of sequences moves it.

    Args:
      first: f[N] numbers of a tracker by sequence, such as AUC.
      second: f[N] numbers of another one on the same sequences, in the same order.

    Returns:
      Difference, from RESAMPLES draws of N sequences with replacement.

    Raises:
      ValueError: there is no sequence, or the numbers are not as many.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError(
            "a paired comparison needs one number a sequence of both trackers, "
            f"got shapes {first.shape} and {second.shape}"
        )
    differences, count = first - second, len(first)
    draws = np.random.default_rng(SEED).integers(0, count, (RESAMPLES, count))
    means = differences[draws].mean(axis=1)  # f64[RESAMPLES, N] -> f64[RESAMPLES]
    low, high = np.quantile(means, [(1 - COVERED) / 2, (1 + COVERED) / 2])
    return Difference(
        float(differences.mean()), float(low), float(high), float(2 * means.std()), count
    )
