"""The part of a frame that a step looks at: little to upload, and of few shapes.

A jitted step is compiled for a shape. Frames come in all of them, parts of frames in few:
less is compiled, and a large frame is not copied as a whole.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from siamfc_jax.config import TrackerConfig
from siamfc_jax.crops import mean_color
from siamfc_jax.geometry import EXEMPLAR_SIZE, SEARCH_SIZE, center_of, exemplar_side

UNIT, ROOM = 256, 1024  # px
MARGIN = 2  # px: a crop mixes neighbours, and a box is a rounded centre and size


class View(NamedTuple):
    """A part of a frame.

    Attributes:
      pixels: u8[h, w, 3] RGB; what is over `extent`, on the right and below, is anything.
      corner: i32[2] `(x, y)` in the frame of the left top pixel.
      extent: i32[2] width and height of the part.
      frame_size: f32[2] width and height of the frame.
      color: f32[3] mean colour of the first frame, which only `tracker.init` looks at.
    """

    pixels: jax.Array
    corner: jax.Array
    extent: jax.Array
    frame_size: jax.Array
    color: jax.Array


def whole(frame) -> View:
    """Returns a view of all of a frame u8[H, W, 3]; a view is returned as it is."""
    if isinstance(frame, View):
        return frame
    size = jnp.array(frame.shape[1::-1], jnp.int32)  # of JAX, as an export leaves the size open
    return View(frame, jnp.zeros_like(size), size, size.astype(jnp.float32), mean_color(frame))


def look(frame, boxes, last: View | None = None, *, config: TrackerConfig) -> View:
    """Takes out of a frame what `tracker.init` and `tracker.step` need of it.

    With `redetect` that is all of it.

    Args:
      frame: u8[H, W, 3], a NumPy array.
      boxes: f32[4] or f32[N, 4], those of the frame before; in the first frame those in it.
      last: view of the frame before, None in the first frame. The shape stays, if it suffices.
      config: settings of the tracker.

    Returns:
      A view of NumPy arrays with which both give what the frame gives.
    """
    frame_size = np.array(frame.shape[1::-1])
    low, high = np.zeros(2), frame_size
    if not config.redetect:
        boxes = np.asarray(boxes).reshape(-1, 4)
        side = exemplar_side(boxes[:, 2:], context=config.context)
        growth = config.scale_step ** (config.num_scales // 2)
        reach = np.asarray(side) * (growth * SEARCH_SIZE / EXEMPLAR_SIZE / 2) + MARGIN
        low = np.floor(np.min(center_of(boxes) - reach[:, None], axis=0))
        high = np.ceil(np.max(center_of(boxes) + reach[:, None], axis=0))
    low, high = (np.clip(corner, 0, frame_size).astype(int) for corner in (low, high))
    shape = None if last is None else np.array(last.pixels.shape[1::-1])
    if shape is None or (high - low > shape).any():
        # A power of two; where that copies little, with room for an object twice as large, so
        # that a video seldom needs another one. At most that of the frame, to UNIT or, where
        # that is more, to a fourth of a power of two.
        room = max(UNIT, 1 << int(np.max(high - low) - 1).bit_length())
        room = max(room, min(2 * room, ROOM))
        shape = np.minimum(room, [_round_up(int(side)) for side in frame_size])
    corner = np.clip(low, 0, np.maximum(frame_size - shape, 0))
    part = frame[corner[1] :, corner[0] :][: shape[1], : shape[0]]
    extent = part.shape[1::-1]
    if extent == tuple(shape):
        pixels = np.ascontiguousarray(part)
    else:
        pixels = np.empty((*shape[::-1], 3), np.uint8)
        pixels[: extent[1], : extent[0]] = part
    color = np.asarray(mean_color(jnp.asarray(frame))) if last is None else last.color
    return View(pixels, np.int32(corner), np.int32(extent), np.float32(frame_size), color)


def _round_up(side):
    unit = max(UNIT, (1 << side.bit_length()) // 8)
    return -(-side // unit) * unit
