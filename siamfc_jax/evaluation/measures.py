"""Turns results into the numbers of a benchmark.

The runs of a sequence are a list of (runner.Result, Sequence of the same length): one
pair for one pass, several for TRE, SRE or repetitions.
"""

from collections.abc import Callable

import numpy as np

from siamfc_jax.data.otb_table import ATTRIBUTES
from siamfc_jax.evaluation import metrics


def sequence_curves(runs: list, *, absent_counts: bool = False) -> dict:
    """Computes the curves of one sequence.

    Frames without a true box do not count. The first frame of a run counts with the
    true box, whatever the result says. Several runs are pooled by frame, so that a
    longer run weighs more, as in the OTB kit.

    Args:
      runs: (Result, Sequence) of one sequence.
      absent_counts: whether frames where the object is not visible count as missed,
        as in LaSOT's kit.

    Returns:
      `success` f64[21], `precision` and `normalized_precision` f64[51]; `seconds` and
      `read_seconds` of each frame but the first of a run.
    """
    pairs = []
    for result, sequence in runs:
        boxes = np.concatenate([sequence.boxes[:1], result.boxes[1:]])
        counted = np.isfinite(sequence.boxes).all(axis=1)
        if absent_counts:
            counted &= sequence.visible
        pairs.append((boxes[counted], sequence.boxes[counted]))
    boxes, truth = map(np.concatenate, zip(*pairs, strict=True))
    frames = sum(len(sequence.boxes) for _, sequence in runs)
    share = len(boxes) / frames if absent_counts else 1.0
    return {
        "success": share * metrics.success_curve(metrics.iou(boxes, truth)),
        "precision": share * metrics.precision_curve(metrics.center_error(boxes, truth)),
        "normalized_precision": share
        * metrics.precision_curve(
            metrics.normalized_error(boxes, truth), metrics.NORMALIZED_THRESHOLDS
        ),
        "seconds": np.concatenate([result.seconds[1:] for result, _ in runs]),
        "read_seconds": np.concatenate([result.read_seconds[1:] for result, _ in runs]),
    }


def mean_curves(curves: list[dict]) -> dict:
    """Averages curves over sequences; frame times are pooled.

    Args:
      curves: from `sequence_curves`, at least one.

    Returns:
      dict of the same keys. Every sequence weighs the same, as in OTB's and got10k's kits.
    """
    joined = {key: [curve[key] for curve in curves] for key in curves[0]}
    return {
        key: np.concatenate(values) if key.endswith("seconds") else np.mean(values, axis=0)
        for key, values in joined.items()
    }


def numbers(curves: dict) -> dict:
    """Computes the numbers that papers report for these curves.

    Args:
      curves: from `sequence_curves` or `mean_curves`.

    Returns:
      `success_auc` (mean of 21 rates), `success_50` (overlap above .5),
      `precision_20`, `normalized_precision_20` (error within .2) and
      `normalized_precision_auc` (0 to .5), and those of `speed`.
    """
    return {
        "success_auc": float(curves["success"].mean()),
        "success_50": float(curves["success"][10]),
        "precision_20": float(curves["precision"][20]),
        "normalized_precision_20": float(curves["normalized_precision"][20]),
        "normalized_precision_auc": float(curves["normalized_precision"].mean()),
        **speed(curves["seconds"], curves["read_seconds"]),
    }


def speed(seconds: np.ndarray, read_seconds: np.ndarray) -> dict:
    """Computes frames a second.

    Args:
      seconds: f[N] that the tracker took for each frame; NaN where unknown.
      read_seconds: f[N] that reading and decoding took; NaN where unknown.

    Returns:
      `fps` (by the mean time of a frame), `fps_median`, and both `_with_reading`;
      None where no time is known.
    """
    return {
        "fps": _rate(np.mean, seconds),
        "fps_median": _rate(np.median, seconds),
        "fps_with_reading": _rate(np.mean, seconds + read_seconds),
        "fps_median_with_reading": _rate(np.median, seconds + read_seconds),
    }


def _rate(average, seconds):
    seconds = seconds[np.isfinite(seconds)]
    return float(1 / average(seconds)) if len(seconds) and average(seconds) > 0 else None


def summarize(runs: dict, *, absent_counts: bool = False, extra: Callable | None = None) -> dict:
    """Computes a benchmark's numbers over all sequences, by sequence and by attribute.

    Args:
      runs: sequence name -> its runs.
      absent_counts: whether frames where the object is not visible count as missed.
      extra: computes further numbers from such a dict of runs: `got10k` or `alov`.

    Returns:
      The summary of a tracker: `numbers` and `extra` of all sequences; `curves`;
      `sequences` and `attributes`: name -> the numbers of one sequence, or of those with
      the attribute.
    """
    curves = {
        name: sequence_curves(pairs, absent_counts=absent_counts) for name, pairs in runs.items()
    }

    def numbers_of(names):
        further = extra({name: runs[name] for name in names}) if extra else {}
        return {**numbers(mean_curves([curves[name] for name in names])), **further}

    with_attribute = {}
    for name, pairs in runs.items():
        for attribute in pairs[0][1].attributes:
            with_attribute.setdefault(attribute, []).append(name)
    order = [*ATTRIBUTES, *sorted(set(with_attribute) - set(ATTRIBUTES))]
    mean = mean_curves(list(curves.values()))
    return {
        **numbers_of(runs),
        "curves": {key: mean[key].tolist() for key in mean if not key.endswith("seconds")},
        "attributes": {
            key: {"count": len(with_attribute[key]), **numbers_of(with_attribute[key])}
            for key in order
            if key in with_attribute
        },
        "sequences": {name: numbers_of([name]) for name in runs},
    }


def got10k(runs: dict) -> dict:
    """Computes GOT-10k's `ao`, `sr50` and `sr75`, every frame with the same weight.

    Args:
      runs: sequence name -> its runs; all repetitions count.

    Returns:
      dict of the three numbers.
    """
    overlaps = np.concatenate(
        [
            metrics.got10k_overlaps(
                result.boxes,
                sequence.boxes,
                sequence.frames[0].shape[1::-1],
                visible=sequence.visible,
            )
            for pairs in runs.values()
            for result, sequence in pairs
        ]
    )
    return {
        "ao": metrics.average_overlap(overlaps),
        "sr50": metrics.success_rate(overlaps, 0.5),
        "sr75": metrics.success_rate(overlaps, 0.75),
    }


def alov(runs: dict) -> dict:
    """Computes ALOV's F-score of the annotated frames, averaged over videos.

    Args:
      runs: sequence name -> its runs, of which the first counts.

    Returns:
      dict of `f_score`.
    """
    scores = []
    for (result, sequence), *_ in runs.values():
        annotated = np.isfinite(sequence.boxes).all(axis=1)
        overlaps = metrics.iou(result.boxes[annotated], sequence.boxes[annotated])
        predicted = np.isfinite(result.boxes[annotated]).all(axis=1)
        scores.append(metrics.f_score(overlaps, predicted, sequence.visible[annotated]))
    return {"f_score": float(np.mean(scores))}
