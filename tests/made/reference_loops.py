"""Operations of the network as plain loops in float64, one output value at a time."""

import numpy as np


def convolve_loop(images, kernel, stride, groups):
    """One output value at a time, in float64."""
    size, _, depth, outputs = kernel.shape
    count, height, width, _ = images.shape
    rows, columns = (height - size) // stride + 1, (width - size) // stride + 1
    result = np.zeros((count, rows, columns, outputs))
    for row, column, output in np.ndindex(rows, columns, outputs):
        group = output // (outputs // groups)
        window = images[:, row * stride :, column * stride :][:, :size, :size]
        window = window[..., group * depth : (group + 1) * depth].astype(np.float64)
        result[:, row, column, output] = (window * kernel[..., output]).sum((1, 2, 3))
    return result
