"""Measures how many boxes a person must draw: our annotation against linear interpolation.

    python benchmarks/annotation.py --data OTB --data VALIDATION --output runs/annotation

Tracks each sequence of folders in the OTB layout forward and backward from key boxes, which are
the true boxes of every 15th, 30th, 60th and 150th frame (half a second, 1, 2 and 5 seconds at
30 frames a second) and of the last one, and joins both passes. What has been tracked stays in
--output, where the table and the figure go, too. About 38,000 steps of the tracker for 4,300
frames. With --variants other ways of joining are compared.
"""

import argparse
import functools
import itertools
import json
import multiprocessing
import os
import pathlib
import sys
from typing import NamedTuple

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from siamfc_jax.annotation.blend import blend, lowest  # noqa: E402
from siamfc_jax.annotation.places import Estimate  # noqa: E402
from siamfc_jax.evaluation import bootstrap, metrics  # noqa: E402

INTERVALS = (15, 30, 60, 150)  # frames from key box to key box
DENSE = (2, 3, 5, 8, 10)  # for interpolation, which must be drawn more often to be as good
MIXED = 30  # the interval at which exemplars of all key boxes are averaged, too
DIRECTIONS = ("forward", "backward")


def key_frames(visible, interval: int) -> list[int]:
    """Returns the frames of the key boxes: every interval-th and the last that show the object."""
    shown = np.flatnonzero(visible)
    wanted = np.append(np.arange(0, len(visible), interval), len(visible) - 1)
    later = np.searchsorted(shown, wanted)
    return sorted({int(shown[min(index, len(shown) - 1)]) for index in later})


def reaches(visible, direction: str) -> dict[int, int]:
    """Returns key frame -> how many frames a pass goes on from it for the longest interval."""
    longest = {}
    for interval in INTERVALS:
        keys = key_frames(visible, interval)
        pairs = itertools.pairwise(keys if direction == "forward" else keys[::-1])
        for start, end in pairs:
            longest[start] = max(longest.get(start, 0), abs(end - start) - 1)
    return longest


def follow(params, frames, box, *, config, exemplar=None):
    """Tracks through frames from the first one.

    Args:
      params: folded network parameters.
      frames: list of u8[H, W, 3], in the order of tracking.
      box: f32[4] in the first of them.
      config: settings of the tracker.
      exemplar: features of former key boxes to be averaged with those of this one, or None.

    Returns:
      (f32[T - 1, 6] box, confidence and lost of each further frame, the exemplar).
    """
    from siamfc_jax.tracking import tracker

    tracked = tracker.start(params, frames[0], np.float32(box), config=config)
    own = np.asarray(tracked.state.exemplar)
    if exemplar is not None:
        mean = (exemplar + own) / 2
        own = mean * (np.linalg.norm(own) / np.linalg.norm(mean))
        tracked = tracked._replace(state=tracked.state._replace(exemplar=own))
    rows = []
    for frame in frames[1:]:
        tracked = tracker.advance(params, tracked, frame, config=config)
        rows.append([*tracked.boxes, tracked.confidences, tracked.lost])
    return np.float32(rows).reshape(-1, 6), own


def track(sequence, path, params, config) -> None:
    """Tracks a sequence from all key boxes and writes what is found into a file."""
    frames = [sequence.frames[number] for number in range(len(sequence.frames))]
    found = {}
    for direction in DIRECTIONS:
        step = 1 if direction == "forward" else -1
        for start, count in reaches(sequence.visible, direction).items():
            numbers = start + step * np.arange(count + 1)
            shown = [frames[number] for number in numbers]
            rows, _ = follow(params, shown, sequence.boxes[start], config=config)
            found[f"{direction} {start}"] = rows
        keys, exemplar = key_frames(sequence.visible, MIXED)[::step], None
        for start, end in itertools.pairwise(keys):
            shown = [frames[number] for number in range(start, end, step)]
            box = sequence.boxes[start]
            rows, exemplar = follow(params, shown, box, config=config, exemplar=exemplar)
            found[f"mixed {direction} {start}"] = rows
    with open(path.with_suffix(".part"), "wb") as file:
        np.savez(file, **found)
    path.with_suffix(".part").rename(path)


