"""Arithmetic of boxes and scales, and the coordinate convention.

A box is f32 `[x, y, w, h]`, left/top edge and
extent in frame pixels, continuous and 0-based. The image spans [0, W] x [0, H].
The pixel in row r and column c covers [c, c + 1) x [r, r + 1), and its centre lies at
(c + .5, r + .5). Points are `(x, y)`; arrays are indexed `[row, column]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, Union

import numpy as np

if TYPE_CHECKING:  # JAX takes a second to import, and who tracks with an export does without
    import jax

# What functions take that also run on the host.
Array = Union["jax.Array", np.ndarray]
SameArray = TypeVar("SameArray", "jax.Array", np.ndarray)  # NumPy in, NumPy out

EXEMPLAR_SIZE = 127  # z, in crop pixels (tracker.m)
SEARCH_SIZE = 255  # x when tracking (tracker.m)
TRAIN_SEARCH_SIZE = 239  # x in training: 255 - 2 * 8 (experiment.m)
PATCH_SIZE = 319  # side of stored patches: a search crop with a border of 32 px
# Sides of a box between which float32 loses nothing that matters: in pixels, and in longer sides
# of the frame.
SMALLEST_SIDE, LARGEST_SIDE = 0.01, 100
STRIDE = 8  # crop pixels from one response cell to the next


def center_of(box: SameArray) -> SameArray:
    """Returns the centre f32[..., 2] `(x, y)` of boxes f32[..., 4]."""
    return box[..., :2] + box[..., 2:] / 2


def make_box(center: Array, size: Array) -> jax.Array:
    """Returns boxes f32[..., 4] from centres f32[..., 2] and sizes f32[..., 2]."""
    import jax.numpy as jnp

    return jnp.concatenate([center - size / 2, size], axis=-1)


def exemplar_side(size: SameArray, *, context: float) -> SameArray:
    """Returns the side of the exemplar square around an object, in frame pixels.

    sqrt((w + p)(h + p)) with p = context * (w + h): paper, section 3.4, where the
    margin is a quarter of the perimeter, context .5.

    Args:
      size: f32[..., 2] width and height of the object.
      context: share of (w + h) that is added to width and height.

    Returns:
      f32[...] side of the square that a crop of 127 px shows.
    """
    padded = size + context * size.sum(-1, keepdims=True)
    return (padded[..., 0] * padded[..., 1]) ** 0.5


def scale_factors(num_scales: int, *, step: float) -> jax.Array:
    """Returns f32[num_scales] ascending factors around 1, each `step` times the one before."""
    import jax.numpy as jnp

    exponents = jnp.arange(num_scales) - (num_scales - 1) / 2
    return (step**exponents).astype(jnp.float32)


def cells_to_frame(offset: jax.Array, side: jax.Array) -> jax.Array:
    """Converts a displacement on the response into frame pixels.

    Args:
      offset: f32[..., 2] `(x, y)` from the centre of the response, in cells.
      side: f32[...] side of the search square in frame pixels.

    Returns:
      f32[..., 2] displacement in frame pixels.
    """
    return offset * (STRIDE * side / SEARCH_SIZE)[..., None]


def check_box(box: Array, frame_shape: tuple[int, ...]) -> np.ndarray:
    """Checks a box that a user gave.

    Args:
      box: four numbers `[x, y, w, h]` in frame pixels.
      frame_shape: (H, W, ...) of the frame.

    Returns:
      The box f32[4] as a NumPy array.

    Raises:
      ValueError: the box is not four finite numbers, has no positive size or one beyond
        reason, or has its centre outside the frame.
    """
    try:
        checked = np.asarray(box, np.float32)
    except (TypeError, ValueError, OverflowError):
        checked = np.full(0, np.nan)
    if checked.shape != (4,) or not np.isfinite(checked).all():
        raise ValueError(f"box must be four finite numbers x,y,w,h, got {box}")
    text = ",".join(f"{value:g}" for value in checked)
    if not (checked[2:] > 0).all():
        raise ValueError(f"box must have positive width and height in pixels, got {text}")
    height, width = frame_shape[:2]
    largest = LARGEST_SIDE * max(width, height)
    if (checked[2:] < SMALLEST_SIDE).any() or (checked[2:] > largest).any():
        raise ValueError(
            f"box must have sides of {SMALLEST_SIDE} to {largest} pixels in a frame of {width} x "
            f"{height}, got {text}"
        )
    x, y = checked[:2] + checked[2:] / 2
    if not (0 <= x <= width and 0 <= y <= height):
        raise ValueError(
            f"box must have its centre inside the frame of {width} x {height} pixels, got {text}"
        )
    return checked
