"""Convolution and pooling without padding, in the form each platform runs best.

GPU and TPU get XLA's own operations. On a CPU those reach a tenth to a half of
the machine's matmul rate (grouped gradients less), so there a convolution is
`k` matmuls, one for each kernel row, over a column-gathered image, one image at
a time so that the gathered columns stay in the cache; its gradients have the
same form. `benchmarks/convolution.py` times both forms layer by layer.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")
_MATMUL_DEPTH = 144  # values a CPU matmul should sum over; 132 in the paper's first layer


@functools.partial(jax.custom_vjp, nondiff_argnames=("stride", "groups"))
def convolve(images, kernel, stride=1, groups=1):
    """Convolves a batch of images with one kernel; no padding.

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


def _forward(images, kernel, stride, groups):
    return convolve(images, kernel, stride, groups), (images, kernel)


def _backward(stride, groups, residuals, cotangent):
    def images_gradient(images, kernel, cotangent):
        return jax.vjp(lambda x: _plain(stride, groups, x, kernel), images)[1](cotangent)[0]

    def kernel_gradient(images, kernel, cotangent):
        return jax.vjp(lambda w: _plain(stride, groups, images, w), kernel)[1](cotangent)[0]

    # Apart, so that the gradient of the first layer's images, never used, is never computed.
    arrays = (*residuals, cotangent)
    return (
        lax.platform_dependent(
            *arrays,
            # Only the first layer has a stride, and nobody asks for its images' gradient.
            cpu=functools.partial(_matmuls_images_gradient, groups)
            if stride == 1
            else images_gradient,
            default=images_gradient,
        ),
        lax.platform_dependent(
            *arrays,
            cpu=functools.partial(_matmuls_kernel_gradient, stride, groups),
            default=kernel_gradient,
        ),
    )


convolve.defvjp(_forward, _backward)


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


def _strips(image, size, stride, shape):
    """Yields what the output sees of the image, a few kernel rows at a time.

    Each strip is [*shape, rows * size * C]: the columns of a window side by side, and as many
    of its rows as make a matmul deep enough. A whole window at once would leave the cache.
    """
    height, width = ((extent - 1) * stride + 1 for extent in shape)
    columns = jnp.concatenate([image[:, j : j + width : stride] for j in range(size)], axis=-1)
    rows = max(1, _MATMUL_DEPTH // columns.shape[-1])
    for first in range(0, size, rows):
        seen = range(first, min(first + rows, size))
        yield jnp.concatenate([columns[i : i + height : stride] for i in seen], axis=-1)


def _matmuls(stride, groups, images, kernel):
    size = kernel.shape[0]
    shape = [(extent - size) // stride + 1 for extent in images.shape[1:3]]

    def convolve_image(image):
        outputs = []
        for part, weights in zip(
            jnp.split(image, groups, -1), jnp.split(kernel, groups, -1), strict=True
        ):
            weights = weights.reshape(-1, weights.shape[-1])
            output = 0
            for strip in _strips(part, size, stride, shape):
                output += strip @ weights[: strip.shape[-1]]
                weights = weights[strip.shape[-1] :]
            outputs.append(output)
        return jnp.concatenate(outputs, axis=-1)

    return lax.map(convolve_image, images)


def _matmuls_images_gradient(groups, images, kernel, cotangent):
    # The transpose of a convolution of stride 1: the padded cotangent meets the turned kernel.
    del images
    size, _, depth, _ = kernel.shape
    turned = kernel[::-1, ::-1].reshape(size, size, depth, groups, -1)
    turned = turned.transpose(0, 1, 4, 3, 2).reshape(size, size, -1, groups * depth)
    margin = (size - 1, size - 1)
    return _matmuls(1, groups, jnp.pad(cotangent, ((0, 0), margin, margin, (0, 0))), turned)


def _matmuls_kernel_gradient(stride, groups, images, kernel, cotangent):
    def add_image(total, pair):
        gradients = []
        for part, outer in zip(*(jnp.split(array, groups, -1) for array in pair), strict=True):
            strips = _strips(part, kernel.shape[0], stride, outer.shape[:2])
            rows = [jnp.einsum("hwk,hwd->kd", strip, outer) for strip in strips]
            gradients.append(jnp.concatenate(rows).reshape(*kernel.shape[:3], -1))
        return total + jnp.concatenate(gradients, axis=-1), None

    return lax.scan(add_image, jnp.zeros_like(kernel), (images, cotangent))[0]
