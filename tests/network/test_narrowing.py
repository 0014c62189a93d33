"""A network of which channels are left out."""

import jax
import numpy as np
import pytest
import tiny_networks

from siamfc_jax.config import ModelConfig
from siamfc_jax.network import model
from siamfc_jax.network.narrowing import narrow

WIDE = ModelConfig(channels=(8, 8, 12, 12, 6), first_kernel=7)
NARROW = ModelConfig(channels=(4, 6, 8, 6, 6), first_kernel=7)
# Of each layer, half of them in each of its halves, which are the two groups of its inputs.
DEAD = ((0, 3, 5, 6), (1, 7), (2, 5, 6, 7), (0, 1, 5, 6, 7, 11))
embed = jax.jit(model.embed)


@pytest.fixture(scope="module")
def images():
    # Noise 5 px broad: were each pixel drawn alone, the features would be nearly constant.
    coarse = np.random.default_rng(2).uniform(0, 255, (8, 19, 19, 3))
    return np.kron(coarse, np.ones((1, 5, 5, 1))).astype(np.float32)


@pytest.fixture
def old(images):
    return _normalize(tiny_networks.variables(WIDE), images)


def _normalize(variables, images):
    """Gives a network the statistics of images, else chance makes some channels always zero."""
    outputs_of = jax.jit(model.layer_outputs)
    for layer in range(1, 5):
        features = np.asarray(outputs_of(variables, images)[f"conv{layer}"])
        stats = {"mean": features.mean((0, 1, 2)), "var": features.var((0, 1, 2))}
        variables["batch_stats"][f"bn{layer}"] = stats
    return variables


def _squared_error(features, expected):
    return np.square(features - expected).mean() / np.var(expected)


def test_channels_that_are_always_zero_are_those_that_go(images):
    old = tiny_networks.variables(WIDE)
    for layer, dead in enumerate(DEAD, start=1):
        old["params"][f"bn{layer}"]["scale"][list(dead)] = 0
        old["params"][f"bn{layer}"]["bias"][list(dead)] = -1  # the rectifier makes it 0
    old = _normalize(old, images)
    new = narrow(old, images, config=NARROW)
    for layer, dead in enumerate(DEAD, start=1):
        live = np.delete(np.arange(len(old["params"][f"bn{layer}"]["scale"])), dead)
        for kind, name in ("params", "scale"), ("params", "bias"), ("batch_stats", "var"):
            expected = old[kind][f"bn{layer}"][name][live]
            np.testing.assert_array_equal(new[kind][f"bn{layer}"][name], expected)
    expected = old["params"]["conv1"]["kernel"][..., [1, 2, 4, 7]]
    np.testing.assert_array_equal(new["params"]["conv1"]["kernel"], expected)
    # Nothing was lost, but for what holds the kernels to small numbers.
    assert _squared_error(embed(new, images), embed(old, images)) < 1e-3
    shapes = jax.eval_shape(lambda: model.init_variables(jax.random.key(0), config=NARROW))
    assert jax.tree.map(np.shape, new) == jax.tree.map(np.shape, shapes)
    assert new["params"]["adjust"] == old["params"]["adjust"]


def test_kernels_make_up_for_a_channel_that_another_one_repeats(old, images):
    for kind, names in ("params", ("scale", "bias")), ("batch_stats", ("mean", "var")):
        for name in names:
            old[kind]["bn1"][name][[1, 5]] = old[kind]["bn1"][name][[0, 4]]
    for name in "kernel", "bias":
        old["params"]["conv1"][name][..., [1, 5]] = old["params"]["conv1"][name][..., [0, 4]]
    # The repeated ones have small weights, so one of each pair goes, and its part must not.
    old["params"]["conv2"]["kernel"][:, :, :2] *= 0.3
    config = ModelConfig(channels=(6, 8, 12, 12, 6), first_kernel=7)
    new = narrow(old, images, config=config)
    assert _squared_error(embed(new, images), embed(old, images)) < 1e-3
    params = {**old["params"], "conv1": new["params"]["conv1"], "bn1": new["params"]["bn1"]}
    kernel = np.array(new["params"]["conv2"]["kernel"])
    lost = old["params"]["conv2"]["kernel"][:, :, 1:]
    params["conv2"] = {**old["params"]["conv2"], "kernel": lost}
    assert kernel.shape == lost.shape
    stats = {**old["batch_stats"], "bn1": new["batch_stats"]["bn1"]}
    without = {"params": params, "batch_stats": stats}
    assert _squared_error(embed(without, images), embed(old, images)) > 1e-2


def test_of_the_last_layer_the_strongest_channels_stay(old, images):
    for name in "kernel", "bias":
        old["params"]["conv5"][name][..., [0, 4]] *= 0.01
    config = ModelConfig(channels=(8, 8, 12, 12, 4), first_kernel=7)
    new = narrow(old, images, config=config)
    for name, values in old["params"]["conv5"].items():
        np.testing.assert_array_equal(new["params"]["conv5"][name], values[..., [1, 2, 3, 5]])
    np.testing.assert_allclose(
        embed(new, images), embed(old, images)[..., [1, 2, 3, 5]], rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    "config",
    [
        ModelConfig(channels=(8, 10, 12, 12, 6), first_kernel=7),
        ModelConfig(channels=(4, 6, 8, 6, 6), first_kernel=11),
    ],
)
def test_wider_layers_and_other_first_kernels_are_refused(old, images, config):
    with pytest.raises(ValueError, match=r"nowhere wider .* \(8, 8, 12, 12, 6\) and 7"):
        narrow(old, images, config=config)
