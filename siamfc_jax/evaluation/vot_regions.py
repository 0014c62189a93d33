"""Overlap of rectangles and polygons in whole pixels, as the VOT toolkit counts it."""

import numpy as np


def overlap(region, truth, frame_size) -> float:
    """Computes intersection over union in pixels of the frame.

    A region is four numbers `x, y, w, h` or the corners `x, y, ...` of a convex
    polygon. Numbers are rounded first, halves to even. A rectangle covers w x h
    pixels; a polygon also covers the pixels under its right and lower edges. Two
    regions that span at most one pixel together count as equal.

    Args:
      region: f[4] or f[2 N].
      truth: the same.
      frame_size: (width, height); pixels outside do not count.

    Returns:
      overlap in [0, 1].
    """
    a, b = np.round(np.asarray(region, float)), np.round(np.asarray(truth, float))
    low_a, high_a = _bounds(a)
    low_b, high_b = _bounds(b)
    low, high = np.minimum(low_a, low_b), np.maximum(high_a, high_b)
    if (low >= high).any():
        return 1.0
    low, high = np.maximum(low, 0), np.minimum(high, np.asarray(frame_size) - 1)
    if (low >= high).any():
        return 0.0
    (left_a, right_a), (left_b, right_b) = _spans(a, low, high), _spans(b, low, high)
    both = _count(np.maximum(left_a, left_b), np.minimum(right_a, right_b))
    either = _count(left_a, right_a) + _count(left_b, right_b) - both
    return float(both / either) if either else 0.0


def _bounds(region):
    if len(region) == 4:
        return region[:2], region[:2] + region[2:] - 1
    corners = region.reshape(-1, 2)
    return corners.min(0), corners.max(0)


def _count(left, right):
    return np.maximum(right - left + 1, 0).sum()


def _spans(region, low, high):
    """Returns the first and last column of a region in each row from low to high."""
    rows = np.arange(low[1], high[1] + 1)
    if len(region) == 4:
        x, y, width, height = region
        inside = (rows >= y) & (rows < y + height)
        left = np.where(inside, max(x, low[0]), np.inf)
        return left, np.where(inside, min(x + width - 1, high[0]), -np.inf)
    start = region.reshape(-1, 2) - low  # columns are cut towards zero from `low`
    end, rows = np.roll(start, 1, axis=0), rows[:, None] - low[1]
    rise = end[:, 1] - start[:, 1]
    touched = (np.minimum(start[:, 1], end[:, 1]) <= rows) & (
        rows <= np.maximum(start[:, 1], end[:, 1])
    )
    share = (rows - start[:, 1]) / np.where(rise == 0, 1, rise)
    columns = np.trunc(start[:, 0] + np.where(rise == 0, 0, share * (end[:, 0] - start[:, 0])))
    left = np.where(touched, columns, np.inf).min(1)
    right = np.where(touched, columns, -np.inf).max(1)
    return np.maximum(left, 0) + low[0], np.minimum(right, high[0] - low[0]) + low[0]
