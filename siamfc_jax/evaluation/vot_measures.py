"""The measures of the VOT challenges, as the VOT toolkit 0.9 computes them.

Overlaps of regions, rectangles or polygons, are counted in whole pixels. The runs that are
measured are described in vot_runs.py.
"""

import numpy as np

from siamfc_jax.evaluation.vot_files import FAILED, STARTED, TRACKED, Trajectory

BURN_IN = 10  # frames after a start that accuracy leaves out
SENSITIVITY = 30  # frames over which "reliability" looks ahead
LOST_OVERLAP = 0.1  # multi-start: at or below for GRACE frames is a failure
GRACE = 10


def overlaps(trajectory: Trajectory, regions, frame_size: tuple[int, int]) -> np.ndarray:
    """Computes the overlap of each frame; 0 where there is no box.

    Args:
      trajectory: of T frames.
      regions: T true regions, f[4] or f[2 N]; NaN where there is none.
      frame_size: (width, height).

    Returns:
      f64[T].

    Raises:
      ValueError: the lengths differ.
    """
    if len(trajectory.codes) != len(regions):
        raise ValueError(
            f"{len(trajectory.codes)} frames were tracked, {len(regions)} have a true region"
        )
    return np.array(
        [
            region_overlap(box, region, frame_size)
            if code == TRACKED and np.isfinite(box).all() and np.isfinite(region).all()
            else 0.0
            for code, box, region in zip(trajectory.codes, trajectory.boxes, regions, strict=True)
        ]
    )


def region_overlap(region, truth, frame_size: tuple[int, int]) -> float:
    """Computes intersection over union in pixels of the frame.

    Numbers are rounded first, halves to even. A rectangle covers w x h pixels; a polygon
    also covers the pixels under its right and lower edges. Two regions that span at most
    one pixel together count as equal.

    Args:
      region: f[4] `x, y, w, h`, or the corners f[2 N] `x, y, ...` of a convex polygon.
      truth: the same.
      frame_size: (width, height); pixels outside do not count.

    Returns:
      intersection over union in [0, 1].
    """
    a, b = np.round(np.asarray(region, float)), np.round(np.asarray(truth, float))
    low_a, high_a = _bounds(a)
    low_b, high_b = _bounds(b)
    low, high = np.minimum(low_a, low_b), np.maximum(high_a, high_b)
    if (low >= high).any():
        return 1.0
    low, high = np.maximum(low, 0), np.minimum(high, np.asarray(frame_size) - 1)
    if (low >= high).any():
        return 0.0
    (left_a, right_a), (left_b, right_b) = _spans(a, low, high), _spans(b, low, high)
    both = _count(np.maximum(left_a, left_b), np.minimum(right_a, right_b))
    either = _count(left_a, right_a) + _count(left_b, right_b) - both
    return float(both / either) if either else 0.0


def _bounds(region):
    if len(region) == 4:
        return region[:2], region[:2] + region[2:] - 1
    corners = region.reshape(-1, 2)  # f[2 N] -> f[N, 2]
    return corners.min(0), corners.max(0)


def _count(left, right):
    return np.maximum(right - left + 1, 0).sum()


def _spans(region, low, high):
    """Returns the first and last column of a region in each row from low to high."""
    rows = np.arange(low[1], high[1] + 1)
    if len(region) == 4:
        x, y, width, height = region
        inside = (rows >= y) & (rows < y + height)
        left = np.where(inside, max(x, low[0]), np.inf)
        return left, np.where(inside, min(x + width - 1, high[0]), -np.inf)
    start = region.reshape(-1, 2) - low  # columns are cut towards zero from `low`
    end, rows = np.roll(start, 1, axis=0), rows[:, None] - low[1]
    rise = end[:, 1] - start[:, 1]
    touched = (np.minimum(start[:, 1], end[:, 1]) <= rows) & (
        rows <= np.maximum(start[:, 1], end[:, 1])
    )
    share = (rows - start[:, 1]) / np.where(rise == 0, 1, rise)
    columns = np.trunc(start[:, 0] + np.where(rise == 0, 0, share * (end[:, 0] - start[:, 0])))
    left = np.where(touched, columns, np.inf).min(1)
    right = np.where(touched, columns, -np.inf).max(1)
    return np.maximum(left, 0) + low[0], np.minimum(right, high[0] - low[0]) + low[0]


def accuracy(codes, values) -> float:
    """Computes the mean overlap of a supervised run.

    Frames without a box and the BURN_IN frames from each start do not count.

    Args:
      codes: i[T] of a Trajectory.
      values: f[T] overlaps, from `overlaps`.

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
      codes: i[T] of a Trajectory.
      values: f[T] overlaps, from `overlaps`.

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
      pieces: the `fragments` of all runs on all sequences.

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
      curve: f[N], from `expected_overlap_curve` or `multi_start_report`.
      low: first run length; benchmarks.BENCHMARKS has those of each year.
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

    A run is lost where the overlap is at most LOST_OVERLAP for GRACE frames in a row in
    which the object is present. The start counts among them, with an overlap of 0.

    Args:
      values: f[T] overlaps, from `overlaps`.
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

    Beyond its end, a lost run counts with its sum of overlaps divided by n - 1, as in the
    toolkit's `compute_eao_partial`.

    Args:
      pieces: one (overlaps, 0 after a loss; whether it was tracked to the end) an anchor.
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
