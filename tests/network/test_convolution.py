"""Both forms of every operation, against float64 loops and each other."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference_loops import convolve_loop

from siamfc_jax.network import convolution, winograd
from siamfc_jax.network.convolution import convolve, correlate, max_pool

# (image height and width, channels in and out, kernel side, stride, groups)
LAYERS = {
    "first": (23, 26, 3, 4, 11, 2, 1),
    "first of 7": (16, 15, 3, 2, 7, 2, 1),
    "grouped": (9, 8, 6, 4, 5, 1, 2),
    "plain": (6, 7, 4, 6, 3, 1, 1),
    "deep": (5, 5, 160, 2, 3, 1, 1),
    "pointlike": (3, 3, 2, 2, 3, 1, 1),
}
layers = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS.keys())


@pytest.fixture(params=[(10**9, 200), (300, 200), (300, 1)], ids=["low", "high", "tiles"])
def limited(request, monkeypatch):
    """How high the patches of the matmul form are, and for how many channels tiles replace them."""
    monkeypatch.setattr(convolution, "MAX_PRODUCTS", request.param[0])
    monkeypatch.setattr(winograd, "MANY_CHANNELS", request.param[1])


def arrays(layer, dtype=np.float32):
    height, width, inputs, outputs, size, stride, groups = layer
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, height, width, inputs)).astype(dtype)
    kernel = rng.normal(size=(size, size, inputs // groups, outputs)).astype(dtype)
    return images, kernel, stride, groups


@layers
def test_convolution_is_its_definition(layer):
    images, kernel, stride, groups = arrays(layer)
    expected = convolve_loop(images, kernel, stride, groups)
    result = convolution.convolve_by_xla(stride, groups, images, kernel)
    np.testing.assert_allclose(result, expected, atol=1e-4)


@layers
@pytest.mark.usefixtures("limited")
def test_convolution_by_matmul_is_its_definition(layer):
    images, kernel, stride, groups = arrays(layer)
    expected = convolve_loop(images, kernel, stride, groups)
    result = jax.jit(functools.partial(convolution.convolve_by_matmul, stride, groups))(
        images, kernel
    )
    np.testing.assert_allclose(result, expected, atol=1e-4)


@layers
@pytest.mark.usefixtures("limited")
def test_gradients_of_the_matmul_form_are_those_of_the_plain_one(layer):
    images, kernel, stride, groups = arrays(layer)
    cotangent = np.random.default_rng(1).normal(
        size=convolve_loop(images, kernel, stride, groups).shape
    )
    forms = (
        functools.partial(convolution.convolve_by_xla, stride, groups),
        convolve_with(stride, groups),
    )
    plain, ours = (
        jax.jit(lambda *primals, form=form: jax.vjp(form, *primals)[1](jnp.float32(cotangent)))(
            images, kernel
        )
        for form in forms
    )
    for expected, gradient in zip(plain, ours, strict=True):
        np.testing.assert_allclose(gradient, expected, atol=1e-4)


def convolve_with(stride, groups):
    return lambda images, kernel: convolve(images, kernel, stride, groups)


def test_gradient_is_the_slope():
    images, kernel, stride, groups = arrays(LAYERS["grouped"])
    direction = np.random.default_rng(2).normal(size=kernel.shape)

    def value(kernel):  # float64, cubic
        return (convolve_loop(images, kernel, stride, groups) ** 3).sum()

    gradient = jax.jit(jax.grad(lambda k: (convolve(images, k, stride, groups) ** 3).sum()))(kernel)
    slope = (value(kernel + 1e-4 * direction) - value(kernel - 1e-4 * direction)) / 2e-4
    assert (gradient * direction).sum() == pytest.approx(slope, rel=1e-4)


def test_convolution_under_jit_and_vmap():
    images, kernel, stride, groups = arrays(LAYERS["grouped"])
    eager = convolve(images, kernel, stride, groups)
    jitted = jax.jit(convolve_with(stride, groups))
    np.testing.assert_allclose(jitted(images, kernel), eager, atol=1e-5)
    np.testing.assert_allclose(
        jax.vmap(jitted, (0, None))(images[:, None], kernel)[:, 0], eager, atol=1e-5
    )


def test_convolution_keeps_bfloat16():
    images, kernel, stride, groups = arrays(LAYERS["plain"])
    result = convolve(jnp.bfloat16(images), jnp.bfloat16(kernel), stride, groups)
    assert result.dtype == jnp.bfloat16
    expected = convolve_loop(images, kernel, stride, groups)
    assert np.abs(np.float64(result) - expected).max() < 0.03 * np.abs(expected).max()


def test_convolution_refuses_channels_that_do_not_fit():
    with pytest.raises(ValueError, match=r"images of 4 channels do not fit a kernel .* 2 groups"):
        convolve(jnp.zeros((1, 5, 5, 4)), jnp.zeros((3, 3, 4, 2)), 1, 2)
    with pytest.raises(ValueError, match="do not fit a kernel"):
        convolve(jnp.zeros((1, 5, 5, 4)), jnp.zeros((3, 3, 2, 3)), 1, 2)


@pytest.mark.parametrize("shape", [(7, 9), (8, 8), (3, 4)])
@pytest.mark.parametrize("form", [convolution.pool_by_slices, convolution.pool_by_xla])
def test_pool_is_its_definition(shape, form):
    images = np.random.default_rng(0).normal(size=(2, *shape, 3)).astype(np.float32)
    rows, columns = ((extent - 3) // 2 + 1 for extent in shape)
    expected = np.zeros((2, rows, columns, 3))
    for row, column in np.ndindex(rows, columns):
        window = images[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
        expected[:, row, column] = window.max((1, 2))
    np.testing.assert_array_equal(form(images), expected)


def test_both_pools_have_one_gradient_where_maxima_are_single():
    images = np.random.default_rng(0).permutation(2 * 9 * 8 * 3).reshape(2, 9, 8, 3) / 100
    images = images.astype(np.float32)
    weights = np.random.default_rng(1).normal(size=(2, 4, 3, 3)).astype(np.float32)
    expected, ours = (
        jax.jit(jax.grad(lambda images, pool=pool: (pool(images) * weights).sum()))(images)
        for pool in (convolution.pool_by_xla, max_pool)
    )
    np.testing.assert_allclose(ours, expected, atol=1e-6)


FORMS = [convolution.correlate_by_matmul, convolution.correlate_by_xla]


@pytest.mark.parametrize("dtype, tolerance", [(jnp.float32, 1e-5), (jnp.bfloat16, 0.1)])
@pytest.mark.parametrize("form", FORMS)
def test_correlation_is_its_definition(form, dtype, tolerance):
    rng = np.random.default_rng(0)
    exemplars, searches = rng.normal(size=(3, 2, 3, 4)), rng.normal(size=(2, 5, 7, 4))
    expected = np.zeros((3, 2, 4, 5))
    for n, m, row, column in np.ndindex(expected.shape):
        expected[n, m, row, column] = (
            exemplars[n] * searches[m, row : row + 2, column : column + 3]
        ).sum()
    result = form(dtype(exemplars), dtype(searches))
    assert result.dtype == jnp.float32
    np.testing.assert_allclose(result, expected, atol=tolerance)


def test_both_correlations_have_one_gradient():
    rng = np.random.default_rng(0)
    pair = [jnp.float32(rng.normal(size=shape)) for shape in ((3, 2, 3, 4), (2, 5, 7, 4))]
    weights = jnp.float32(rng.normal(size=(3, 2, 4, 5)))
    matmul, convolved = (
        jax.jit(jax.grad(lambda z, x, form=form: (form(z, x) * weights).sum(), (0, 1)))(*pair)
        for form in FORMS
    )
    for ours, expected in zip(matmul, convolved, strict=True):
        np.testing.assert_allclose(ours, expected, atol=2e-5)


def test_correlation_chooses_a_form_that_is_right_under_vmap():
    rng = np.random.default_rng(0)
    exemplars, searches = (jnp.float32(rng.normal(size=(2, 1, n, n, 3))) for n in (2, 4))
    together = jax.jit(jax.vmap(correlate))(exemplars, searches)
    for pair, one in zip(zip(exemplars, searches, strict=True), together, strict=True):
        np.testing.assert_allclose(one, jax.jit(correlate)(*pair), atol=1e-6)
