"""The VOT challenges: runs with restarts, their measures and their files.

Two protocols, as the VOT toolkit 0.9 computes them. *Supervised* (VOT2013 to
2019): the tracker is started on the first frame; when its box no longer touches
the true region the frame is a failure and the tracker starts anew five frames
later. *Multi-start* (VOT2020 to 2022): it is started at every anchor frame and
runs to the end, or backwards to the beginning, without help.
"""

import numpy as np

from siamfc_jax.evaluation.vot_files import FAILED, STARTED, TRACKED

BURN_IN = 10  # frames after a start that accuracy leaves out
SENSITIVITY = 30  # frames over which "reliability" looks ahead
LOST_OVERLAP = 0.1  # multi-start: at or below for GRACE frames is a failure
GRACE = 10


def accuracy(codes, values) -> float:
    """Computes the mean overlap of a supervised run.

    Frames without a box do not count, nor do the BURN_IN frames from each start.

    Args:
      codes: i[T] of the run.
      values: f[T] of `overlaps`.

    Returns:
      mean overlap, 0 when no frame counts.
    """
    counts = np.asarray(codes) == TRACKED
    for start in np.flatnonzero(np.asarray(codes) == STARTED):
        counts[start : start + BURN_IN] = False
    return float(np.mean(np.asarray(values)[counts])) if counts.any() else 0.0


def fragments(codes, values) -> list[tuple[np.ndarray, bool]]:
    """Cuts a supervised run at its failures.

    Args:
      codes: i[T] of the run.
      values: f[T] of `overlaps`.

    Returns:
      (overlaps from a start up to the failure, or to the end; whether it reached
      the end) for each start.
    """
    codes, values = np.asarray(codes), np.asarray(values)
    starts, ends = np.flatnonzero(codes == STARTED), np.flatnonzero(codes == FAILED)
    return [
        (values[start : ends[i]], False) if i < len(ends) else (values[start:], True)
        for i, start in enumerate(starts)
    ]


def expected_overlap_curve(pieces) -> np.ndarray:
    """Computes the expected average overlap by run length, supervised protocol.

    Entry n is the mean of the overlaps of frames 1..n, averaged over the fragments
    that reach frame n; a failed one counts as 0 after its failure.

    Args:
      pieces: `fragments` of all runs on all sequences.

    Returns:
      f64[longest fragment]; entry 0 is 0.
    """
    length = max(len(values) for values, _ in pieces)
    total, count = np.zeros(length), np.zeros(length)
    for values, complete in pieces:
        padded = np.zeros(length)
        padded[1 : len(values)] = values[1:]
        reach = len(values) if complete else length
        means = np.cumsum(padded) / np.maximum(np.arange(length), 1)
        total[:reach] += means[:reach]
        count[:reach] += 1
    return total / count


def expected_average_overlap(curve, low: int, high: int) -> float:
    """Computes EAO, the mean of the curve from `low` to `high`, both included.

    Args:
      curve: f[N] of `expected_overlap_curve` or `multi_start_curve`.
      low: first run length, see benchmarks.BENCHMARKS.
      high: last run length.

    Returns:
      EAO.

    Raises:
      ValueError: the curve ends before `low`.
    """
    if len(curve) <= low:
        raise ValueError(
            f"EAO averages run lengths {low} to {high}, but the longest run has {len(curve)} "
            "frames; give a range that fits the sequences"
        )
    return float(np.mean(curve[low : high + 1]))


