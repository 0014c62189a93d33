"""The part of a frame that a step needs: small to upload, and of few shapes.

A jitted step is compiled for a shape of frame. Videos come in many shapes, their regions of
interest in few: less is compiled, and of a large frame only a part is copied.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from siamfc_jax.config import TrackerConfig
from siamfc_jax.crops import mean_color
from siamfc_jax.geometry import EXEMPLAR_SIZE, SEARCH_SIZE, Array, center_of, exemplar_side

UNIT, ROOM = 256, 1024  # px, see roi_shape
MARGIN = 2  # px: a crop mixes neighbouring pixels, and boxes are rounded


class Roi(NamedTuple):
    """A region of interest of a frame; for a state of several objects, each array has its axes.

    Attributes:
      pixels: u8[h, w, 3] RGB. Pixels right of and below `extent` are padding of any value.
      corner: i32[2] `(x, y)` of the left top pixel in the frame.
      extent: i32[2] width and height of the region without padding.
      frame_size: f32[2] width and height of the frame.
      color: f32[3] mean colour of the first frame, which only `tracker.init` uses; or None.
    """

    pixels: Array
    corner: Array
    extent: Array
    frame_size: Array
    color: Array | None


def whole_frame(frame: Array | Roi, *, axes: int = 0) -> Roi:
    """Returns a frame as a region that is all of it, ready to broadcast against a state.

    Args:
      frame: u8[H, W, 3] RGB, or a region, which is taken as it is.
      axes: number of leading axes of the state.

    Returns:
      A region with as many leading axes; those that it lacks are of 1, on the left.
    """
    if not isinstance(frame, Roi):
        size = jnp.array(frame.shape[1::-1], jnp.int32)  # of JAX, as an export leaves it open
        corner, frame_size = jnp.zeros_like(size), size.astype(jnp.float32)
        frame = Roi(frame, corner, size, frame_size, mean_color(frame))
    missing = tuple(range(axes + 1 - frame.frame_size.ndim))
    return jax.tree.map(lambda array: jnp.expand_dims(array, missing), frame)


def padded_frames(frames: Array, sizes: Array, *, axes: int) -> Roi:
    """Returns padded frames of several videos as regions that broadcast against their states.

    Args:
      frames: u8[V, H, W, 3] RGB.
      sizes: i32[V, 2] width and height of each frame without padding.
      axes: number of leading axes of the states: 1 for [V, ...], 2 for [V, N, ...].

    Returns:
      Regions of V whole frames.
    """
    rois = Roi(frames, jnp.zeros_like(sizes), sizes, jnp.float32(sizes), None)
    # [V, ...] -> [V, 1, ...], an axis of 1 for each further axis of the states
    return jax.tree.map(lambda array: jnp.expand_dims(array, tuple(range(1, axes))), rois)


def crop_roi(
    frame: np.ndarray, boxes: Array, last: Roi | None = None, *, config: TrackerConfig
) -> Roi:
    """Takes out of a frame what `tracker.init` and `tracker.step` need of it.

    With `config.redetect` that is all of the frame.

    Args:
      frame: u8[H, W, 3] RGB.
      boxes: f32[4] or f32[N, 4] of the last frame; for the first frame, those in it.
      last: region of the last frame, None for the first one. Its shape is kept if it suffices.
      config: settings of the tracker.

    Returns:
      A region of NumPy arrays, with which both functions give what they give for the frame.
    """
    frame_size = np.array(frame.shape[1::-1])
    low, high = np.zeros(2), frame_size
    if not config.redetect:
        boxes = np.asarray(boxes).reshape(-1, 4)  # [4] -> [1, 4]
        side = exemplar_side(boxes[:, 2:], context=config.context)
        growth = config.scale_step ** (config.num_scales // 2)
        reach = np.asarray(side) * (growth * SEARCH_SIZE / EXEMPLAR_SIZE / 2) + MARGIN
        low = np.floor(np.min(center_of(boxes) - reach[:, None], axis=0))
        high = np.ceil(np.max(center_of(boxes) + reach[:, None], axis=0))
    low, high = (np.clip(corner, 0, frame_size).astype(int) for corner in (low, high))
    shape = None if last is None else np.array(last.pixels.shape[1::-1])
    if shape is None or (high - low > shape).any():
        shape = np.array(roi_shape(high - low, frame_size))
    corner = np.clip(low, 0, np.maximum(frame_size - shape, 0))
    part = frame[corner[1] :, corner[0] :][: shape[1], : shape[0]]
    extent = part.shape[1::-1]
    if extent == tuple(shape):
        pixels = np.ascontiguousarray(part)
    else:
        pixels = np.empty((*shape[::-1], 3), np.uint8)
        pixels[: extent[1], : extent[0]] = part
    color = np.asarray(mean_color(jnp.asarray(frame))) if last is None else last.color
    place, area = np.array(corner, np.int32), np.array(extent, np.int32)
    return Roi(pixels, place, area, np.array(frame_size, np.float32), color)


def roi_shape(needed: np.ndarray, frame_size: np.ndarray) -> tuple[int, int]:
    """Rounds the size of a region up, so that few shapes serve all videos.

    1. The longer side is rounded up to a power of two, at least 256; the region is a square.
    2. A side below 1024 is doubled: that costs little, and an object may grow to twice its
       size before another shape is compiled.
    3. No side exceeds that of the frame, which is rounded up to a multiple of 256, or of an
       eighth of the next power of two if that is more.

        needed         frame          region
        90 x 60        640 x 480      512 x 512     256, doubled
        250 x 250      3840 x 2160    512 x 512     256, doubled
        300 x 200      640 x 480      768 x 512     512, doubled, limited by the frame
        700 x 700      1920 x 1080    1024 x 1024   not doubled
        1250 x 1080    1920 x 1080    2048 x 1280   2048, limited by the frame
        1250 x 1250    3840 x 2160    2048 x 2048

    Args:
      needed: (width, height) of what a step needs, in pixels.
      frame_size: (width, height) of the frame.

    Returns:
      (width, height) of the region, padding included.
    """
    power = max(UNIT, 1 << int(np.max(needed) - 1).bit_length())
    side = max(power, min(2 * power, ROOM))
    width, height = (min(side, _round_up(int(limit))) for limit in frame_size)
    return width, height


def _round_up(side):
    unit = max(UNIT, (1 << side.bit_length()) // 8)
    return -(-side // unit) * unit
