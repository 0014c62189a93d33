"""The runs of the VOT challenges, and their numbers.

*Supervised* (VOT2013 to 2019): the tracker starts on the first frame. When its box no
longer touches the true region the frame is a failure, and the tracker starts anew five
frames later. *Multi-start* (VOT2020 to 2022): the tracker starts at every anchor frame and
runs to the end, or backwards to the beginning, without help.
"""

from collections.abc import Callable

import numpy as np

from siamfc_jax.data.sequences import Sequence, slice_sequence
from siamfc_jax.evaluation import measures, vot_measures
from siamfc_jax.evaluation.runner import Run, follow, frame_size
from siamfc_jax.evaluation.vot_files import FAILED, STARTED, TRACKED, UNKNOWN, Trajectory

RESTART_GAP = 5  # frames from a failure to the next start, VOT


def list_supervised(sequence: Sequence) -> list[Run]:
    """Lists the one supervised run over a sequence."""
    return [Run(f"baseline/{sequence.name}/{sequence.name}_001", sequence)]


def run_supervised(track: Callable, run: Run) -> Trajectory:
    """Runs a tracker with restarts after failures.

    Args:
      track: generator function, see runner.py.
      run: its sequence has `regions`, the true ones.

    Returns:
      Trajectory; the seconds of frames that the tracker did not see are NaN.
    """
    sequence = run.sequence
    count, size = len(sequence.frames), frame_size(sequence.frames)
    codes, boxes = np.full(count, UNKNOWN), np.full((count, 4), np.nan)
    seconds, start = np.full(count, np.nan), 0
    while start < count:
        rest = slice_sequence(sequence, slice(start, None))
        end = count
        for index, step in enumerate(follow(track, rest.frames, rest.boxes[0]), start):
            seconds[index] = step.seconds
            if index == start:
                codes[index] = STARTED
            elif vot_measures.region_overlap(step.box, sequence.regions[index], size) <= 0:
                codes[index] = FAILED
                end = index + RESTART_GAP
                break
            else:
                codes[index], boxes[index] = TRACKED, step.box
        start = end
    return Trajectory(codes, boxes, seconds)


def list_anchored(sequence: Sequence) -> list[Run]:
    """Lists the runs from the anchors of a sequence, forwards or backwards.

    Args:
      sequence: with `anchors` i[T]: 1 starts a run forwards, -1 one backwards.

    Returns:
      list of Run. The sequence of a run keeps the anchors of the whole one, because its
      length weighs robustness.

    Raises:
      ValueError: the sequence has no anchor.
    """
    if sequence.anchors is None or not sequence.anchors.any():
        raise ValueError(f"{sequence.name} has no anchors; expected a file anchor.value beside it")
    runs = []
    for anchor in np.flatnonzero(sequence.anchors):
        frames = slice(anchor, None, 1 if sequence.anchors[anchor] > 0 else -1)
        name = f"baseline/{sequence.name}/{sequence.name}_{anchor:08d}"
        runs.append(Run(name, slice_sequence(sequence, frames)._replace(anchors=sequence.anchors)))
    return runs


def run_anchored(track: Callable, run: Run) -> Trajectory:
    """Runs a tracker from an anchor, without restarts.

    Args:
      track: generator function, see runner.py.
      run: from `list_anchored`.

    Returns:
      Trajectory in the order of the run.
    """
    steps = list(follow(track, run.sequence.frames, run.sequence.boxes[0]))
    codes = np.full(len(steps), TRACKED)
    codes[0] = STARTED
    boxes = np.array([step.box for step in steps], np.float64)
    boxes[0] = np.nan
    return Trajectory(codes, boxes, np.array([step.seconds for step in steps]))


def summarize_supervised(runs: dict, *, eao: tuple[int, int]) -> dict:
    """Computes the numbers of supervised runs.

    Args:
      runs: sequence name -> list of (Trajectory, Sequence), one a repetition.
      eao: first and last run length of EAO.

    Returns:
      `vot_measures.supervised_report`, speed by frame, and `eao_range`.
    """
    codes_and_overlaps = {
        name: [(trajectory.codes, overlaps_of(trajectory, s)) for trajectory, s in pairs]
        for name, pairs in runs.items()
    }
    low, high = eao
    report = vot_measures.supervised_report(codes_and_overlaps, low=low, high=high)
    return {**report, **_speed(runs), "eao_range": [low, high]}


def summarize_anchored(runs: dict, *, eao: tuple[int, int]) -> dict:
    """Computes the numbers of multi-start runs.

    Args:
      runs: sequence name -> list of (Trajectory, Sequence), one an anchor.
      eao: first and last run length of EAO.

    Returns:
      `vot_measures.multi_start_report`, speed by frame, and `eao_range`.
    """
    overlaps_and_presence = {
        name: [
            (
                overlaps_of(trajectory, sequence),
                np.array([np.isfinite(region).all() for region in sequence.regions]),
            )
            for trajectory, sequence in pairs
        ]
        for name, pairs in runs.items()
    }
    lengths = {name: len(pairs[0][1].anchors) for name, pairs in runs.items()}
    low, high = eao
    report = vot_measures.multi_start_report(
        overlaps_and_presence, lengths=lengths, low=low, high=high
    )
    return {**report, **_speed(runs), "eao_range": [low, high]}


def overlaps_of(trajectory: Trajectory, sequence: Sequence) -> np.ndarray:
    """Returns the overlap f64[T] of a run with the true regions of its sequence."""
    size = frame_size(sequence.frames)
    return vot_measures.overlaps(trajectory, sequence.regions, size)


def _speed(runs):
    trajectories = [trajectory for pairs in runs.values() for trajectory, _ in pairs]
    seconds = np.concatenate([t.seconds[t.codes == TRACKED] for t in trajectories])
    return measures.speed(seconds, np.full(len(seconds), np.nan))
