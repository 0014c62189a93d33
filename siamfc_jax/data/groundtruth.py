"""Reads the text files in which the benchmarks publish true boxes.

A reader returns boxes, or raises a ValueError that names file and line; it never guesses.
Boxes become `[x, y, w, h]` in continuous 0-based frame pixels here; NaN stands for a frame
without annotation.
"""

import pathlib

import numpy as np

LARGEST = 1e7  # pixels; beyond it a number is damage, not a box
THINNEST = 1e-6  # pixels; a polygon that is thinner is a line


def _text(path, expected):
    try:
        return pathlib.Path(path).read_text(encoding="utf-8-sig", errors="replace")
    except (OSError, ValueError) as error:  # ValueError: no file can have such a name
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"{path} cannot be read ({reason}); expected {expected}") from None


def read_names(path: str | pathlib.Path) -> list[str]:
    """Reads a list of names.

    Args:
      path: one name a line; a name may hold blanks.

    Returns:
      At least one name.

    Raises:
      ValueError: there is no such file, no name in it, or one of another folder.
    """
    lines = _text(path, "one name a line").split("\n")
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise ValueError(f"{path} is empty; expected one name a line")
    for name in names:
        if "/" in name or "\\" in name or name in (".", ".."):
            raise ValueError(f"{path}: expected names of folders beside it, got {name[:80]!r}")
    return names


def _rows(path, expected, fields=lambda line: line.replace(",", " ").split()):
    """Yields (line number, numbers) of every line; blank ones only at the end."""
    lines = _text(path, expected).split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise ValueError(f"{path} is empty; expected {expected}")
    for number, line in enumerate(lines, start=1):
        try:
            values = [float(field) for field in fields(line)]
        except (ValueError, IndexError):
            values = []
        if not values or any(abs(value) > LARGEST for value in values):
            raise _mismatch(path, number, expected, line)
        yield number, line, values


def _mismatch(path, number, expected, line):
    return ValueError(f"{path}, line {number}: expected {expected}, got {line.strip()[:80]!r}")


def read_boxes(path: str | pathlib.Path, *, one_based: bool) -> np.ndarray:
    """Reads a text file of one box a line.

    Args:
      path: lines of four numbers divided by commas, tabs or blanks; NaN stands
        for no annotation.
      one_based: whether the first pixel is 1, as in MATLAB-born sets.

    Returns:
      f32[T, 4] boxes, 0-based.

    Raises:
      ValueError: a line is not four numbers; the text names file and line.
    """
    expected, boxes = "4 numbers x,y,w,h", []
    for number, line, values in _rows(path, expected):
        if len(values) != 4:
            raise _mismatch(path, number, expected, line)
        boxes.append(values)
    return _boxes(boxes, one_based)


def _boxes(values, one_based):
    boxes = np.array(values, np.float64) - np.array([one_based, one_based, 0, 0])
    return boxes.astype(np.float32)


def read_regions(path: str | pathlib.Path) -> list[np.ndarray]:
    """Reads the true regions of a VOT sequence.

    Args:
      path: a line is `x,y,w,h`, a polygon `x1,y1,x2,y2,...` of at least three
        corners, or a code (`0`: unknown) or NaN for a frame without region.

    Returns:
      T regions f64[4] or f64[2 N], 0-based as published; NaN where there is none.

    Raises:
      ValueError: a line is neither; masks of VOT2020 and later are not read.
    """
    expected = "x,y,w,h or at least 3 corners x,y (a mask 'm...' is not read)"
    regions = []
    for number, line, values in _rows(path, expected):
        if len(values) == 1 or np.isnan(values).any():
            values = [np.nan] * 4
        elif len(values) % 2 or len(values) < 4:
            raise _mismatch(path, number, expected, line)
        regions.append(np.array(values))
    return regions


