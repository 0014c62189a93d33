"""Convolution and pooling without padding, in the form each platform runs best.

GPU and TPU get XLA's own operations. On a CPU those reach a tenth to a half of
the machine's matmul rate (grouped gradients less), so there a convolution is one
matmul: the columns under a kernel row meet all kernel rows at once, and shifted
rows of the products are added up. One image at a time, so that the products stay
in the cache. `benchmarks/tracking.py` times the network layer by layer.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")
_MAX_PRODUCTS = 5_000_000  # a group's products, in values; more would leave the cache


def convolve(images, kernel, stride=1, groups=1):
    """Convolves a batch of images with one kernel; no padding.

    Under `vmap` the result is right but slow on a CPU: many batches are better one
    batch.

    Args:
      images: f32 or bf16[B, H, W, C].
      kernel: [k, k, C / groups, D], of the dtype of `images`.
      stride: of rows and columns alike.
      groups: channel groups that do not see each other (`feature_group_count`).

    Returns:
      [B, (H - k) // stride + 1, (W - k) // stride + 1, D].

    Raises:
      ValueError: the channels of images and kernel do not fit.
    """
    if images.shape[-1] != kernel.shape[2] * groups or kernel.shape[3] % groups:
        raise ValueError(
            f"images of {images.shape[-1]} channels do not fit a kernel {kernel.shape} "
            f"in {groups} groups"
        )
    return lax.platform_dependent(
        images,
        kernel,
        cpu=functools.partial(_matmuls, stride, groups),
        default=functools.partial(_plain, stride, groups),
    )


def correlate(exemplars, searches):
    """Slides every exemplar over every search; no padding, stride 1.

    Args:
      exemplars: f32 or bf16[N, h, w, C].
      searches: of the same dtype, [M, H, W, C].

    Returns:
      f32[N, M, H - h + 1, W - w + 1].
    """
    return lax.platform_dependent(
        exemplars, searches, cpu=_correlate_by_matmul, default=_correlate_by_convolution
    )


def _correlate_by_convolution(exemplars, searches):
    return lax.conv_general_dilated(
        searches,
        exemplars,
        (1, 1),
        "VALID",
        dimension_numbers=("NHWC", "OHWI", "CNHW"),
        preferred_element_type=jnp.float32,
    )


def _correlate_by_matmul(exemplars, searches):
    # Every exemplar cell meets every search cell in one matmul; the products of one shift then
    # lie at a fixed distance from each other. The gradient of a batch of 8 pairs of the full
    # network takes 1.6 ms so, against 1281 ms for that of XLA's grouped convolution (2 cores).
    count, height, width, _ = exemplars.shape
    images, rows, columns, _ = searches.shape
    products = jnp.einsum(
        "nijc,mhwc->nmijhw", exemplars, searches, preferred_element_type=jnp.float32
    ).reshape(count, images, height * width, rows * columns)
    cells = np.arange(height * width)
    shifts = np.add.outer(np.arange(rows - height + 1) * columns, np.arange(columns - width + 1))
    meets = (cells // width * columns + cells % width)[:, None, None] + shifts
    return products[:, :, cells[:, None, None], meets].sum(axis=2)


def max_pool(images):
    """Takes the maximum over 3 x 3 windows, 2 apart; no padding.

    Args:
      images: f32 or bf16[B, H, W, C].

    Returns:
      [B, (H - 3) // 2 + 1, (W - 3) // 2 + 1, C]. Where a maximum stands more than
      once in a window, the platforms may route its gradient to different copies.
    """
    return lax.platform_dependent(images, cpu=_slice_pool, default=_window_pool)


def _window_pool(images):
    window = functools.partial(
        lax.reduce_window, window_dimensions=(1, 3, 3, 1), window_strides=(1, 2, 2, 1)
    )
    return window(images, -jnp.inf, lax.max, padding="VALID")


def _slice_pool(images):
    rows, columns = ((size - 3) // 2 * 2 + 1 for size in images.shape[1:3])
    images = functools.reduce(jnp.maximum, [images[:, i : i + rows : 2] for i in range(3)])
    return functools.reduce(jnp.maximum, [images[:, :, j : j + columns : 2] for j in range(3)])


def _plain(stride, groups, images, kernel):
    return lax.conv_general_dilated(
        images,
        kernel,
        (stride, stride),
        "VALID",
        dimension_numbers=_DIMENSIONS,
        feature_group_count=groups,
    )


def _matmuls(stride, groups, images, kernel):
    size, depth = kernel.shape[0], kernel.shape[-1] // groups
    height, width = ((extent - size) // stride + 1 for extent in images.shape[1:3])
    # A patch is `deep` kernel rows high: few make many products, many make many copies.
    deep = stride
    while height * width * depth * -(-size // deep) > _MAX_PRODUCTS and deep < size:
        deep += stride
    patches = -(-size // deep)
    rows = height + (patches - 1) * deep // stride
    kernel = jnp.pad(kernel, ((0, patches * deep - size), (0, 0), (0, 0), (0, 0)))
    span = (rows - 1) * stride + deep
    images = jnp.pad(images, ((0, 0), (0, max(0, span - images.shape[1])), (0, 0), (0, 0)))

    @functools.partial(jax.checkpoint, prevent_cse=False)  # copies are cheaper than memory
    def convolve_image(image, kernel):
        outputs = []
        for part, weights in zip(
            jnp.split(image, groups, -1), jnp.split(kernel, groups, -1), strict=True
        ):
            patch = _neighbours(_neighbours(part, size, stride, width, 1), deep, stride, rows, 0)
            weights = weights.reshape(patches, patch.shape[-1], depth)
            products = jnp.einsum("hwk,pkd->hwpd", patch, weights)
            outputs.append(
                sum(products[p * deep // stride :][:height, :, p] for p in range(patches))
            )
        return jnp.concatenate(outputs, axis=-1)

    return lax.map(lambda image: convolve_image(image, kernel), images)


def _neighbours(image, count, stride, positions, axis):
    """Puts `count` neighbours along an axis side by side in the channels, at each position."""
    stop = (positions - 1) * stride + 1
    shifts = [lax.slice_in_dim(image, i, i + stop, stride, axis) for i in range(count)]
    return jnp.concatenate(shifts, axis=-1)
