"""Convolution and pooling without padding, in the form each platform runs best.

GPU and TPU get XLA's own operations. On a CPU those reach a tenth to a half of
the machine's matmul rate (grouped gradients less), so there a convolution is one
matmul: the columns under a kernel row meet all kernel rows at once, and shifted
rows of the products are added up. One image at a time, so that the products stay
in the cache. The gradients have the same form, written by hand: what the derivative of
slices and sums becomes is half as fast. `benchmarks/train_step.py` times every layer.
Where channels are many, the tiles of `winograd` are faster still.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from siamfc_jax.network import winograd

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
      once in a window, the first one of its first row has the gradient.
    """
    return lax.platform_dependent(images, cpu=_slice_pool, default=_window_pool)


def _window_pool(images):
    window = functools.partial(
        lax.reduce_window, window_dimensions=(1, 3, 3, 1), window_strides=(1, 2, 2, 1)
    )
    return window(images, -jnp.inf, lax.max, padding="VALID")


def _slice_pool(images):
    return _pool(_pool(images, 2), 1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _pool(images, axis):
    return functools.reduce(jnp.maximum, _thirds(images, axis))


def _pool_forward(images, axis):
    maxima = _pool(images, axis)
    return maxima, (images, maxima)


def _pool_backward(axis, residuals, cotangent):
    # Even places end one window and begin the next, odd ones lie in the middle of theirs: the
    # two interleaved are the gradient. That of slices, padded and summed, takes twice the time.
    images, maxima = residuals
    first, middle, _ = (third == maxima for third in _thirds(images, axis))
    middle = middle & ~first
    begins, inside, ends = (
        jnp.where(here, cotangent, 0) for here in (first, middle, ~(first | middle))
    )
    none = jnp.zeros_like(lax.slice_in_dim(cotangent, 0, 1, axis=axis))
    even = jnp.concatenate([begins, none], axis) + jnp.concatenate([none, ends], axis)
    odd = jnp.concatenate([inside, none], axis)
    shape = [2 * extent if i == axis else extent for i, extent in enumerate(even.shape)]
    gradient = jnp.stack([even, odd], axis + 1).reshape(shape)  # as long as images, or one over
    return (lax.slice_in_dim(gradient, 0, images.shape[axis], axis=axis),)


_pool.defvjp(_pool_forward, _pool_backward)


def _thirds(images, axis):
    """Returns the first, middle and last place of every window of 3, 2 apart."""
    count = (images.shape[axis] - 1) // 2
    return [lax.slice_in_dim(images, i, i + 2 * count - 1, 2, axis) for i in range(3)]


def _plain(stride, groups, images, kernel):
    return lax.conv_general_dilated(
        images,
        kernel,
        (stride, stride),
        "VALID",
        dimension_numbers=_DIMENSIONS,
        feature_group_count=groups,
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _matmuls(stride, groups, images, kernel):
    if winograd.pays(kernel, stride):
        return winograd.convolve(images, kernel, groups)
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

    # Turned once for all images; inside the loop it would be once an image.
    turned = [
        part.reshape(patches, -1, depth).swapaxes(0, 1).reshape(-1, patches * depth)
        for part in jnp.split(kernel, groups, -1)
    ]

    def convolve_image(image):
        outputs = []
        for part, weights in zip(jnp.split(image, groups, -1), turned, strict=True):
            patch = _neighbours(_neighbours(part, size, stride, width, 1), deep, stride, rows, 0)
            products = jnp.einsum("hwk,kd->hwd", patch, weights)
            products = products.reshape(rows, width, patches, depth)
            outputs.append(
                sum(products[p * deep // stride :][:height, :, p] for p in range(patches))
            )
        return jnp.concatenate(outputs, axis=-1)

    return lax.map(convolve_image, images)


def _matmuls_forward(stride, groups, images, kernel):
    return _matmuls(stride, groups, images, kernel), (images, kernel)


def _matmuls_backward(stride, groups, residuals, cotangent):
    images, kernel = residuals
    if stride == 1:
        images_gradient = _images_gradient(groups, kernel, cotangent)
    else:  # the first layer's, for which no training asks
        _, pull = jax.vjp(lambda x: _plain(stride, groups, x, kernel), images)
        (images_gradient,) = pull(cotangent)
    return images_gradient, _kernel_gradient(stride, groups, kernel, images, cotangent)


_matmuls.defvjp(_matmuls_forward, _matmuls_backward)


def _images_gradient(groups, kernel, cotangent):
    # The transpose of a convolution of stride 1: the padded cotangent meets the turned kernel.
    size, _, depth, _ = kernel.shape
    turned = kernel[::-1, ::-1].reshape(size, size, depth, groups, -1)
    turned = turned.transpose(0, 1, 4, 3, 2).reshape(size, size, -1, groups * depth)
    margin = (size - 1, size - 1)
    return _matmuls(1, groups, jnp.pad(cotangent, ((0, 0), margin, margin, (0, 0))), turned)


def _kernel_gradient(stride, groups, kernel, images, cotangent):
    if winograd.pays(kernel, stride):
        return winograd.kernel_gradient(images, cotangent, len(kernel), groups)
    shape = kernel.shape

    def add_image(total, pair):
        gradients = []
        for part, outer in zip(*(jnp.split(array, groups, -1) for array in pair), strict=True):
            height, width, _ = outer.shape
            columns = _neighbours(part, shape[0], stride, width, 1)
            # A matmul turns its first matrix, so that is the small one.
            gradients += [
                jnp.einsum("hwd,hwk->dk", outer, lax.slice_in_dim(columns, i, stop, stride))
                for i, stop in ((i, i + (height - 1) * stride + 1) for i in range(shape[0]))
            ]
        return total + jnp.stack(gradients), None

    rows = (groups * shape[0], shape[3] // groups, shape[1] * shape[2])
    total, _ = lax.scan(add_image, jnp.zeros(rows, images.dtype), (images, cotangent))
    return total.reshape(groups, shape[0], rows[1], -1).transpose(1, 3, 0, 2).reshape(shape)


def _neighbours(image, count, stride, positions, axis):
    """Puts `count` neighbours along an axis side by side in the channels, at each position."""
    stop = (positions - 1) * stride + 1
    shifts = [lax.slice_in_dim(image, i, i + stop, stride, axis) for i in range(count)]
    return jnp.concatenate(shifts, axis=-1)