def upright_boxes(regions: list[np.ndarray]) -> np.ndarray:
    """Turns regions into upright boxes of the same area around the same centre.

    A polygon gives the upright box around it, shrunk to the area of the rectangle
    its first three corners span: `get_axis_aligned_BB.m` of the authors' tracker,
    as in pysot. Corners are pixels, so a side counts one more than their distance;
    got10k places the same box half a pixel further left and up. A line, where these divide
    by zero, gives the box around it.

    Args:
      regions: T regions f64[4] or f64[2 N], from `read_regions`.

    Returns:
      f32[T, 4] boxes.
    """
    return np.array([_upright(region) for region in regions], np.float32).reshape(-1, 4)


def _upright(region):
    if len(region) == 4:
        return region
    corners = region.reshape(-1, 2)  # [N, 2], x and y
    extent = corners.max(0) - corners.min(0)
    sides = np.linalg.norm(np.diff(corners[:3], axis=0), axis=1)
    shrink = np.sqrt(sides.prod() / extent.prod()) if extent.min() > THINNEST else 1
    size = shrink * extent + 1
    return np.concatenate([corners.mean(0) - (size - 1) / 2, size])


def read_sparse(path: str | pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """Reads an ALOV300++ file: some frames of a video, four corners each.

    Args:
      path: lines `frame x1 y1 x2 y2 x3 y3 x4 y4`, frames from 1, pixels from 1.

    Returns:
      (frame numbers i64[N] ascending from 1, boxes f32[N, 4] around the corners,
      0-based).

    Raises:
      ValueError: a line is not nine numbers, or frames do not ascend.
    """
    expected = "a frame number and 4 corners x y"
    frames: list[int] = []
    boxes = []
    for number, line, values in _rows(path, expected):
        if len(values) != 9 or not np.isfinite(values).all() or values[0] % 1 or values[0] < 1:
            raise _mismatch(path, number, expected, line)
        if frames and values[0] <= frames[-1]:
            raise _mismatch(path, number, f"a frame after {frames[-1]}", line)
        frames.append(int(values[0]))
        corners = np.reshape(values[1:], (4, 2))  # x and y of each
        boxes.append([*corners.min(0), *(corners.max(0) - corners.min(0))])
    return np.array(frames), _boxes(boxes, True)


def read_vatic(path: str | pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """Reads an NfS file: one object in VATIC's text form.

    Args:
      path: lines `track xmin ymin xmax ymax frame lost occluded generated "label"`.

    Returns:
      (boxes f32[T, 4] as published, visible bool[T]: not marked lost).

    Raises:
      ValueError: a line does not begin with nine numbers.
    """
    expected = "9 numbers: track, xmin, ymin, xmax, ymax, frame, lost, occluded, generated"
    boxes, lost = [], []
    for number, line, values in _rows(path, expected, lambda line: line.split()[:9]):
        if len(values) != 9 or not np.isfinite(values).all():
            raise _mismatch(path, number, expected, line)
        left, top, right, bottom = values[1:5]
        boxes.append([left, top, right - left, bottom - top])
        lost.append(values[6] != 0)
    return _boxes(boxes, False), ~np.array(lost)


def read_labels(path: str | pathlib.Path, length: int) -> np.ndarray:
    """Reads whole numbers, one a frame: flags, cover, anchors.

    Args:
      path: numbers divided by line ends, commas or blanks.
      length: number of frames; a shorter file goes on as zeros, as in VOT's tags.

    Returns:
      i64[length].

    Raises:
      ValueError: something is no whole number, or there are more than frames.
    """
    text = _text(path, "whole numbers, one a frame")
    try:
        values = np.array([float(field) for field in text.replace(",", " ").split()])
    except ValueError as error:
        raise ValueError(f"{path}: expected whole numbers, one a frame ({error})") from None
    whole = (np.abs(values) <= LARGEST).all() and not (values % 1).any()
    if len(values) > length or not whole:
        raise ValueError(
            f"{path}: expected at most {length} whole numbers, one a frame, got {len(values)}"
        )
    labels = np.zeros(length, np.int64)
    labels[: len(values)] = values
    return labels
