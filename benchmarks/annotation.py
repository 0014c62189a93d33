"""Measures how many boxes a person must draw: our annotation against linear interpolation.

    python benchmarks/annotation.py --data OTB --data VALIDATION --output runs/annotation

Tracks each sequence of folders in the OTB layout forward and backward from key boxes, which are
the true boxes of every 15th, 30th, 60th and 150th frame (half a second, 1, 2 and 5 seconds at
30 frames a second) and of the last one, then joins the passes in several ways. What has been
tracked stays in --output; an hour on two cores for 4,300 frames, seconds for the tables.
"""

import argparse
import functools
import os
import pathlib
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

INTERVALS = (15, 30, 60, 150)  # frames from key box to key box
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
        pairs = zip(keys, keys[1:], strict=False)
        for start, end in pairs if direction == "forward" else ((b, a) for a, b in pairs):
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
        for start, end in zip(keys, keys[1:], strict=False):
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
    track(sequence, path, *load(weights))
    return sequence.name


def main(argv=None) -> int:
    """Runs the command; returns the exit code."""
    import multiprocessing

    from siamfc_jax.data.layouts import read_otb

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, action="append", help="folder in OTB's layout")
    parser.add_argument("--output", required=True, type=pathlib.Path, help="folder for results")
    parser.add_argument("--weights", metavar="NAME|PATH", default="siamfc-small")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    args = parser.parse_args(argv)
    args.output.mkdir(parents=True, exist_ok=True)
    sequences = [sequence for folder in args.data for sequence in read_otb(folder)]
    tasks = [(s, args.output / f"{s.name}.npz", args.weights) for s in sequences]
    tasks = [task for task in tasks if not task[1].exists()]
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"  # the processes share the cores
    with multiprocessing.get_context("spawn").Pool(args.jobs) as pool:
        for number, name in enumerate(pool.imap_unordered(track_one, tasks), start=1):
            print(f"{number}/{len(tasks)} {name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
