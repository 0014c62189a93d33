"""The ways a benchmark runs a tracker over one sequence.

One pass is `evaluation.one_pass`. Here are the OTB kit's temporal and spatial
robustness evaluation (TRE, SRE), and the VOT challenges' runs with restarts and
from anchors.
"""

import pathlib

import numpy as np

from siamfc_jax.data.sequences import slice_sequence
from siamfc_jax.evaluation import reports, runner, vot_files, vot_measures, vot_regions

TEMPORAL_RUNS = 20  # splitSeqTRE.m of the OTB kit
SHORTEST_RUN = 20
RESTART_GAP = 5  # frames from a failure to the next start, VOT


def temporal_starts(boxes) -> list[int]:
    """Returns the first frames of the 20 runs of TRE, ascending; the first is frame 0.

    Evenly spread over the frames with a whole box from which at least 20 frames
    remain. A sequence shorter than that is run once.

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
    places = np.arange(1, len(usable) + 1e-9, step).astype(int) - 1
    return [int(usable[place]) for place in (*places, len(usable) - 1)]


def shifted_boxes(box, frame_size) -> np.ndarray:
    """Returns the 12 first boxes of SRE.

    Shifts of a tenth of the size to the left, right, up and down; a tenth more at
    each corner; scales of .8, .9, 1.1 and 1.2 around the centre. Rounded to whole
    pixels and cut to the frame as in shiftInitBB.m of the OTB kit, where a box
    pushed over the left or upper edge keeps its size.

    Args:
      box: f[4] first true box, 0-based.
      frame_size: (width, height).

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
        size = np.array([width, height]) * ratio
        # Rounded in the kit's 1-based coordinates, which only matters at halves.
        corner = _round(np.array([x, y]) + 1 + (np.array([width, height]) - size) / 2) - 1
        boxes.append([*corner, *_round(size)])
    boxes = np.array(boxes)
    boxes[:, :2] = np.maximum(boxes[:, :2], 0)
    boxes[:, 2:] = np.minimum(boxes[:, 2:], np.asarray(frame_size) - boxes[:, :2])
    return boxes


def _round(values):
    """Rounds halves away from zero, as MATLAB does."""
    return np.sign(values) * np.floor(np.abs(values) + 0.5)


def frame_size(frames) -> tuple[int, int]:
    """Returns (width, height) of the first frame."""
    return frames[0].shape[1], frames[0].shape[0]


def planned(sequence, protocol: str) -> list[tuple]:
    """Lists the runs of a protocol without restarts.

    Args:
      sequence: what to run over.
      protocol: `ope`, `tre` or `sre`.

    Returns:
      (name of the result file, sequence to run over, first box or None for the
      true one) of each run.

    Raises:
      ValueError: there is no such protocol.
    """
    name = sequence.name
    if protocol == "ope":
        return [(name, sequence, None)]
    if protocol == "tre":
        starts = temporal_starts(sequence.boxes)
        return [
            (f"tre/{name}_{index:02d}", slice_sequence(sequence, slice(start, None)), None)
            for index, start in enumerate(starts, start=1)
        ]
    if protocol == "sre":
        boxes = shifted_boxes(sequence.boxes[0], frame_size(sequence.frames))
        return [(f"sre/{name}_{i:02d}", sequence, box) for i, box in enumerate(boxes, start=1)]
    raise ValueError(f"protocol must be ope, tre, sre, supervised or multistart, got {protocol!r}")


def pending(sequences, protocol: str, folder) -> list[tuple]:
    """Lists the runs of a protocol without restarts that have no result yet.

    Args:
      sequences: what to run over.
      protocol: `ope`, `tre` or `sre`.
      folder: of the tracker's results.

    Returns:
      as `planned`, of all sequences.
    """
    runs = [run for sequence in sequences for run in planned(sequence, protocol)]
    return [run for run in runs if not (pathlib.Path(folder) / f"{run[0]}.txt").is_file()]


def perform(track, sequence, protocol: str, folder, *, one_based: bool) -> None:
    """Runs a tracker over a sequence and writes the results that are not there yet.

    Args:
      track: generator function, see evaluation.py.
      sequence: what to run over.
      protocol: `ope`, `tre`, `sre`, `supervised` or `multistart`.
      folder: of the tracker's results.
      one_based: of the result files.
    """
    place = pathlib.Path(folder) / "baseline" / sequence.name
    if protocol == "supervised":
        name = f"{sequence.name}_001"
        if not (place / f"{name}.txt").is_file():
            vot_files.write_trajectory(place, name, *supervised(track, sequence))
    elif protocol == "multistart":
        for anchor in anchors_of(sequence):
            name = f"{sequence.name}_{anchor:08d}"
            if not (place / f"{name}.txt").is_file():
                vot_files.write_trajectory(place, name, *from_anchor(track, sequence, anchor))
    else:
        for name, run, box in pending([sequence], protocol, folder):
            result = runner.one_pass(track, run, box=box)
            runner.write_result(folder, name, result, one_based=one_based)


