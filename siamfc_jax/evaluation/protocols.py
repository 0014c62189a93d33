"""The protocols: which runs over a sequence a benchmark asks for, and what is made of them.

One pass (OPE), and the OTB kit's temporal and spatial robustness evaluation (TRE, SRE), are
here. The runs of the VOT challenges, with restarts and from anchors, are in `vot_runs`.
"""

import pathlib
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from siamfc_jax.data.sequences import Sequence, slice_sequence
from siamfc_jax.evaluation import measures, results, runner, vot_files, vot_runs
from siamfc_jax.evaluation.runner import Result, Run

TEMPORAL_RUNS = 20  # splitSeqTRE.m of the OTB kit
SHORTEST_RUN = 20  # frames, same file


class Protocol(NamedTuple):
    """How a tracker is run over a sequence, as functions.

    An outcome is whatever a run leaves: a Result, or a Trajectory of VOT.

    Attributes:
      list_runs: sequence -> list of Run.
      run: (track, Run) -> outcome.
      write: (folder, name of the run, outcome, one_based=bool) writes its files.
      read: (folder, Run, one_based=bool) -> list of outcomes, one a repetition.
      summarize: (sequence name -> list of (outcome, sequence of the run), further measures
        by keyword) -> summary of the tracker: numbers, and the numbers by sequence.
    """

    list_runs: Callable
    run: Callable
    write: Callable
    read: Callable
    summarize: Callable


def pending_runs(protocol: Protocol, sequences: Iterable[Sequence], folder) -> list[Run]:
    """Lists the runs over some sequences that have no result file yet.

    Args:
      protocol: which runs there are.
      sequences: what to run over.
      folder: of the tracker's results.

    Returns:
      list of Run.
    """
    runs = [run for sequence in sequences for run in protocol.list_runs(sequence)]
    return [run for run in runs if not (pathlib.Path(folder) / f"{run.name}.txt").is_file()]


def run_sequence(
    protocol: Protocol, track: Callable, sequence: Sequence, folder, *, one_based: bool
) -> None:
    """Runs a tracker over a sequence and writes the results that are not there yet.

    Args:
      protocol: how to run it.
      track: generator function, see runner.py.
      sequence: what to run over.
      folder: of the tracker's results.
      one_based: whether result files count the first pixel as 1.
    """
    for run in pending_runs(protocol, [sequence], folder):
        protocol.write(folder, run.name, protocol.run(track, run), one_based=one_based)


def read_runs(protocol: Protocol, sequence: Sequence, folder, *, one_based: bool) -> list[tuple]:
    """Reads the results of a sequence back.

    Args:
      protocol: how the tracker was run.
      sequence: what it was run over.
      folder: of the tracker's results.
      one_based: whether result files count the first pixel as 1.

    Returns:
      list of (outcome, sequence of the run).

    Raises:
      ValueError: a result is missing or does not fit the sequence.
    """
    return [
        (outcome, run.sequence)
        for run in protocol.list_runs(sequence)
        for outcome in protocol.read(folder, run, one_based=one_based)
    ]


def list_whole(sequence: Sequence) -> list[Run]:
    """Lists the one run of OPE."""
    return [Run(sequence.name, sequence)]


def list_temporal(sequence: Sequence) -> list[Run]:
    """Lists the runs of TRE: from several frames to the end."""
    starts = temporal_starts(sequence.boxes)
    return [
        Run(f"tre/{sequence.name}_{number:02d}", slice_sequence(sequence, slice(start, None)))
        for number, start in enumerate(starts, start=1)
    ]


def list_spatial(sequence: Sequence) -> list[Run]:
    """Lists the runs of SRE: from first boxes that are off."""
    boxes = shifted_boxes(sequence.boxes[0], runner.frame_size(sequence.frames))
    return [
        Run(f"sre/{sequence.name}_{number:02d}", sequence, box)
        for number, box in enumerate(boxes, start=1)
    ]


def _run_pass(track, run: Run) -> Result:
    return runner.one_pass(track, run.sequence, box=run.box)


