"""Turns results into the numbers and tables of a benchmark.

`runs` is everywhere a list of (evaluation.Result, Sequence of the same length):
one pair for one pass, several for TRE, SRE or repetitions of one sequence.
"""

import numpy as np

from siamfc_jax.data.otb_table import ATTRIBUTES
from siamfc_jax.evaluation import metrics

# Numbers of tables in their order; the first that is there ranks the rows.
COLUMNS = {
    "eao": "EAO",
    "ao": "AO",
    "sr50": "SR .50",
    "sr75": "SR .75",
    "f_score": "F",
    "success_auc": "AUC",
    "success_50": "SR .5",
    "precision_20": "P 20 px",
    "normalized_precision_20": "P norm .2",
    "accuracy": "A",
    "robustness": "R",
    "failures": "failures",
    "fps": "fps",
}


def measure(runs, *, absent_counts: bool = False) -> dict:
    """Computes the curves of one sequence.

    Frames without a true box do not count; the first frame of a run does, with the
    true box, whatever the result says. Several runs are pooled, so that a longer
    one weighs more, as in the OTB kit.

    Args:
      runs: of one sequence.
      absent_counts: whether frames where the object is not visible count as missed,
        as in LaSOT's kit.

    Returns:
      `success`, `precision` and `normalized_precision` curves, and the frame times
      `seconds`, `read_seconds` without the first frame of a run.
    """
    pairs = []
    for result, sequence in runs:
        boxes = np.concatenate([sequence.boxes[:1], result.boxes[1:]])
        kept = np.isfinite(sequence.boxes).all(axis=1)
        if absent_counts:
            kept &= sequence.visible
        pairs.append((boxes[kept], sequence.boxes[kept]))
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
      curves: of `measure`, at least one.

    Returns:
      the same keys. Every sequence weighs the same, as in OTB's and got10k's kits.
    """
    joined = {key: [curve[key] for curve in curves] for key in curves[0]}
    return {
        key: np.concatenate(values) if key.endswith("seconds") else np.mean(values, axis=0)
        for key, values in joined.items()
    }


def numbers(curves: dict) -> dict:
    """Computes the numbers that curves are known by.

    Args:
      curves: of `measure` or `mean_curves`.

    Returns:
      `success_auc` (mean of 21 rates), `success_50` (overlap above .5),
      `precision_20`, `normalized_precision_20` (error within .2) and
      `normalized_precision_auc` (0 to .5), and `speed`'s.
    """
    return {
        "success_auc": float(curves["success"].mean()),
        "success_50": float(curves["success"][10]),
        "precision_20": float(curves["precision"][20]),
        "normalized_precision_20": float(curves["normalized_precision"][20]),
        "normalized_precision_auc": float(curves["normalized_precision"].mean()),
        **speed(curves["seconds"], curves["read_seconds"]),
    }


def speed(seconds, read_seconds) -> dict:
    """Computes frames a second.

    Args:
      seconds: f[N] of the tracker, NaN where unknown.
      read_seconds: f[N] of reading and decoding, NaN where unknown.

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


def report(runs: dict, *, absent_counts: bool = False, extra=None) -> dict:
    """Computes a benchmark's numbers, over all, by sequence and by attribute.

    Args:
      runs: sequence name -> its runs.
      absent_counts: as of `measure`.
      extra: function of such a dict that returns further numbers, `got10k` or `alov`.

    Returns:
      `numbers` and `extra` of all sequences; `sequences` and `attributes`: name ->
      the same of one sequence, or of those with the attribute; `curves`.
    """
    curves = {name: measure(pairs, absent_counts=absent_counts) for name, pairs in runs.items()}

    def summarize(names):
        found = numbers(mean_curves([curves[name] for name in names]))
        return {**found, **(extra({name: runs[name] for name in names}) if extra else {})}

    with_attribute = {}
    for name, pairs in runs.items():
        for attribute in pairs[0][1].attributes:
            with_attribute.setdefault(attribute, []).append(name)
    order = [*ATTRIBUTES, *sorted(set(with_attribute) - set(ATTRIBUTES))]
    whole = mean_curves(list(curves.values()))
    return {
        **summarize(runs),
        "curves": {key: whole[key].tolist() for key in whole if not key.endswith("seconds")},
        "attributes": {
            key: {"count": len(with_attribute[key]), **summarize(with_attribute[key])}
            for key in order
            if key in with_attribute
        },
        "sequences": {name: summarize([name]) for name in runs},
    }


def got10k(runs: dict) -> dict:
    """Computes GOT-10k's `ao`, `sr50` and `sr75`, every frame with the same weight.

    Args:
      runs: sequence name -> its runs; all repetitions count.

    Returns:
      the three numbers.
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
      `f_score`.
    """
    scores = []
    for (result, sequence), *_ in runs.values():
        kept = np.isfinite(sequence.boxes).all(axis=1)
        overlaps = metrics.iou(result.boxes[kept], sequence.boxes[kept])
        predicted = np.isfinite(result.boxes[kept]).all(axis=1)
        scores.append(metrics.f_score(overlaps, predicted, sequence.visible[kept]))
    return {"f_score": float(np.mean(scores))}


def table(summaries: dict, *, heading: str) -> str:
    """Returns summaries as a markdown table, best by the first column of numbers first.

    Args:
      summaries: name -> numbers; those that all have and COLUMNS names are shown.
      heading: of the first column.
    """
    columns = [key for key in COLUMNS if all(key in found for found in summaries.values())]
    lines = [
        "| " + " | ".join([heading, *(COLUMNS[key] for key in columns)]) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for name in sorted(summaries, key=lambda name: -summaries[name][columns[0]]):
        cells = [_cell(key, summaries[name][key]) for key in columns]
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return "\n".join(lines) + "\n"


def comparison(summaries: dict, group: str, *, heading: str) -> str:
    """Returns a markdown table of one number, a row a sequence and a column a tracker.

    The number is the first of COLUMNS that all rows have; the best tracker stands first.

    Args:
      summaries: tracker -> numbers with `group`.
      group: `sequences` or `attributes`.
      heading: of the first column.
    """

    def first_of(rows):
        return next(key for key in COLUMNS if all(key in row for row in rows))

    ranking = first_of(summaries.values())
    names = sorted(summaries, key=lambda name: -summaries[name][ranking])
    groups = [summaries[name][group] for name in names]
    key = first_of([row for found in groups for row in found.values()])
    lines = [f"| {heading}: {COLUMNS[key]} | " + " | ".join(names) + " |"]
    lines += ["|---" * (1 + len(names)) + "|"]
    for row in groups[0]:
        cells = [_cell(key, found[row][key]) for found in groups]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def tables(summaries: dict) -> list[str]:
    """Returns the tables of a report: trackers, then attributes and sequences where there are any.

    Args:
      summaries: tracker -> of `report` or `protocols.report`; several are set side by side.
    """
    found = [table(summaries, heading="tracker")]
    first = next(iter(summaries.values()))
    for group in ("attributes", "sequences"):
        if first.get(group) and len(summaries) == 1:
            found.append(table(first[group], heading=group[:-1]))
        elif first.get(group):
            found.append(comparison(summaries, group, heading=group[:-1]))
    return found


def _cell(key, value):
    if value is None:
        return "-"
    return f"{value:.1f}" if key in ("fps", "failures") else f"{value:.3f}"
