"""Runs of the VOT protocols, with the text files that the VOT toolkit reads and writes."""

import os
import pathlib
from typing import NamedTuple

import numpy as np

from siamfc_jax.evaluation.vot_regions import overlap

UNKNOWN, STARTED, FAILED, TRACKED = 0, 1, 2, 3  # 0 to 2 as in the toolkit's files


class Trajectory(NamedTuple):
    """One run over a sequence of T frames.

    Attributes:
      codes: i[T], TRACKED, or why there is no box: UNKNOWN (between a failure and
        the next start), STARTED, FAILED.
      boxes: f64[T, 4]; NaN where the code is not TRACKED. Of other trackers' files a list,
        with the corners f64[2 N] where one gave polygons.
    """

    codes: np.ndarray
    boxes: np.ndarray | list


def overlaps(trajectory: Trajectory, regions, frame_size) -> np.ndarray:
    """Computes the overlap of each frame; 0 where there is no box.

    Args:
      trajectory: of T frames.
      regions: T true regions, f[4] or f[2 N]; NaN where there is none.
      frame_size: (width, height).

    Returns:
      f64[T].

    Raises:
      ValueError: the lengths differ.
    """
    if len(trajectory.codes) != len(regions):
        raise ValueError(
            f"{len(trajectory.codes)} frames were tracked, {len(regions)} have a true region"
        )
    return np.array(
        [
            overlap(box, region, frame_size)
            if code == TRACKED and np.isfinite(box).all() and np.isfinite(region).all()
            else 0.0
            for code, box, region in zip(*trajectory, regions, strict=True)
        ]
    )


def write_trajectory(folder, name: str, trajectory: Trajectory, seconds) -> None:
    """Writes a run as the VOT toolkit does: `NAME_time.value`, then `NAME.txt`.

    Args:
      folder: of one tracker, experiment and sequence; made if missing.
      name: of the run: `SEQUENCE_001` by repetition, `SEQUENCE_00000042` by anchor.
      trajectory: what to write; a line is a code or `x,y,w,h`.
      seconds: f64[T].
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        ",".join(f"{value:.4f}" for value in box) if code == TRACKED else str(code)
        for code, box in zip(*trajectory, strict=True)
    ]
    times = "".join(f"{value:.6f}\n" for value in np.nan_to_num(seconds))
    (folder / f"{name}_time.value").write_text(times)
    partial = folder / f"{name}.txt.part"
    partial.write_text("\n".join(lines) + "\n")
    os.replace(partial, folder / f"{name}.txt")


def _lines(path):
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def read_trajectory(path) -> Trajectory:
    """Reads a run that `write_trajectory` or the VOT toolkit wrote as text.

    Args:
      path: `NAME.txt`.

    Returns:
      Trajectory, its boxes a list.

    Raises:
      ValueError: the file is missing, or a line is neither a code nor a region.
    """
    path = pathlib.Path(path)
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
    return Trajectory(np.array(codes), boxes)


def read_seconds(path, length: int) -> np.ndarray:
    """Reads the times that belong to a run.

    Args:
      path: of the run, `NAME.txt`; the times are in `NAME_time.value`.
      length: number of frames.

    Returns:
      f64[length]; NaN where the file is missing, has a blank line or ends early, as
      the toolkit's do for frames without a box.

    Raises:
      ValueError: a line is no number, or there are more than frames.
    """
    path = pathlib.Path(path).with_name(f"{pathlib.Path(path).stem}_time.value")
    lines = _lines(path) if path.is_file() else []
    try:
        values = [float(line) if line.strip() else np.nan for line in lines]
    except ValueError as error:
        raise ValueError(f"{path}: expected one number a frame ({error})") from None
    if len(values) > length:
        raise ValueError(f"{path} has {len(values)} lines, the run has {length} frames")
    return np.array([*values, *[np.nan] * (length - len(values))])