def collect(sequence, protocol: str, folder, *, one_based: bool) -> list[tuple]:
    """Reads back the results of a protocol without restarts.

    Args:
      sequence: what was run over.
      protocol: `ope`, `tre` or `sre`.
      folder: of the tracker's results.
      one_based: of the result files.

    Returns:
      runs for `reports.report`.

    Raises:
      ValueError: a result is missing or does not fit.
    """
    return [
        (result, run)
        for name, run, _ in planned(sequence, protocol)
        for result in runner.read_repetitions(folder, name, len(run.frames), one_based=one_based)
    ]


def report(sequences, protocol: str, folder, *, low: int, high: int) -> dict:
    """Computes the numbers of a VOT challenge from result files.

    Args:
      sequences: of the challenge.
      protocol: `supervised` or `multistart`.
      folder: of the tracker's results; all repetitions `NAME_001.txt`, ... count.
      low: first run length of EAO.
      high: last run length of EAO.

    Returns:
      `vot.supervised_report` or `vot.multi_start_report`, with speed by frame.

    Raises:
      ValueError: a result is missing or does not fit.
    """
    runs, seconds = {}, []
    for sequence in sequences:
        runs[sequence.name], size = [], frame_size(sequence.frames)
        for path, run in _vot_runs(sequence, protocol, folder):
            trajectory = vot_files.read_trajectory(path)
            values = vot_files.overlaps(trajectory, run.regions, size)
            present = np.array([np.isfinite(region).all() for region in run.regions])
            pair = (trajectory.codes, values) if protocol == "supervised" else (values, present)
            runs[sequence.name].append(pair)
            spent = vot_files.read_seconds(path, len(trajectory.codes))
            seconds.append(spent[trajectory.codes == vot_files.TRACKED])
    spent = np.concatenate(seconds)
    if protocol == "supervised":
        found = vot_measures.supervised_report(runs, low=low, high=high)
    else:
        lengths = {sequence.name: len(sequence.frames) for sequence in sequences}
        found = vot_measures.multi_start_report(runs, lengths=lengths, low=low, high=high)
    return {**found, **reports.speed(spent, np.full(len(spent), np.nan))}


def _vot_runs(sequence, protocol, folder):
    """Lists (result file, what was run over) of a sequence."""
    name = sequence.name
    place = pathlib.Path(folder) / "baseline" / name
    if protocol == "supervised":
        found = sorted(place.glob(f"{name}_[0-9][0-9][0-9].txt"))
        return [(path, sequence) for path in found or [place / f"{name}_001.txt"]]
    return [
        (
            place / f"{name}_{anchor:08d}.txt",
            slice_sequence(sequence, anchor_frames(sequence.anchors, anchor)),
        )
        for anchor in anchors_of(sequence)
    ]


def supervised(track, sequence) -> tuple[vot_files.Trajectory, np.ndarray]:
    """Runs a tracker with restarts after failures, as VOT2013 to VOT2019 did.

    Args:
      track: generator function, see evaluation.py.
      sequence: with `regions`, the true regions.

    Returns:
      (trajectory, seconds f64[T] of the tracker, NaN for frames it did not see).
    """
    count, size = len(sequence.frames), frame_size(sequence.frames)
    trajectory = vot_files.Trajectory(
        np.full(count, vot_files.UNKNOWN), np.full((count, 4), np.nan)
    )
    seconds, start = np.full(count, np.nan), 0
    while start < count:
        rest = slice_sequence(sequence, slice(start, None))
        end = count
        for index, step in enumerate(runner.follow(track, rest.frames, rest.boxes[0]), start):
            seconds[index] = step.seconds
            if index == start:
                trajectory.codes[index] = vot_files.STARTED
            elif vot_regions.overlap(step.box, sequence.regions[index], size) <= 0:
                trajectory.codes[index] = vot_files.FAILED
                end = index + RESTART_GAP
                break
            else:
                trajectory.codes[index], trajectory.boxes[index] = vot_files.TRACKED, step.box
        start = end
    return trajectory, seconds


def anchors_of(sequence) -> list[int]:
    """Returns the frames from which a multi-start run goes.

    Args:
      sequence: with `anchors`, i[T]: 1 starts a run forwards, -1 one backwards.

    Raises:
      ValueError: the sequence has no anchor.
    """
    if sequence.anchors is None or not sequence.anchors.any():
        raise ValueError(f"{sequence.name} has no anchors; expected a file anchor.value beside it")
    return [int(anchor) for anchor in np.flatnonzero(sequence.anchors)]


def from_anchor(track, sequence, anchor: int) -> tuple[vot_files.Trajectory, np.ndarray]:
    """Runs a tracker from an anchor to the end of the sequence, or to its beginning.

    Args:
      track: generator function, see evaluation.py.
      sequence: with `anchors`.
      anchor: frame to start from.

    Returns:
      (trajectory in the order of the run, seconds of the tracker).
    """
    run = slice_sequence(sequence, anchor_frames(sequence.anchors, anchor))
    steps = list(runner.follow(track, run.frames, run.boxes[0]))
    codes = np.full(len(steps), vot_files.TRACKED)
    codes[0] = vot_files.STARTED
    boxes = np.array([step.box for step in steps], np.float64)
    boxes[0] = np.nan
    return vot_files.Trajectory(codes, boxes), np.array([step.seconds for step in steps])


def anchor_frames(anchors, anchor: int) -> slice:
    """Returns the frames of the run from an anchor, in its order."""
    return slice(anchor, None) if anchors[anchor] > 0 else slice(anchor, None, -1)
