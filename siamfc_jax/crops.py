"""Cuts and resizes squares out of images, in JAX.

The same crop serves training and tracking: bilinear, at sub-pixel positions,
without a low-pass filter when it shrinks, outside the image a constant colour.
"""

import jax.numpy as jnp
import numpy as np


def mean_color(image):
    """Returns the mean colour f32[3] of an image [H, W, 3]: what stands outside of it."""
    return jnp.mean(image, axis=(0, 1), dtype=jnp.float32)


def _taps(center, side, size, extent):
    """Returns for each of `size` samples the two pixels it lies between, and their weights."""
    positions = center - 0.5 + ((jnp.arange(size) + 0.5) / size - 0.5) * side
    first = jnp.floor(positions)
    pixels = jnp.stack([first, first + 1]).astype(jnp.int32)
    weights = jnp.stack([first + 1 - positions, positions - first])
    inside = (pixels >= 0) & (pixels < extent)
    return jnp.clip(pixels, 0, extent - 1), weights * inside


def crop(image, center, side, fill, *, size, extent=None):
    """Cuts one square (or stretched square) out of an image.

    Separable: rows first, then columns, so that only the rows that are needed
    are ever touched. Differentiable in `image`, `center` and `side`.

    Args:
      image: u8 or f32[H, W, 3].
      center: f32[2] `(x, y)` in image pixels.
      side: f32[] or f32[2] `(width, height)` of the cut, in image pixels.
      fill: f32[3] colour outside the image; it mixes with the border pixels as
        if the image were padded with it.
      size: side of the result in pixels.
      extent: i32[2] width and height of the image proper, from its left top corner, where it
        is padded on the right or below; None where it is not.

    Returns:
      f32[size, size, 3].
    """
    image, side = jnp.asarray(image), jnp.broadcast_to(side, (2,))
    width, height = image.shape[1::-1] if extent is None else extent
    rows, row_weights = _taps(center[1], side[1], size, height)
    columns, column_weights = _taps(center[0], side[0], size, width)
    strip = sum(
        (image[rows[i]].astype(jnp.float32) - fill[None, None, :]) * row_weights[i][:, None, None]
        for i in range(2)
    )
    square = sum(strip[:, columns[i]] * column_weights[i][None, :, None] for i in range(2))
    return square + fill[None, None, :]


def crop_pyramid(image, center, sides, fill, *, size, extent=None):
    """Cuts squares of several sides around one centre, or each of several centres.

    Args:
      image: u8 or f32[H, W, 3].
      center: f32[..., 2] `(x, y)`.
      sides: f32[..., S].
      fill: f32[..., 3].
      size: side of each result in pixels.
      extent: as of `crop`.

    Returns:
      f32[..., S, size, size, 3], otherwise as `crop`.
    """
    cut = jnp.vectorize(
        lambda *window: crop(image, *window, size=size, extent=extent),
        signature="(p),(),(c)->(r,q,c)",
    )
    return cut(center[..., None, :], sides, fill[..., None, :])


def check_frame(frame):
    """Checks a frame that a user gave.

    Args:
      frame: what should be u8[H, W, 3] in RGB order.

    Returns:
      The same, a NumPy array.

    Raises:
      ValueError: it is something else.
    """
    frame = np.asarray(frame)
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[-1] != 3 or 0 in frame.shape:
        raise ValueError(
            f"frame must be uint8 [H, W, 3] in RGB order, got {frame.dtype} {list(frame.shape)}"
        )
    return frame
