"""Draws the plots of a benchmark.

Every function returns a matplotlib Figure; a tracker has the same colour in all
of them when they are given the same trackers in the same order.
"""

import io

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from siamfc_jax.data.otb_table import ATTRIBUTES
from siamfc_jax.data.sequences import Sequence
from siamfc_jax.evaluation import metrics
from siamfc_jax.evaluation.runner import Result

COLORS = matplotlib.color_sequences["tab10"]
STYLES = ("-", "--", "-.", ":")
LOST = "#f4c7c3"  # behind frames without overlap


def figures(summaries: dict) -> dict[str, Figure]:
    """Draws all plots that compare trackers.

    Args:
      summaries: tracker -> its summary, from a protocol's `summarize`.

    Returns:
      name -> Figure.
    """
    if "eao" in next(iter(summaries.values())):
        return {"eao": eao_plot(summaries)}
    drawn = {"success": success_plot(summaries), "precision": precision_plot(summaries)}
    if next(iter(summaries.values()))["attributes"]:
        drawn["attributes"] = attribute_bars(summaries)
    return drawn


def png(figure: Figure) -> bytes:
    """Returns a drawing as a PNG file."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=150)
    return picture.getvalue()


def success_plot(summaries: dict) -> Figure:
    """Draws the share of frames above each overlap, the legend ranked by AUC.

    Args:
      summaries: tracker -> its summary.

    Returns:
      Figure.
    """
    return _curves(
        summaries,
        metrics.SUCCESS_THRESHOLDS,
        "success",
        "success_auc",
        ("overlap threshold", "success rate", "Success (AUC)"),
    )


def precision_plot(summaries: dict) -> Figure:
    """Draws the share of frames within each distance, the legend ranked by that at 20 px.

    Args:
      summaries: tracker -> its summary.

    Returns:
      Figure.
    """
    figure = _curves(
        summaries,
        metrics.PRECISION_THRESHOLDS,
        "precision",
        "precision_20",
        ("location error threshold in pixels", "precision", "Precision (at 20 px)"),
    )
    figure.axes[0].axvline(20, color="0.6", linewidth=0.8, zorder=0)
    return figure


def _curves(summaries, thresholds, curve, score, labels):
    figure, axes = _figure(7.2, 4.2)
    looks = _looks(summaries)
    for name in sorted(summaries, key=lambda name: -summaries[name][score]):
        summary = summaries[name]
        label = f"{summary[score]:.3f}  {name}"
        axes.plot(thresholds, summary["curves"][curve], label=label, **looks[name])
    axes.set(xlim=(0, thresholds[-1]), ylim=(0, 1), xlabel=labels[0], ylabel=labels[1])
    axes.set_title(labels[2], loc="left")
    _legend_beside(axes)
    return figure


def _legend_beside(axes):
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), fontsize=9, frameon=False)


def eao_plot(summaries: dict) -> Figure:
    """Draws the expected average overlap by run length, the averaged range shaded.

    Args:
      summaries: tracker -> its summary, all with the same `eao_range`.

    Returns:
      Figure.
    """
    low, high = next(iter(summaries.values()))["eao_range"]
    figure, axes = _figure(7.2, 4.2)
    looks = _looks(summaries)
    for name in sorted(summaries, key=lambda name: -summaries[name]["eao"]):
        summary = summaries[name]
        lengths = np.arange(1, len(summary["curve"]))
        label = f"{summary['eao']:.3f}  {name}"
        axes.plot(lengths, summary["curve"][1:], label=label, **looks[name])
    axes.axvspan(low, high, color="0.92", zorder=0)
    longest = max(len(summary["curve"]) for summary in summaries.values())
    axes.set(xlim=(0, longest), ylim=(0, 1), xlabel="run length in frames")
    axes.set(ylabel="expected average overlap")
    axes.set_title(f"EAO (mean from {low} to {high})", loc="left")
    _legend_beside(axes)
    return figure


def attribute_bars(summaries: dict) -> Figure:
    """Draws the AUC by attribute, one bar a tracker.

    Args:
      summaries: tracker -> its summary; the attributes of the first are drawn.

    Returns:
      Figure.
    """
    attributes = next(iter(summaries.values()))["attributes"]
    names, looks = list(attributes), _looks(summaries)
    figure, axes = _figure(np.clip(1.2 + 0.25 * len(names) * (1 + len(summaries)), 5.6, 12), 4.2)
    width = 0.8 / len(summaries)
    for index, (name, summary) in enumerate(summaries.items()):
        places = np.arange(len(names)) + (index + 0.5) * width - 0.4
        heights = [summary["attributes"][key]["success_auc"] for key in names]
        axes.bar(places, heights, width * 0.92, label=name, color=looks[name]["color"])
    labels = [f"{key}\n({attributes[key]['count']})" for key in names]
    axes.set_xticks(range(len(names)), labels)
    axes.tick_params(axis="x", length=0)
    axes.grid(visible=False, axis="x")
    axes.set(xlim=(-0.6, len(names) - 0.4), ylim=(0, 1), ylabel="AUC")
    axes.set_title("AUC by attribute (number of sequences)", loc="left")
    _legend_beside(axes)
    return figure


def sequence_plot(result: Result, sequence: Sequence) -> Figure:
    """Draws overlap and score over time; frames without any overlap are shaded.

    A bar at the foot marks the frames where the tracker says that the object is lost.

    Args:
      result: of one pass.
      sequence: with the true boxes.

    Returns:
      Figure.
    """
    overlaps = metrics.iou(result.boxes, sequence.boxes)
    annotated = np.isfinite(sequence.boxes).all(axis=1)
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    frames = np.arange(len(overlaps))
    above.plot(frames, np.where(annotated, overlaps, np.nan), color=COLORS[0], linewidth=1.4)
    above.axhline(0.5, color="0.6", linewidth=0.8, zorder=0)
    above.set(ylim=(0, 1.02), ylabel="overlap")
    lost = np.broadcast_to(result.lost, frames.shape)
    key = "shaded: no overlap" if np.isnan(lost).all() else "shaded: no overlap, bar: lost"
    title = f"{sequence.name}: mean overlap {overlaps[annotated].mean():.3f} ({key})"
    above.set_title(title, loc="left")
    below.plot(frames, result.scores, color=COLORS[1], linewidth=1.4)
    below.set(xlim=(0, max(len(overlaps) - 1, 1)), xlabel="frame", ylabel="score")
    for first, last in _spans(lost == 1):
        below.axvspan(first - 0.5, last + 0.5, ymax=0.07, color=COLORS[3], linewidth=0)
    for axes in (above, below):
        _plain(axes)
        for first, last in _spans(annotated & (overlaps == 0)):
            axes.axvspan(first - 0.5, last + 0.5, color=LOST, linewidth=0, zorder=0)
    return figure


def _spans(flags):
    """Yields (first, last) index of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    yield from zip(edges[::2], edges[1::2] - 1, strict=True)


def _looks(summaries):
    return {
        name: {
            "color": COLORS[index % len(COLORS)],
            "linestyle": STYLES[index // len(COLORS) % len(STYLES)],
            "linewidth": 1.8,
        }
        for index, name in enumerate(summaries)
    }


def _figure(width, height):
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    _plain(axes)
    return figure, axes


def _plain(axes):
    axes.grid(visible=True, color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def attribute_key(attributes) -> str:
    """Returns what the short names of attributes stand for, as one line.

    Args:
      attributes: short names; names that OTB does not have are left out.
    """
    return ", ".join(f"{key} {ATTRIBUTES[key]}" for key in attributes if key in ATTRIBUTES)
