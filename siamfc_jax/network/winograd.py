"""Convolution with fewer multiplications, for CPUs: a tile of outputs at once.

A tile of m x m outputs of a k x k kernel takes (m + k - 1)^2 multiplications a channel pair
in place of (m k)^2: 16 for 36 where k is 3, 64 for 400 where k is 5. Images and kernels are
combined linearly, multiplied place by place, and the products combined again; over all
tiles and channels the multiplication of one place is a matmul.
Lavin and Gray 2016, "Fast algorithms for convolutional neural networks"; the matrices are
those of Toom and Cook: a product of polynomials, from its values at a few points.
"""

import functools

import jax.numpy as jnp
import numpy as np
from jax import lax

MANY_CHANNELS = 48  # into a group, from which on this is the faster form (benchmarks/pieces.py)

# Kernel side -> points, beside infinity. Each one more makes a tile larger and less precise:
# of float32, 1e-6 of the largest output is lost where the kernel is 3, 1e-5 where it is 5.
_POINTS = {3: (0, 1, -1), 5: (0, 1, -1, 2, -2, 0.5, -0.5)}


def pays(kernel, stride=1) -> bool:
    """Returns whether a CPU convolves faster so than by a matmul over kernel rows.

    Args:
      kernel: [k, k, C / groups, D], as of `convolution.convolve`.
      stride: as of `convolution.convolve`.
    """
    size, _, channels, _ = kernel.shape
    return (
        stride == 1
        and size in _POINTS
        and channels >= MANY_CHANNELS
        and kernel.dtype == jnp.float32  # a shorter one loses too much
    )


def convolve(images, kernel, groups=1):
    """Convolves images; stride 1, no padding.

    Args:
      images: f32[B, H, W, C].
      kernel: f32[k, k, C / groups, D], k 3 or 5.
      groups: as of `convolution.convolve`.

    Returns:
      f32[B, H - k + 1, W - k + 1, D], as `convolution.convolve` but for rounding.
    """
    size = kernel.shape[0]
    _, matrix, _ = _matrices(size)
    kernels = jnp.split(_both_sides(matrix, list(kernel), _columns), groups, axis=-1)
    # One image at a time, so that the products stay in the cache.
    return lax.map(functools.partial(_convolve_image, size, kernels), images)


def kernel_gradient(images, cotangent, size, groups=1):
    """Returns the gradient of `convolve` in its kernel, f32[k, k, C / groups, D].

    Args:
      images: f32[B, H, W, C].
      cotangent: f32[B, H - k + 1, W - k + 1, D], of the outputs.
      size: side of the kernel.
      groups: as of `convolve`.
    """
    image_matrix, kernel_matrix, output_matrix = _matrices(size)
    tile, span = output_matrix.shape

    def add_image(totals, pair):
        image, outer = (_whole_tiles(array, cotangent.shape[1:3], tile) for array in pair)
        parts = [jnp.split(array, groups, -1) for array in (image, outer)]
        gradients = []
        for part, outputs in zip(*parts, strict=True):
            places = _tiles(image_matrix, part, tile)
            outputs = _both_sides(
                output_matrix.T,
                [outputs[i::tile] for i in range(tile)],
                lambda rows: [rows[:, :, i::tile] for i in range(tile)],
            )
            gradients.append(jnp.einsum("ijhwc,ijhwd->ijcd", places, outputs))
        return [total + new for total, new in zip(totals, gradients, strict=True)], None

    shape = (span, span, images.shape[-1] // groups, cotangent.shape[-1] // groups)
    totals, _ = lax.scan(add_image, [jnp.zeros(shape)] * groups, (images, cotangent))
    return _both_sides(kernel_matrix.T, list(jnp.concatenate(totals, axis=-1)), _columns)


def _convolve_image(size, kernels, image):
    image_matrix, _, output_matrix = _matrices(size)
    tile = len(output_matrix)
    height, width = (extent - size + 1 for extent in image.shape[:2])
    image = _whole_tiles(image, (height, width), tile)
    outputs = []
    for part, kernel in zip(jnp.split(image, len(kernels), -1), kernels, strict=True):
        products = jnp.einsum("ijhwc,ijcd->ijhwd", _tiles(image_matrix, part, tile), kernel)
        halves = jnp.stack(_combine(output_matrix, list(products)), axis=2)
        whole = jnp.stack(_combine(output_matrix, list(halves)), axis=3)
        rows, _, columns, _, depth = whole.shape
        outputs.append(whole.reshape(rows * tile, columns * tile, depth)[:height, :width])
    return jnp.concatenate(outputs, axis=-1)


def _whole_tiles(array, outputs, tile):
    """Pads an array [h, w, C] for so many rows and columns of outputs, rounded up to tiles."""
    margins = (-count % tile for count in outputs)
    return jnp.pad(array, (*((0, margin) for margin in margins), (0, 0)))


def _tiles(matrix, image, tile):
    """Returns the transform [n, n, rows of tiles, columns of tiles, C] of an image [H, W, C]."""
    span = len(matrix)

    def shifts(array, axis):  # the first, second ... row of every tile; tiles overlap
        count = (array.shape[axis] - span) // tile + 1
        stop = (count - 1) * tile + 1
        return [lax.slice_in_dim(array, i, i + stop, tile, axis) for i in range(span)]

    return _both_sides(matrix, shifts(image, 0), lambda rows: shifts(rows, 2))


def _both_sides(matrix, parts, split):
    """Combines parts, then what `split` makes of the stack of them; returns [i, j, ...]."""
    rows = jnp.stack(_combine(matrix, parts))
    return jnp.stack(_combine(matrix, split(rows)), axis=1)


def _columns(array):
    return list(array.swapaxes(0, 1))


def _combine(matrix, parts):
    """Returns the sums of the parts that the rows of a matrix weight."""
    return [
        sum(weight * part for weight, part in zip(row, parts, strict=True) if weight)
        for row in matrix.tolist()
    ]


@functools.cache
def _matrices(size):
    """Returns the matrices of images [n, n], kernels [n, k] and outputs [m, n], float64.

    For one row, out = outputs @ ((kernels @ kernel) * (images @ image)).
    """
    points = np.array(_POINTS[size], float)
    span = len(points) + 1

    def values(count):
        # Of the polynomials 1, x, x^2 ... at the points; at infinity only the last one counts.
        powers = points[:, None] ** np.arange(count)
        return np.concatenate([powers, np.eye(count)[-1:]])

    # The transpose of a product of polynomials of k and m terms: a correlation.
    images = np.linalg.inv(values(span)).T
    images[np.abs(images) < 1e-9] = 0
    # Small whole numbers where it can be, the rest of the factor in the kernel.
    factors = np.array([np.abs(row[row != 0]).min() for row in images])
    return images / factors[:, None], values(size) * factors[:, None], values(span - size + 1).T
