"""Convolution, correlation and pooling without padding, in the form each platform runs best.

Each operation has two forms that give the same numbers: `..._by_xla` is XLA's own operation and
runs on GPU and TPU; the other one, for CPUs, is made of matrix multiplications and slices,
because XLA's own reaches only a tenth to a half of a CPU's matmul rate, and less in grouped
gradients. docs/cpu.md draws how the CPU forms work; `benchmarks/train_step.py` times every layer.

Letters in shape comments: B images, H x W image, h x w output, C channels in and D channels out
of all groups, k kernel side, g groups, c = C / g, d = D / g.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from siamfc_jax.network import winograd

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")
MAX_PRODUCTS = 5_000_000  # partial products of one group, in values; more would leave the cache


def convolve(images: ArrayLike, kernel: ArrayLike, stride: int = 1, groups: int = 1) -> jax.Array:
    """Convolves a batch of images with one kernel; no padding.

    Under `vmap` the result is right but slow on a CPU: join the batches into one instead.

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
        cpu=functools.partial(convolve_by_matmul, stride, groups),
        default=functools.partial(convolve_by_xla, stride, groups),
    )


def convolve_by_xla(stride: int, groups: int, images: ArrayLike, kernel: ArrayLike) -> jax.Array:
    """Is `convolve` in the form for GPU and TPU."""
    return lax.conv_general_dilated(
        images,
        kernel,
        (stride, stride),
        "VALID",
        dimension_numbers=_DIMENSIONS,
        feature_group_count=groups,
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def convolve_by_matmul(stride: int, groups: int, images: ArrayLike, kernel: ArrayLike) -> jax.Array:
    """Is `convolve` in the form for CPUs: one matmul an image and group, or Winograd's tiles."""
    # Images go one by one, so that their partial products stay in the cache. The gradient is
    # written by hand below: JAX's own, of slices and sums, takes twice the time.
    if winograd.is_faster(kernel, stride):
        return winograd.convolve(images, kernel, groups)
    size, depth = kernel.shape[0], kernel.shape[-1] // groups
    height, width = ((extent - size) // stride + 1 for extent in images.shape[1:3])
    # A patch is `deep` kernel rows high. Small `deep`: more partial products to sum.
    # Large `deep`: more copied input.
    deep = stride
    while height * width * depth * -(-size // deep) > MAX_PRODUCTS and deep < size:
        deep += stride
    patches = -(-size // deep)  # rounded up; the kernel gets rows of zeros to fill the last one
    rows = height + (patches - 1) * deep // stride
    kernel = jnp.pad(kernel, ((0, patches * deep - size), (0, 0), (0, 0), (0, 0)))
    span = (rows - 1) * stride + deep
    images = jnp.pad(images, ((0, 0), (0, max(0, span - images.shape[1])), (0, 0), (0, 0)))

    # Outside the loop over images, so that the kernel is transposed once and not once an image.
    weights = [
        # [patches * deep, k, c, d] -> [patches, deep * k * c, d]
        part.reshape(patches, -1, depth)
        # -> [deep * k * c, patches, d] -> [deep * k * c, patches * d]
        .swapaxes(0, 1)
        .reshape(-1, patches * depth)
        for part in jnp.split(kernel, groups, -1)
    ]

    def convolve_image(image):  # [H, W, C] -> [h, w, D]
        outputs = []
        for part, part_weights in zip(jnp.split(image, groups, -1), weights, strict=True):
            columns = _stack_neighbors(part, size, stride, width, axis=1)  # [H, w, k * c]
            patch = _stack_neighbors(columns, deep, stride, rows, axis=0)  # [rows, w, deep * k * c]
            products = jnp.einsum("hwk,kd->hwd", patch, part_weights)  # [rows, w, patches * d]
            products = products.reshape(rows, width, patches, depth)
            # Output row r is the sum of patch p's product at row r + p * deep / stride.
            outputs.append(
                sum(products[p * deep // stride :][:height, :, p] for p in range(patches))
            )
        return jnp.concatenate(outputs, axis=-1)

    return lax.map(convolve_image, images)


def _convolve_forward(stride, groups, images, kernel):
    return convolve_by_matmul(stride, groups, images, kernel), (images, kernel)


def _convolve_backward(stride, groups, residuals, cotangent):
    images, kernel = residuals
    if stride == 1:
        images_gradient = _images_gradient(groups, kernel, cotangent)
    else:
        # Only conv1 has a stride, and training never uses the gradient of its images: XLA's
        # form, which is slow here, is good enough.
        _, pull = jax.vjp(lambda x: convolve_by_xla(stride, groups, x, kernel), images)
        (images_gradient,) = pull(cotangent)
    return images_gradient, _kernel_gradient(stride, groups, kernel, images, cotangent)


convolve_by_matmul.defvjp(_convolve_forward, _convolve_backward)


def _images_gradient(groups, kernel, cotangent):
    # The transpose of a convolution of stride 1 is a convolution of the padded cotangent with the
    # kernel turned by 180 degrees, its inputs and outputs swapped within each group.
    size, _, depth, _ = kernel.shape
    turned = kernel[::-1, ::-1].reshape(size, size, depth, groups, -1)  # [k, k, c, g, d]
    turned = turned.transpose(0, 1, 4, 3, 2)  # [k, k, d, g, c]
    turned = turned.reshape(size, size, -1, groups * depth)  # [k, k, d, C]
    margin = (size - 1, size - 1)
    padded = jnp.pad(cotangent, ((0, 0), margin, margin, (0, 0)))
    return convolve_by_matmul(1, groups, padded, turned)


def _kernel_gradient(stride, groups, kernel, images, cotangent):
    if winograd.is_faster(kernel, stride):
        return winograd.kernel_gradient(images, cotangent, len(kernel), groups)
    size, _, _, outputs = kernel.shape

    def add_image(total, pair):  # total [g * k, d, k * c], one block a group and kernel row
        gradients = []
        for part, outer in zip(*(jnp.split(array, groups, -1) for array in pair), strict=True):
            height, width, _ = outer.shape
            columns = _stack_neighbors(part, size, stride, width, axis=1)  # [H, w, k * c]
            starts = [(i, i + (height - 1) * stride + 1) for i in range(size)]
            gradients += [
                # XLA transposes the first operand of this product, so the smaller one is first.
                jnp.einsum("hwd,hwk->dk", outer, lax.slice_in_dim(columns, i, stop, stride))
                for i, stop in starts
            ]
        return total + jnp.stack(gradients), None

    depth = outputs // groups
    blocks = (groups * size, depth, size * kernel.shape[2])
    total, _ = lax.scan(add_image, jnp.zeros(blocks, images.dtype), (images, cotangent))
    total = total.reshape(groups, size, depth, -1)  # [g, k, d, k * c]
    return total.transpose(1, 3, 0, 2).reshape(kernel.shape)  # [k, k * c, g, d] -> [k, k, c, D]


def _stack_neighbors(image, count, stride, positions, axis):
    """Puts `count` neighbours along an axis side by side in the channels, at each position.

    Args:
      image: [H, W, c].
      count: neighbours of each position, itself the first.
      stride: from one position to the next.
      positions: how many.
      axis: 0 for rows, 1 for columns.

    Returns:
      The image with `positions` entries along `axis` and count * c channels.
    """
    stop = (positions - 1) * stride + 1
    shifts = [lax.slice_in_dim(image, i, i + stop, stride, axis) for i in range(count)]
    return jnp.concatenate(shifts, axis=-1)


def correlate(exemplars: ArrayLike, searches: ArrayLike) -> jax.Array:
    """Slides every exemplar over every search; no padding, stride 1.

    Args:
      exemplars: f32 or bf16[N, h, w, C].
      searches: of the same dtype, [M, H, W, C].

    Returns:
      f32[N, M, H - h + 1, W - w + 1].
    """
    return lax.platform_dependent(
        exemplars, searches, cpu=correlate_by_matmul, default=correlate_by_xla
    )


def correlate_by_xla(exemplars: ArrayLike, searches: ArrayLike) -> jax.Array:
    """Is `correlate` in the form for GPU and TPU: the exemplars are a kernel."""
    return lax.conv_general_dilated(
        searches,
        exemplars,
        (1, 1),
        "VALID",
        dimension_numbers=("NHWC", "OHWI", "CNHW"),
        preferred_element_type=jnp.float32,
    )


def correlate_by_matmul(exemplars: ArrayLike, searches: ArrayLike) -> jax.Array:
    """Is `correlate` in the form for CPUs: all cells meet in one matmul.

    The gradient of a batch of 8 pairs of the full network takes 1.6 ms in this form and 1281 ms
    as that of XLA's grouped convolution (2 cores).
    """
    count, height, width, _ = exemplars.shape
    images, rows, columns, _ = searches.shape
    # Every exemplar cell (i, j) with every search cell (h, w).
    products = jnp.einsum(
        "nijc,mhwc->nmijhw", exemplars, searches, preferred_element_type=jnp.float32
    ).reshape(count, images, height * width, rows * columns)  # [N, M, h * w, H * W]
    # Exemplar cell (i, j), shifted by (r, c), meets search cell (i + r, j + c).
    cells = np.arange(height * width)  # [h * w]
    shifts = np.add.outer(np.arange(rows - height + 1) * columns, np.arange(columns - width + 1))
    partners = (cells // width * columns + cells % width)[:, None, None] + shifts
    return products[:, :, cells[:, None, None], partners].sum(axis=2)


def max_pool(images: ArrayLike) -> jax.Array:
    """Takes the maximum over 3 x 3 windows, 2 apart; no padding.

    Args:
      images: f32 or bf16[B, H, W, C].

    Returns:
      [B, (H - 3) // 2 + 1, (W - 3) // 2 + 1, C]. If a maximum occurs more than once in a window,
      the first one of its first row has the gradient.
    """
    return lax.platform_dependent(images, cpu=pool_by_slices, default=pool_by_xla)


def pool_by_xla(images: ArrayLike) -> jax.Array:
    """Is `max_pool` in the form for GPU and TPU."""
    window = functools.partial(
        lax.reduce_window, window_dimensions=(1, 3, 3, 1), window_strides=(1, 2, 2, 1)
    )
    return window(images, -jnp.inf, lax.max, padding="VALID")


def pool_by_slices(images: ArrayLike) -> jax.Array:
    """Is `max_pool` in the form for CPUs: the maximum of three shifted slices, axis by axis."""
    return _pool_axis(_pool_axis(images, 2), 1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _pool_axis(images, axis):
    return functools.reduce(jnp.maximum, _window_slices(images, axis))


def _pool_forward(images, axis):
    maxima = _pool_axis(images, axis)
    return maxima, (images, maxima)


def _pool_backward(axis, residuals, cotangent):
    # Even places end one window and begin the next; odd places lie in the middle of a window.
    # The gradient is the two interleaved. JAX's own, padded slices summed, takes twice the time.
    images, maxima = residuals
    first, middle, _ = (part == maxima for part in _window_slices(images, axis))
    middle = middle & ~first
    at_first, at_middle, at_last = (
        jnp.where(chosen, cotangent, 0) for chosen in (first, middle, ~(first | middle))
    )
    none = jnp.zeros_like(lax.slice_in_dim(cotangent, 0, 1, axis=axis))
    even = jnp.concatenate([at_first, none], axis) + jnp.concatenate([none, at_last], axis)
    odd = jnp.concatenate([at_middle, none], axis)
    # Along the axis, n outputs: [n + 1] twice -> [n + 1, 2] -> [2 n + 2]. The images have 2 n + 1
    # or 2 n + 2 entries there; what is over is cut off.
    shape = [2 * extent if i == axis else extent for i, extent in enumerate(even.shape)]
    gradient = jnp.stack([even, odd], axis + 1).reshape(shape)
    return (lax.slice_in_dim(gradient, 0, images.shape[axis], axis=axis),)


_pool_axis.defvjp(_pool_forward, _pool_backward)


def _window_slices(images, axis):
    """Returns the first, middle and last entry of every window of 3, 2 apart."""
    count = (images.shape[axis] - 1) // 2
    return [lax.slice_in_dim(images, i, i + 2 * count - 1, 2, axis) for i in range(3)]