@functools.cache
def load(weights):
    """Loads a model once a process: (params, settings)."""
    from siamfc_jax.compilation import keep_compiled, keep_memory
    from siamfc_jax.network.saved_models import load_model
    from siamfc_jax.tracking import tracker

    keep_compiled()
    keep_memory()
    model = load_model(weights)
    return tracker.prepare(model), model.tracker_config


def track_one(task) -> str:
    """Tracks one sequence in a process; returns its name."""
    sequence, path, weights = task
    if not path.exists():  # by another process
        track(sequence, path, *load(weights))
    return sequence.name


class Gap(NamedTuple):
    """The T frames between two key boxes, and what was found there.

    Attributes:
      start: frame of the first key box.
      share: f[T] of the way from the first key box to the last.
      forward: f32[T, 6] box, confidence and lost, of the pass from the first key box.
      backward: f32[T, 6] of the one from the last.
      linear: f[T, 4] boxes on the straight line between them.
    """

    start: int
    share: np.ndarray
    forward: np.ndarray
    backward: np.ndarray
    linear: np.ndarray


def gaps(sequence, found, interval: int):
    """Yields the gaps of a sequence, with what `track` found."""
    for start, end in itertools.pairwise(key_frames(sequence.visible, interval)):
        count = end - start - 1
        if not count:
            continue
        share = np.arange(1, count + 1) / (count + 1)
        first, last = sequence.boxes[start], sequence.boxes[end]
        linear = (1 - share)[:, None] * first + share[:, None] * last
        # Dense key boxes are not tracked from.
        forward = found.get(f"forward {start}", np.empty((0, 6)))[:count]
        backward = found.get(f"backward {end}", np.empty((0, 6)))[:count]
        yield Gap(start, share, forward, backward[::-1], linear)


def overlaps(sequence, found, interval: int, fill) -> np.ndarray:
    """Returns the overlap of each frame that shows the object, 1 in those of key boxes.

    Args:
      sequence: with its true boxes.
      found: of `track`.
      interval: from key box to key box.
      fill: (gap) -> f[T, 4] boxes.
    """
    boxes = sequence.boxes.copy()
    for gap in gaps(sequence, found, interval):
        boxes[gap.start + 1 : gap.start + 1 + len(gap.share)] = fill(gap)
    return metrics.iou(boxes, sequence.boxes)[sequence.visible]


def ours(gap) -> np.ndarray:
    """Returns the boxes of `annotation.blend`."""
    passes = ([Estimate(row[:4], 0.0, float(row[4]), bool(row[5])) for row in rows]
              for rows in (gap.forward, gap.backward))  # fmt: skip
    return np.stack([estimate.box for estimate in blend(*passes)])


METHODS = {
    "linear interpolation": lambda gap: gap.linear,
    "tracked forward": lambda gap: gap.forward[:, :4],
    "tracked both ways": ours,
}


def weighted(gap, ahead, behind, linear=0.0):
    """Returns means of both passes and, with a third weight, of the straight line."""
    weights = np.stack([ahead + 1e-6, behind + 1e-6, linear + 0 * gap.share])
    weights /= weights.sum(axis=0)
    boxes = np.stack([gap.forward[:, :4], gap.backward[:, :4], gap.linear])
    return np.einsum("vt,vtc->tc", weights, boxes)  # voices v, frames t, coordinates c


def trusted(gap, linear=0.0):
    """Returns means weighted by share and lowest confidence."""
    return weighted(gap, *_trusts(gap), linear)


def surer(gap, overlap):
    """Returns what the surer pass says where the two overlap less than `overlap`."""
    ahead, behind = _trusts(gap)
    apart = metrics.iou(gap.forward[:, :4], gap.backward[:, :4]) < overlap
    one = np.where((ahead > behind)[:, None], gap.forward[:, :4], gap.backward[:, :4])
    return np.where(apart[:, None], one, trusted(gap))


def resized(gap, boxes, part):
    """Returns boxes whose sizes are drawn, by `part`, to those of the straight line."""
    center = boxes[:, :2] + boxes[:, 2:] / 2
    size = boxes[:, 2:] ** (1 - part) * gap.linear[:, 2:] ** part
    return np.concatenate([center - size / 2, size], axis=1)


