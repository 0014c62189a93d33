"""Convolution with fewer multiplications, for CPUs: a tile of outputs at once.

A tile of m x m outputs of a k x k kernel takes (m + k - 1)^2 multiplications per pair of
channels instead of (m k)^2: 16 instead of 36 for k = 3, 64 instead of 400 for k = 5. Images and
kernels are transformed linearly, multiplied place by place, and the products transformed back;
over all tiles and channels, the multiplication of one place is a matmul. docs/cpu.md draws it.
Lavin and Gray 2016, "Fast algorithms for convolutional neural networks". The matrices are those
of Toom and Cook: a product of polynomials is computed from its values at a few points.

Letters in shape comments: k kernel side, m tile side, n = m + k - 1 side of the input of a tile,
T x S tiles of an image, C and D channels into and out of one group.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

# Minimum input channels per group for which this is the faster form (benchmarks/pieces.py).
MANY_CHANNELS = 48

# Kernel side -> points, beside infinity. One point more makes a tile larger and less precise:
# float32 loses 1e-6 of the largest output for kernels of 3 and 1e-5 for kernels of 5.
POINTS = {3: (0, 1, -1), 5: (0, 1, -1, 2, -2, 0.5, -0.5)}


def is_faster(kernel: jax.Array, stride: int = 1) -> bool:
    """Returns whether a CPU is faster with this form than with a matmul over kernel rows.

    Args:
      kernel: [k, k, C / groups, D], whose shape and dtype decide.
      stride: of the convolution.
    """
    size, _, channels, _ = kernel.shape
    return (
        stride == 1
        and size in POINTS
        and channels >= MANY_CHANNELS
        and kernel.dtype == jnp.float32  # bfloat16 loses too much in the transforms
    )


def convolve(images: ArrayLike, kernel: ArrayLike, groups: int = 1) -> jax.Array:
    """Convolves images; stride 1, no padding.

    Args:
      images: f32[B, H, W, C].
      kernel: f32[k, k, C / groups, D], k 3 or 5.
      groups: channel groups that do not see each other.

    Returns:
      f32[B, H - k + 1, W - k + 1, D], equal to `convolution.convolve` except for rounding.
    """
    size = kernel.shape[0]
    _, kernel_matrix, _ = transforms(size)
    # [k, k, C, groups * D] -> [n, n, C, groups * D] -> a group each
    kernels = jnp.split(_transform(kernel_matrix, list(kernel), _columns), groups, axis=-1)
    # One image at a time, so that the products stay in the cache.
    return lax.map(functools.partial(_convolve_image, size, kernels), images)


def kernel_gradient(
    images: ArrayLike, cotangent: ArrayLike, size: int, groups: int = 1
) -> jax.Array:
    """Returns the gradient of `convolve` in its kernel, f32[k, k, C / groups, D].

    Args:
      images: f32[B, H, W, C].
      cotangent: f32[B, H - k + 1, W - k + 1, D], of the outputs.
      size: side of the kernel.
      groups: channel groups that do not see each other.
    """
    image_matrix, kernel_matrix, output_matrix = transforms(size)
    tile, span = output_matrix.shape

    def add_image(totals, pair):
        image, outer = (_pad_to_tiles(array, cotangent.shape[1:3], tile) for array in pair)
        parts = [jnp.split(array, groups, -1) for array in (image, outer)]
        gradients = []
        for part, outputs in zip(*parts, strict=True):
            inputs = _transform_tiles(image_matrix, part, tile)  # [n, n, T, S, C]
            outputs = _transform(  # [m T, m S, D] -> [n, n, T, S, D]
                output_matrix.T,
                [outputs[i::tile] for i in range(tile)],
                lambda rows: [rows[:, :, i::tile] for i in range(tile)],
            )
            gradients.append(jnp.einsum("ijhwc,ijhwd->ijcd", inputs, outputs))
        return [total + new for total, new in zip(totals, gradients, strict=True)], None

    shape = (span, span, images.shape[-1] // groups, cotangent.shape[-1] // groups)
    totals, _ = lax.scan(add_image, [jnp.zeros(shape)] * groups, (images, cotangent))
    # [n, n, C, groups * D] -> [k, k, C, groups * D]
    return _transform(kernel_matrix.T, list(jnp.concatenate(totals, axis=-1)), _columns)


def _convolve_image(size, kernels, image):
    image_matrix, _, output_matrix = transforms(size)
    tile = len(output_matrix)
    height, width = (extent - size + 1 for extent in image.shape[:2])
    image = _pad_to_tiles(image, (height, width), tile)
    outputs = []
    for part, kernel in zip(jnp.split(image, len(kernels), -1), kernels, strict=True):
        inputs = _transform_tiles(image_matrix, part, tile)  # [n, n, T, S, C]
        products = jnp.einsum("ijhwc,ijcd->ijhwd", inputs, kernel)  # [n, n, T, S, D]
        rows = jnp.stack(_combine(output_matrix, list(products)), axis=2)  # [n, T, m, S, D]
        cells = jnp.stack(_combine(output_matrix, list(rows)), axis=3)  # [T, m, S, m, D]
        row_tiles, _, column_tiles, _, depth = cells.shape
        whole = cells.reshape(row_tiles * tile, column_tiles * tile, depth)  # [T m, S m, D]
        outputs.append(whole[:height, :width])
    return jnp.concatenate(outputs, axis=-1)


def _pad_to_tiles(array, outputs, tile):
    """Pads [h, w, C] on the right and below, so that outputs [rows, columns] fill whole tiles."""
    margins = (-count % tile for count in outputs)
    return jnp.pad(array, (*((0, margin) for margin in margins), (0, 0)))


def _transform_tiles(matrix, image, tile):
    """Returns the transform [n, n, T, S, C] of the tiles of an image [H, W, C]."""
    span = len(matrix)

    def shifts(array, axis):  # the first, second ... row of every tile; tiles overlap by k - 1
        count = (array.shape[axis] - span) // tile + 1
        stop = (count - 1) * tile + 1
        return [lax.slice_in_dim(array, i, i + stop, tile, axis) for i in range(span)]

    return _transform(matrix, shifts(image, 0), lambda rows: shifts(rows, 2))


def _transform(
    matrix: np.ndarray, rows: Sequence[jax.Array], columns: Callable[[jax.Array], list]
) -> jax.Array:
    """Applies a transform along rows, then along columns: M x M^T for each channel.

    Args:
      matrix: M f64[a, b].
      rows: b arrays, the rows x[i].
      columns: splits the a stacked sums, as the rows were split, into b arrays.

    Returns:
      [a, a, ...].
    """
    transformed_rows = jnp.stack(_combine(matrix, rows))
    return jnp.stack(_combine(matrix, columns(transformed_rows)), axis=1)


def _columns(array):
    return list(array.swapaxes(0, 1))  # [a, b, ...] -> b arrays [a, ...]


def _combine(matrix, parts):
    """Returns for each row of a matrix the sum of the parts, weighted by the row."""
    return [
        sum(weight * part for weight, part in zip(row, parts, strict=True) if weight)
        for row in matrix.tolist()
    ]


@functools.cache
def transforms(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the matrices that transform images, kernels and products.

    For one row, out = outputs @ ((kernels @ kernel) * (images @ image)).

    Args:
      size: side k of the kernel, one of POINTS.

    Returns:
      (images [n, n], kernels [n, k], outputs [m, n]), float64.
    """
    points = np.array(POINTS[size], float)
    span = len(points) + 1

    def values(count):
        # Of the polynomials 1, x, x^2 ... at the points; at infinity only the last one counts.
        powers = points[:, None] ** np.arange(count)
        return np.concatenate([powers, np.eye(count)[-1:]])

    # The transpose of a product of polynomials of k and m terms is a correlation.
    images = np.linalg.inv(values(span)).T
    images[np.abs(images) < 1e-9] = 0
    # The image matrix gets small whole numbers if possible; the kernel matrix takes the factors.
    factors = np.array([np.abs(row[row != 0]).min() for row in images])
    return images / factors[:, None], values(size) * factors[:, None], values(span - size + 1).T
