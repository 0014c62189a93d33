"""Runs of the VOT protocols as the text files that the VOT toolkit reads and writes."""

import pathlib
from typing import NamedTuple

import numpy as np

from siamfc_jax.evaluation.runner import Run
from siamfc_jax.files import write_whole

UNKNOWN, STARTED, FAILED, TRACKED = 0, 1, 2, 3  # 0 to 2 stand in the toolkit's files


class Trajectory(NamedTuple):
    """One run over a sequence of T frames.

    Attributes:
      codes: i[T], TRACKED, or why there is no box: UNKNOWN (between a failure and
        the next start), STARTED, FAILED.
      boxes: f64[T, 4] `[x, y, w, h]`, 0-based; NaN where the code is not TRACKED. A file
        gives a list, since another tracker may answer with the corners f64[2 N] of a polygon.
      seconds: f64[T] that the tracker took; NaN where unknown.
    """

    codes: np.ndarray
    boxes: np.ndarray | list
    seconds: np.ndarray


def write_trajectory(folder, name: str, trajectory: Trajectory, *, one_based: bool = False) -> None:
    """Writes a run as the VOT toolkit does: `NAME_time.value`, then `NAME.txt`.

    Args:
      folder: of one tracker; what is missing of it is made.
      name: of the run, with its folders: `.../SEQUENCE_001` by repetition,
        `.../SEQUENCE_00000042` by anchor.
      trajectory: what to write; a line is a code or `x,y,w,h`.
      one_based: has no effect; VOT counts the first pixel as 0.
    """
    path = pathlib.Path(folder) / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        ",".join(f"{value:.4f}" for value in box) if code == TRACKED else str(code)
        for code, box in zip(trajectory.codes, trajectory.boxes, strict=True)
    ]
    times = [f"{value:.6f}\n" for value in np.nan_to_num(trajectory.seconds)]
    write_whole(_times_path(path), "".join(times))
    write_whole(path, "\n".join(lines) + "\n")


def _times_path(path):
    return path.with_name(f"{path.stem}_time.value")


def read_repetitions(folder, run: Run, *, one_based: bool = False) -> list[Trajectory]:
    """Reads all repetitions `NAME_001.txt`, `NAME_002.txt`, ... of a supervised run.

    Args:
      folder: of one tracker.
      run: the first repetition.
      one_based: has no effect; VOT counts the first pixel as 0.

    Returns:
      one Trajectory a repetition.

    Raises:
      ValueError: see `read_trajectory`.
    """
    first = pathlib.Path(folder) / f"{run.name}.txt"
    found = sorted(first.parent.glob(f"{run.sequence.name}_[0-9][0-9][0-9].txt"))
    return [read_trajectory(path) for path in found or [first]]


def read_single(folder, run: Run, *, one_based: bool = False) -> list[Trajectory]:
    """Reads the one repetition of a multi-start run.

    Args:
      folder: of one tracker.
      run: from an anchor.
      one_based: has no effect; VOT counts the first pixel as 0.

    Returns:
      list of the one Trajectory.

    Raises:
      ValueError: see `read_trajectory`.
    """
    return [read_trajectory(pathlib.Path(folder) / f"{run.name}.txt")]


def _lines(path):
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def read_trajectory(path: pathlib.Path) -> Trajectory:
    """Reads a run, with its times, that `write_trajectory` or the VOT toolkit wrote as text.

    Args:
      path: `NAME.txt`.

    Returns:
      Trajectory, its boxes a list.

    Raises:
      ValueError: the file is missing, a line is neither a code nor a region, or the times
        do not fit.
    """
    if not path.is_file():
        raise ValueError(f"no {path}; expected a run with one line x,y,w,h or a code a frame")
    codes, boxes = [], []
    for number, line in enumerate(_lines(path), start=1):
        try:
            values = [float(field) for field in line.split(",")]
        except ValueError:
            values = []
        if len(values) == 1 and values[0] in (UNKNOWN, STARTED, FAILED):
            codes.append(int(values[0]))
            boxes.append(np.full(4, np.nan))
        elif len(values) >= 4 and len(values) % 2 == 0:
            codes.append(TRACKED)
            boxes.append(np.array(values))
        else:
            raise ValueError(
                f"{path}, line {number}: expected x,y,w,h, a polygon x,y,x,y,... "
                f"or a code 0, 1, 2, got {line[:80]!r}"
            )
    return Trajectory(np.array(codes), boxes, read_seconds(path, len(codes)))


def read_seconds(path: pathlib.Path, length: int) -> np.ndarray:
    """Reads the times of a run.

    Args:
      path: of the run, `NAME.txt`; the times are in `NAME_time.value`.
      length: number of frames.

    Returns:
      f64[length]; NaN where the file is missing, has a blank line or ends early. The
      toolkit's files do so for frames without a box.

    Raises:
      ValueError: a line is no number, or there are more than frames.
    """
    path = _times_path(path)
    lines = _lines(path) if path.is_file() else []
    try:
        values = [float(line) if line.strip() else np.nan for line in lines]
    except ValueError as error:
        raise ValueError(f"{path}: expected one number a frame ({error})") from None
    if len(values) > length:
        raise ValueError(f"{path} has {len(values)} lines, the run has {length} frames")
    return np.array([*values, *[np.nan] * (length - len(values))])