def supervised_report(runs: dict, *, low: int, high: int) -> dict:
    """Computes accuracy, robustness and EAO of supervised runs.

    Args:
      runs: sequence name -> list of (codes i[T], overlaps f[T]), one a repetition.
      low: first run length of EAO.
      high: last run length of EAO.

    Returns:
      `eao`; `accuracy` (sequences weighted by length); `failures` (sum over the
      sequences of the mean over repetitions); `failures_weighted` (the toolkit's
      "Robustness", sequences weighted by length); `failure_rate` (failures in 100
      frames, VOT2018's R); `reliability` (exp(-S F / frames)); `curve`; and
      `sequences`: name -> `accuracy` and `failures`.
    """
    lengths = np.array([len(group[0][0]) for group in runs.values()])
    failed = np.array(
        [np.mean([(codes == FAILED).sum() for codes, _ in group]) for group in runs.values()]
    )
    means = np.array(
        [np.mean([accuracy(codes, values) for codes, values in group]) for group in runs.values()]
    )
    curve = expected_overlap_curve(
        [piece for group in runs.values() for run in group for piece in fragments(*run)]
    )
    weighted = float((failed * lengths).sum() / lengths.sum())
    return {
        "eao": expected_average_overlap(curve, low, high),
        "accuracy": float((means * lengths).sum() / lengths.sum()),
        "failures": float(failed.sum()),
        "failures_weighted": weighted,
        "failure_rate": float(100 * failed.sum() / lengths.sum()),
        "reliability": float(np.exp(-SENSITIVITY * weighted / lengths.mean())),
        "curve": curve.tolist(),
        "sequences": {
            name: {"accuracy": float(mean), "failures": float(count)}
            for name, mean, count in zip(runs, means, failed, strict=True)
        },
    }


def progress(values, present) -> int:
    """Returns the number of frames before a multi-start run is lost.

    Lost means: an overlap of at most LOST_OVERLAP for GRACE frames in a row in
    which the object is present. The start counts, its overlap is 0.

    Args:
      values: f[T] of `overlaps`.
      present: bool[T].
    """
    grace = GRACE
    for index, lost in enumerate((np.asarray(values) <= LOST_OVERLAP) & np.asarray(present)):
        grace = grace - 1 if lost else GRACE
        if grace == 0:
            return index + 1 - GRACE
    return len(values)


def multi_start_curve(pieces, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Computes the expected overlap curve of one sequence, multi-start protocol.

    Beyond its end a lost run counts with its sum over n - 1 frames, as in the
    toolkit's `compute_eao_partial`.

    Args:
      pieces: (overlaps, 0 after a loss; whether it was tracked to the end) by anchor.
      length: number of entries.

    Returns:
      sums f64[length] and numbers of runs f64[length].
    """
    total, count = np.zeros(length), np.zeros(length)
    steps = np.arange(length)
    for values, complete in pieces:
        sums = np.concatenate([[0.0], np.cumsum(values[1:])])[:length]
        inside = slice(1, len(sums))
        total[inside] += sums[inside] / steps[inside]
        count[inside] += 1
        if not complete and len(values) < length:
            total[len(values) :] += sums[-1] / np.maximum(steps[len(values) :] - 1, 1)
            count[len(values) :] += 1
    return total, count


def multi_start_report(runs: dict, *, lengths: dict, low: int, high: int) -> dict:
    """Computes accuracy, robustness and EAO of multi-start runs.

    Args:
      runs: sequence name -> list of (overlaps f[n], present bool[n]) by anchor, in
        the order of the run, the start first.
      lengths: sequence name -> number of frames.
      low: first run length of EAO.
      high: last run length of EAO.

    Returns:
      `eao`, `accuracy` (mean overlap of all frames before a loss), `robustness`
      (share of frames before a loss, sequences weighted by length), `curve`; and
      `sequences`: name -> `accuracy` and `robustness`.
    """
    total, count = np.zeros(high), np.zeros(high)
    hits = tracked = robustness = 0.0
    sequences = {}
    for name, group in runs.items():
        ends = [progress(*run) for run in group]
        kept = [
            np.where(np.arange(len(values)) < end, values, 0.0)
            for (values, _), end in zip(group, ends, strict=True)
        ]
        pieces = [(values, end == len(values)) for values, end in zip(kept, ends, strict=True)]
        sums, numbers = multi_start_curve(pieces, high)
        total, count = total + sums, count + numbers
        hit, share = sum(values.sum() for values in kept), sum(ends) / sum(map(len, kept))
        hits, tracked = hits + hit, tracked + sum(ends)
        robustness += lengths[name] * share
        sequences[name] = {"accuracy": float(hit / max(sum(ends), 1)), "robustness": share}
    curve = total / np.maximum(count, 1)
    return {
        "eao": expected_average_overlap(curve, low, high),
        "accuracy": float(hits / tracked) if tracked else 0.0,
        "robustness": float(robustness / sum(lengths[name] for name in runs)),
        "curve": curve.tolist(),
        "sequences": sequences,
    }