def _read_passes(folder, run: Run, *, one_based: bool) -> list[Result]:
    frames = len(run.sequence.frames)
    return results.read_repetitions(folder, run.name, frames, one_based=one_based)


def temporal_starts(boxes: np.ndarray) -> list[int]:
    """Returns the first frames of the 20 runs of TRE, ascending; the first is frame 0.

    They are spread evenly over the frames that have a whole box and at least 20 frames
    from there to the end. A sequence that is too short for that is run once.

    Args:
      boxes: f[T, 4] true boxes, 0-based, NaN where there is none.
    """
    # The kit asks for positive numbers in 1-based coordinates.
    whole = np.isfinite(boxes).all(1) & (boxes + [1, 1, 0, 0] > 0).all(1)
    usable = np.flatnonzero(whole)
    usable = usable[usable <= len(boxes) - SHORTEST_RUN]
    if not len(usable):
        return [0]
    step = len(usable) / (TEMPORAL_RUNS - 1)
    positions = np.arange(1, len(usable) + 1e-9, step).astype(int) - 1
    return [int(usable[position]) for position in (*positions, len(usable) - 1)]


def shifted_boxes(box, size: tuple[int, int]) -> np.ndarray:
    """Returns the 12 first boxes of SRE.

    Four are shifted by a tenth of the size to the left, right, up and down, four reach
    a tenth further at one corner, and four are scaled by .8, .9, 1.1 and 1.2 around the
    centre. They are rounded to whole pixels and cut to the frame as in shiftInitBB.m of
    the OTB kit, where a box pushed over the left or upper edge keeps its size.

    Args:
      box: f[4] first true box, 0-based.
      size: (width, height) of the frame.

    Returns:
      f64[12, 4] in the kit's order.
    """
    x, y, width, height = np.asarray(box, np.float64)
    dx, dy = np.ceil(width / 10), np.ceil(height / 10)
    boxes = [
        [x - dx, y, width, height],
        [x + dx, y, width, height],
        [x, y - dy, width, height],
        [x, y + dy, width, height],
    ]
    right, bottom = x + width, y + height
    for grown_x, grown_y in ((-1, -1), (1, -1), (-1, 1), (1, 1)):
        left = _round(x - width / 10) if grown_x < 0 else x
        top = _round(y - height / 10) if grown_y < 0 else y
        end_x = _round(right + width / 10) if grown_x > 0 else right
        end_y = _round(bottom + height / 10) if grown_y > 0 else bottom
        boxes.append([left, top, end_x - left, end_y - top])
    for ratio in (0.8, 0.9, 1.1, 1.2):
        scaled = np.array([width, height]) * ratio
        # Rounded in the kit's 1-based coordinates, which only matters at halves.
        corner = _round(np.array([x, y]) + 1 + (np.array([width, height]) - scaled) / 2) - 1
        boxes.append([*corner, *_round(scaled)])
    boxes = np.array(boxes)
    boxes[:, :2] = np.maximum(boxes[:, :2], 0)
    boxes[:, 2:] = np.minimum(boxes[:, 2:], np.asarray(size) - boxes[:, :2])
    return boxes


def _round(values):
    """Rounds halves away from zero, as MATLAB does."""
    return np.sign(values) * np.floor(np.abs(values) + 0.5)


OPE = Protocol(list_whole, _run_pass, results.write_result, _read_passes, measures.summarize)
TRE = OPE._replace(list_runs=list_temporal)
SRE = OPE._replace(list_runs=list_spatial)
SUPERVISED = Protocol(
    vot_runs.list_supervised,
    vot_runs.run_supervised,
    vot_files.write_trajectory,
    vot_files.read_repetitions,
    vot_runs.summarize_supervised,
)
MULTISTART = SUPERVISED._replace(
    list_runs=vot_runs.list_anchored,
    run=vot_runs.run_anchored,
    read=vot_files.read_single,
    summarize=vot_runs.summarize_anchored,
)
WITHOUT_RESTARTS = {"ope": OPE, "tre": TRE, "sre": SRE}  # names of the flag --protocol
