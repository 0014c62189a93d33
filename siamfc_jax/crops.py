"""Cuts squares out of images and resizes them, in JAX.

The same crop serves training and tracking. It is bilinear at sub-pixel positions, has no
low-pass filter when it shrinks, and shows a constant colour outside the image.
"""

import jax
import jax.numpy as jnp
import numpy as np

from siamfc_jax.geometry import Array


def mean_color(image: Array) -> jax.Array:
    """Returns the mean colour f32[3] of an image [H, W, 3], with which crops fill its outside."""
    return jnp.mean(image, axis=(0, 1), dtype=jnp.float32)


def _taps(center, side, size, extent):
    """Returns pixels i32[2, size] that enclose each sample, and their weights f32[2, size]."""
    positions = center - 0.5 + ((jnp.arange(size) + 0.5) / size - 0.5) * side
    first = jnp.floor(positions)
    pixels = jnp.stack([first, first + 1]).astype(jnp.int32)
    weights = jnp.stack([first + 1 - positions, positions - first])
    inside = (pixels >= 0) & (pixels < extent)
    return jnp.clip(pixels, 0, extent - 1), weights * inside


def crop(
    image: Array,
    center: Array,
    side: Array,
    fill: Array,
    *,
    size: int,
    extent: Array | None = None,
) -> jax.Array:
    """Cuts one square (or stretched square) out of an image.

    The interpolation is separable: rows come first, so that only the rows that are needed
    are read. It is differentiable in `image`, `center` and `side`.

    Args:
      image: u8 or f32[H, W, 3].
      center: f32[2] `(x, y)` in image pixels.
      side: f32[] or f32[2] `(width, height)` of the square, in image pixels.
      fill: f32[3] colour outside the image; it mixes with the border pixels as
        if the image were padded with it.
      size: side of the result in pixels.
      extent: i32[2] width and height of the image without padding, which may lie right of it
        and below it; None if it has none.

    Returns:
      f32[size, size, 3].
    """
    image, side = jnp.asarray(image), jnp.broadcast_to(side, (2,))
    width, height = image.shape[1::-1] if extent is None else extent
    rows, row_weights = _taps(center[1], side[1], size, height)
    columns, column_weights = _taps(center[0], side[0], size, width)
    # Two rows for each row of the result: [size, W, 3]; then two columns: [size, size, 3].
    strip = sum(
        (image[rows[i]].astype(jnp.float32) - fill[None, None, :]) * row_weights[i][:, None, None]
        for i in range(2)
    )
    square = sum(strip[:, columns[i]] * column_weights[i][None, :, None] for i in range(2))
    return square + fill[None, None, :]


def crop_pyramid(
    image: Array,
    center: Array,
    sides: Array,
    fill: Array,
    *,
    size: int,
    extent: Array | None = None,
) -> jax.Array:
    """Cuts squares of several sides around one centre, or around each of several.

    The leading axes `...` of all arguments are equal or 1: centres may share an image.

    Args:
      image: u8 or f32[..., H, W, 3].
      center: f32[..., 2] `(x, y)` in image pixels.
      sides: f32[..., S] in image pixels.
      fill: f32[..., 3] colour outside the image.
      size: side of each result in pixels.
      extent: i32[..., 2] width and height of the image without padding; None if it has none.

    Returns:
      f32[..., S, size, size, 3]; each square is what `crop` cuts.
    """
    if extent is None:
        extent = np.array([image.shape[-2], image.shape[-3]])
    cut = jnp.vectorize(
        lambda *window: crop(*window[:-1], size=size, extent=window[-1]),
        signature="(h,w,c),(p),(),(c),(p)->(r,q,c)",
    )
    # An axis of 1 in all but `sides` meets the S of them.
    return cut(
        image[..., None, :, :, :],
        center[..., None, :],
        sides,
        fill[..., None, :],
        extent[..., None, :],
    )


def check_frame(frame: Array) -> np.ndarray:
    """Checks a frame that a user gave.

    Args:
      frame: u8[H, W, 3] in RGB order.

    Returns:
      The frame as a NumPy array.

    Raises:
      ValueError: the frame has another type or shape.
    """
    frame = np.asarray(frame)
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[-1] != 3 or 0 in frame.shape:
        raise ValueError(
            f"frame must be uint8 [H, W, 3] in RGB order, got {frame.dtype} {list(frame.shape)}"
        )
    return frame