def _trusts(gap):
    ahead, behind = lowest(gap.forward[:, 4]), lowest(gap.backward[::-1, 4])[::-1]
    return (1 - gap.share) * ahead, gap.share * behind


VARIANTS = {
    "the nearer pass": lambda gap: np.where(
        gap.share[:, None] < 0.5, gap.forward[:, :4], gap.backward[:, :4]
    ),
    "share": lambda gap: weighted(gap, 1 - gap.share, gap.share),
    "share x confidence": lambda gap: weighted(
        gap, (1 - gap.share) * gap.forward[:, 4], gap.share * gap.backward[:, 4]
    ),
    "share x lowest confidence": trusted,
    "the same, the surer one below .3 overlap": lambda gap: surer(gap, 0.3),
    "the same, the surer one below .5 overlap": lambda gap: surer(gap, 0.5),
    "the same, line as third voice of .01": lambda gap: trusted(gap, 0.01),
    "the same, line as third voice of .1": lambda gap: trusted(gap, 0.1),
    "the same, size half of the line": lambda gap: resized(gap, trusted(gap), 0.5),
    "the same, size of the line": lambda gap: resized(gap, trusted(gap), 1.0),
    "surer below .3, size half of the line": lambda gap: resized(gap, surer(gap, 0.3), 0.5),
}


def needed(keys, overlap, wanted: float):
    """Returns the key boxes per 100 frames at which a curve reaches an overlap, or None.

    Args:
      keys: f[I] per 100 frames, ascending.
      overlap: f[I] mean overlaps.
      wanted: overlap to be reached.
    """
    if not overlap.min() <= wanted <= overlap.max():
        return None
    return float(np.interp(wanted, overlap, keys))


def read_found(sequences, folder):
    """Returns (sequence, what `track` found) of those that were tracked."""
    pairs = []
    for sequence in sequences:
        path = folder / f"{sequence.name}.npz"
        if path.exists():
            with np.load(path) as file:
                pairs.append((sequence, dict(file)))
    return pairs


def keys_per_100(pairs, interval):
    """Returns the mean number of key boxes per 100 frames."""
    return float(np.mean([100 * len(key_frames(sequence.visible, interval))
                          / sequence.visible.sum() for sequence, _ in pairs]))  # fmt: skip


def report(pairs, folder) -> None:
    """Prints the table and writes it, with the figure, into a folder."""
    keys = [keys_per_100(pairs, interval) for interval in INTERVALS]
    print("| key box every | key boxes per 100 frames | " + " | ".join(METHODS) + " | gain |")
    print("|---|---:|" + "---:|" * (len(METHODS) + 1))
    curves = {name: [] for name in METHODS}
    for interval, per_100 in zip(INTERVALS, keys, strict=True):
        cells, means = [], {}
        for name, fill in METHODS.items():
            values = [overlaps(*pair, interval, fill) for pair in pairs]
            means[name] = np.array([value.mean() for value in values])
            auc = np.mean([metrics.success_curve(value).mean() for value in values])
            curves[name].append(float(means[name].mean()))
            cells.append(f"{means[name].mean():.3f} / {auc:.3f}")
        gain = bootstrap.mean_difference(*(means[n] for n in ("tracked both ways",
                                                              "linear interpolation")))  # fmt: skip
        seconds = f"{interval / 30:g} s ({interval} frames)"
        print(f"| {seconds} | {per_100:.1f} | {' | '.join(cells)} | "
              f"{gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}] |")  # fmt: skip
    points = {name: list(zip(keys, curve, strict=True)) for name, curve in curves.items()}
    fill = METHODS["linear interpolation"]
    for interval in DENSE:
        mean = np.mean([overlaps(*pair, interval, fill).mean() for pair in pairs])
        points["linear interpolation"].append((keys_per_100(pairs, interval), float(mean)))
    for name, curve in points.items():
        curve.sort()
        for wanted in (0.7, 0.8):
            number = needed(*np.transpose(curve), wanted)
            text = "no number here" if number is None else f"{number:.1f}"
            print(f"{name}: mean overlap of {wanted} with {text} of key boxes per 100 frames")
    (folder / "curves.json").write_text(json.dumps(points, indent=2) + "\n")
    draw(points, folder / "annotation.png")


