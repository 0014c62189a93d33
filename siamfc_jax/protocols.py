"""The ways a benchmark runs a tracker over one sequence.

One pass is `evaluation.one_pass`. Here are the OTB kit's temporal and spatial
robustness evaluation (TRE, SRE), and the VOT challenges' runs with restarts and
from anchors, with the text files that the VOT toolkit reads and writes.
"""

import pathlib

import numpy as np

from siamfc_jax import evaluation, regions, vot
from siamfc_jax.sequences import part

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


def supervised(track, sequence) -> tuple[vot.Trajectory, np.ndarray]:
    """Runs a tracker with restarts after failures, as VOT2013 to VOT2019 did.

    Args:
      track: generator function, see evaluation.py.
      sequence: with `regions`, the true regions.

    Returns:
      (trajectory, seconds f64[T] of the tracker, NaN for frames it did not see).
    """
    count, size = len(sequence.frames), frame_size(sequence.frames)
    trajectory = vot.Trajectory(np.full(count, vot.UNKNOWN), np.full((count, 4), np.nan))
    seconds, start = np.full(count, np.nan), 0
    while start < count:
        rest = part(sequence, slice(start, None))
        end = count
        for index, step in enumerate(evaluation.follow(track, rest.frames, rest.boxes[0]), start):
            seconds[index] = step.seconds
            if index == start:
                trajectory.codes[index] = vot.STARTED
            elif regions.overlap(step.box, sequence.regions[index], size) <= 0:
                trajectory.codes[index] = vot.FAILED
                end = index + RESTART_GAP
                break
            else:
                trajectory.codes[index], trajectory.boxes[index] = vot.TRACKED, step.box
        start = end
    return trajectory, seconds


def multi_start(track, sequence) -> dict[int, tuple[vot.Trajectory, np.ndarray]]:
    """Runs a tracker from every anchor to the end of the sequence, or to its beginning.

    Args:
      track: generator function, see evaluation.py.
      sequence: with `anchors`, i[T]: 1 starts a run forwards, -1 one backwards.

    Returns:
      anchor -> (trajectory in the order of the run, seconds of the tracker).
    """
    runs = {}
    for anchor in np.flatnonzero(sequence.anchors):
        run = part(sequence, anchor_frames(sequence.anchors, anchor))
        steps = list(evaluation.follow(track, run.frames, run.boxes[0]))
        codes = np.full(len(steps), vot.TRACKED)
        codes[0] = vot.STARTED
        boxes = np.array([step.box for step in steps], np.float64)
        boxes[0] = np.nan
        seconds = np.array([step.seconds for step in steps])
        runs[int(anchor)] = vot.Trajectory(codes, boxes), seconds
    return runs


def anchor_frames(anchors, anchor: int) -> slice:
    """Returns the frames of the run from an anchor, in its order."""
    return slice(anchor, None) if anchors[anchor] > 0 else slice(anchor, None, -1)


def write_trajectory(folder, name: str, trajectory: vot.Trajectory, seconds) -> None:
    """Writes a run as the VOT toolkit does: `NAME.txt` and `NAME_time.value`.

    Args:
      folder: of one tracker, experiment and sequence; made if missing.
      name: of the run: `SEQUENCE_001` by repetition, `SEQUENCE_00000042` by anchor.
      trajectory: what to write; a line is a code or `x,y,w,h`.
      seconds: f64[T].
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        ",".join(f"{value:.4f}" for value in box) if code == vot.TRACKED else str(code)
        for code, box in zip(*trajectory, strict=True)
    ]
    times = "".join(f"{value:.6f}\n" for value in np.nan_to_num(seconds))
    (folder / f"{name}_time.value").write_text(times)
    (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")


def read_trajectory(path) -> vot.Trajectory:
    """Reads a run that `write_trajectory` or the VOT toolkit wrote as text.

    Args:
      path: `NAME.txt`.

    Returns:
      Trajectory.

    Raises:
      ValueError: the file is missing, or a line is neither a code nor a rectangle.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise ValueError(f"no {path}; expected a run with one line x,y,w,h or a code a frame")
    codes, boxes = [], []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            values = [float(field) for field in line.split(",")]
        except ValueError:
            values = []
        if len(values) == 1 and values[0] in (vot.UNKNOWN, vot.STARTED, vot.FAILED):
            codes.append(int(values[0]))
            boxes.append([np.nan] * 4)
        elif len(values) == 4:
            codes.append(vot.TRACKED)
            boxes.append(values)
        else:
            raise ValueError(
                f"{path}, line {number}: expected x,y,w,h or a code 0, 1, 2, got {line[:80]!r}"
            )
    return vot.Trajectory(np.array(codes), np.array(boxes).reshape(-1, 4))
