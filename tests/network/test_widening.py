"""A network that is taken into a wider one."""

import jax
import numpy as np
import pytest

from siamfc_jax.config import ModelConfig
from siamfc_jax.network import model
from siamfc_jax.network.widening import widen

NARROW, WIDE = ModelConfig(width=0.03, first_kernel=7), ModelConfig(width=0.07)


def variables_of(config, seed):
    """Returns a network whose normalisation does something."""
    variables = model.init_variables(jax.random.key(seed), config=config)
    rng = np.random.default_rng(seed)
    draw = lambda a: rng.uniform(0.5, 2, np.shape(a)).astype(np.float32)  # noqa: E731
    return {**variables, "batch_stats": jax.tree.map(draw, variables["batch_stats"])}


def test_old_features_are_kept():
    old = variables_of(NARROW, 0)
    new = jax.jit(model.embed), widen(old, key=jax.random.key(1), config=WIDE)
    images = np.random.default_rng(2).uniform(0, 255, (2, 127, 135, 3)).astype(np.float32)
    # The first kernel grew from 7 to 11, by 2 on each side.
    expected = jax.jit(model.embed)(old, images[:, 2:-2, 2:-2])
    features = np.asarray(new[0](new[1], images))
    half, kept = features.shape[-1] // 2, expected.shape[-1] // 2
    assert half > kept
    kept = np.concatenate([features[..., :kept], features[..., half : half + kept]], -1)
    np.testing.assert_allclose(kept, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_the_wider_network_is_one_to_train():
    old = variables_of(NARROW, 0)
    new = widen(old, key=jax.random.key(1), config=WIDE)
    fresh = model.init_variables(jax.random.key(1), config=WIDE)
    shapes = lambda tree: jax.tree.map(np.shape, tree)  # noqa: E731
    assert shapes(new) == shapes(fresh)
    assert new["params"]["adjust"] == old["params"]["adjust"]
    # New channels are random, the last of them small.
    kernel, drawn = new["params"]["conv2"]["kernel"], fresh["params"]["conv2"]["kernel"]
    np.testing.assert_array_equal(kernel[..., -1], drawn[..., -1])
    kernel, drawn = new["params"]["conv5"]["kernel"], fresh["params"]["conv5"]["kernel"]
    np.testing.assert_allclose(kernel[..., -1], 0.1 * drawn[..., -1])


def test_a_wider_network_does_not_fit_into_a_narrower_one():
    old = variables_of(WIDE, 0)
    with pytest.raises(ValueError, match=r"wider everywhere .* got kernels .* in layer 1"):
        widen(old, key=jax.random.key(1), config=NARROW)