def draw(points, path) -> None:
    """Draws the mean overlap against the number of key boxes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    looks = (("#8a8a8a", "s"), ("#e08a2e", "^"), ("#1f5fa8", "o"))
    for (name, curve), (color, marker) in zip(points.items(), looks, strict=True):
        axes.plot(*np.transpose(curve), color=color, marker=marker, label=name)
    axes.axhline(0.8, color="black", lw=0.8, ls=":")
    axes.set(xlabel="boxes drawn per 100 frames", ylabel="mean overlap of all frames", ylim=(0, 1),
             xlim=(0, None))  # fmt: skip
    axes.legend(loc="lower right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def compare(pairs) -> None:
    """Prints what other ways of joining give, less `share x lowest confidence`."""
    means = {
        name: np.array([[overlaps(*p, interval, fill).mean() for p in pairs]
                        for interval in INTERVALS])
        for name, fill in VARIANTS.items()
    }  # fmt: skip
    base = means["share x lowest confidence"]
    print("| joined by | " + " | ".join(f"every {n}" for n in INTERVALS) + " | difference |")
    print("|---|" + "---:|" * (len(INTERVALS) + 1))
    for name, values in means.items():
        gain = bootstrap.mean_difference(values.mean(axis=0), base.mean(axis=0))
        cells = " | ".join(f"{value:.4f}" for value in values.mean(axis=1))
        print(f"| {name} | {cells} | {gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}] |")
    exemplars = {"": [], "mixed ": []}
    for sequence, found in pairs:
        keys = key_frames(sequence.visible, MIXED)
        for kind, values in exemplars.items():
            rows = []
            for start, end in itertools.pairwise(keys):
                inside = slice(start + 1, end)
                shown, truth = sequence.visible[inside], sequence.boxes[inside]
                ahead = found[f"{kind}forward {start}"][: end - start - 1]
                behind = found[f"{kind}backward {end}"][: end - start - 1][::-1]
                for boxes in (ahead, behind):
                    rows.append(metrics.iou(boxes[:, :4], truth)[shown])
            values.append(np.concatenate(rows).mean())
    gain = bootstrap.mean_difference(exemplars["mixed "], exemplars[""])
    print(f"one pass, key box every {MIXED} frames, frames between them: exemplar of the last key "
          f"box {np.mean(exemplars['']):.4f}, mean of it and the former ones "
          f"{np.mean(exemplars['mixed ']):.4f}, difference {gain.mean:+.4f} "
          f"[{gain.low:+.4f}, {gain.high:+.4f}]")  # fmt: skip


def main(argv=None) -> int:
    """Runs the command; returns the exit code."""
    from siamfc_jax.data.layouts import read_otb

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, action="append", help="folder in OTB's layout")
    parser.add_argument("--output", required=True, type=pathlib.Path, help="folder for results")
    parser.add_argument("--weights", metavar="NAME|PATH", default="siamfc-small")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--variants", action="store_true", help="compare other ways of joining")
    args = parser.parse_args(argv)
    args.output.mkdir(parents=True, exist_ok=True)
    sequences = [sequence for folder in args.data for sequence in read_otb(folder)]
    tasks = [(s, args.output / f"{s.name}.npz", args.weights) for s in sequences]
    tasks = [task for task in tasks if not task[1].exists()]
    if tasks:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"  # processes share the cores
        with multiprocessing.get_context("spawn").Pool(args.jobs) as pool:
            for number, name in enumerate(pool.imap_unordered(track_one, tasks), start=1):
                print(f"{number}/{len(tasks)} {name}", file=sys.stderr, flush=True)
    pairs = read_found(sequences, args.output)
    frames = sum(int(sequence.visible.sum()) for sequence, _ in pairs)
    print(f"{len(pairs)} sequences, {frames} frames that show the object\n")
    report(pairs, args.output)
    if args.variants:
        print()
        compare(pairs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
