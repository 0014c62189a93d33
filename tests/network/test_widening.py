"""A network that is taken into a wider one."""

import functools

import jax
import numpy as np
import pytest
import tiny_networks

from siamfc_jax.config import ModelConfig
from siamfc_jax.network import model
from siamfc_jax.network.widening import widen

NARROW, WIDE = ModelConfig(width=0.03, first_kernel=7), ModelConfig(width=0.07)
KEY = jax.random.key(1)


@pytest.fixture(scope="module")
def old():
    return tiny_networks.variables(NARROW)


@pytest.fixture(scope="module")
def new(old):
    return widen(old, key=KEY, config=WIDE)


def test_old_features_are_kept(old, new):
    embed = jax.jit(model.embed)
    images = np.random.default_rng(2).uniform(0, 255, (2, 87, 95, 3)).astype(np.float32)
    # The first kernel grew from 7 to 11, by 2 on each side.
    expected = embed(old, images[:, 2:-2, 2:-2])
    features = np.asarray(embed(new, images))
    half, kept = features.shape[-1] // 2, expected.shape[-1] // 2
    assert half > kept
    kept = np.concatenate([features[..., :kept], features[..., half : half + kept]], -1)
    np.testing.assert_allclose(kept, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_the_wider_network_is_one_to_train(old, new):
    shapes = lambda tree: jax.tree.map(np.shape, tree)  # noqa: E731
    init = functools.partial(model.init_variables, config=WIDE)
    assert shapes(new) == shapes(jax.eval_shape(init, KEY))
    assert new["params"]["adjust"] == old["params"]["adjust"]
    # New channels are random, as in a fresh network; those of the last layer are small.
    fresh = init(KEY)
    kernel, drawn = new["params"]["conv2"]["kernel"], fresh["params"]["conv2"]["kernel"]
    np.testing.assert_array_equal(kernel[..., -1], drawn[..., -1])
    kernel, drawn = new["params"]["conv5"]["kernel"], fresh["params"]["conv5"]["kernel"]
    np.testing.assert_allclose(kernel[..., -1], 0.1 * drawn[..., -1])


def test_a_wider_network_does_not_fit_into_a_narrower_one():
    wide = tiny_networks.variables(WIDE)
    with pytest.raises(ValueError, match=r"wider everywhere .* got kernels .* in layer 1"):
        widen(wide, key=KEY, config=NARROW)
