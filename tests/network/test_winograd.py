"""Fast convolution against its definition in float64."""

import jax
import numpy as np
import pytest
from reference_loops import convolve_loop

from siamfc_jax.network import winograd

apply = jax.jit(winograd.convolve, static_argnums=2)


@pytest.mark.parametrize("size", winograd.POINTS)
def test_matrices_make_a_row_of_a_correlation(size):
    images, kernels, outputs = winograd.transforms(size)
    rng = np.random.default_rng(0)
    image, kernel = rng.normal(size=images.shape[1]), rng.normal(size=size)
    fast = outputs @ ((kernels @ kernel) * (images @ image))
    np.testing.assert_allclose(fast, np.correlate(image, kernel, "valid"), rtol=1e-12)


def test_matrices_of_three_are_those_of_the_paper():
    # Lavin and Gray 2016, equation 7, but for signs, which cancel.
    images, kernels, outputs = winograd.transforms(3)
    expected = [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, -1, 0, 1]]
    np.testing.assert_allclose(images, expected, atol=1e-12)
    np.testing.assert_allclose(
        kernels, [[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], atol=1e-12
    )
    np.testing.assert_allclose(outputs, [[1, 1, 1, 0], [0, 1, -1, 1]], atol=1e-12)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("size", "precision"), [(3, 3e-6), (5, 3e-5)])
@pytest.mark.parametrize("extra", [(0, 0), (1, 3), (5, 2)], ids=str)
def test_convolution_is_its_definition(size, precision, groups, extra):
    rng = np.random.default_rng(0)
    shape = (2, size + extra[0], size + extra[1], 6)  # tiles are whole, and are not
    images = rng.normal(size=shape).astype(np.float32)
    kernel = rng.normal(size=(size, size, 6 // groups, 4)).astype(np.float32)
    expected = convolve_loop(images, kernel, 1, groups)
    result = apply(images, kernel, groups)
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, atol=precision * np.abs(expected).max())


def test_one_pixel_of_a_kernel_moves_the_image():
    image = np.random.default_rng(0).uniform(0, 255, (1, 9, 9, 1)).astype(np.float32)
    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[2, 0] = 1
    np.testing.assert_allclose(apply(image, kernel)[0], image[0, 2:, :-2], atol=1e-3)
