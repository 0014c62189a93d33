"""The network: shapes, values in float64, and what its parts promise each other."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_networks

from siamfc_jax.config import ModelConfig
from siamfc_jax.network import model

VARIABLES = tiny_networks.variables()
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 127, 119, 3)).astype(np.float32)
embed = jax.jit(model.embed)


def convolve(images, kernel, stride, groups):
    size = kernel.shape[0]
    windows = np.lib.stride_tricks.sliding_window_view(images, (size, size), (1, 2))
    windows = windows[:, ::stride, ::stride]  # [B, h, w, C, k, k]
    parts = zip(np.split(windows, groups, 3), np.split(kernel, groups, 3), strict=True)
    return np.concatenate([np.einsum("bhwcij,ijcd->bhwd", *part) for part in parts], -1)


def embed_in_numpy(variables, images):
    """The paper's table 1 in float64, one line a layer."""
    params = jax.tree.map(np.float64, variables["params"])
    stats = jax.tree.map(np.float64, variables["batch_stats"])

    def layer(features, number, stride, groups):
        conv = params[f"conv{number}"]
        features = convolve(features, conv["kernel"], stride, groups) + conv["bias"]
        if number == 5:
            return features
        norm, moments = params[f"bn{number}"], stats[f"bn{number}"]
        features = (features - moments["mean"]) / np.sqrt(moments["var"] + 1e-4)
        return np.maximum(0, features * norm["scale"] + norm["bias"])

    def pool(features):
        windows = np.lib.stride_tricks.sliding_window_view(features, (3, 3), (1, 2))
        return windows[:, ::2, ::2].max((-2, -1))

    features = pool(layer(np.float64(images), 1, 2, 1))
    features = pool(layer(features, 2, 1, 2))
    return layer(layer(layer(features, 3, 1, 1), 4, 1, 2), 5, 1, 2)


def test_features_are_the_papers():
    expected = embed_in_numpy(VARIABLES, IMAGES)
    assert expected.shape == (2, 6, 5, 6)
    np.testing.assert_allclose(embed(VARIABLES, IMAGES), expected, atol=2e-4)


@pytest.mark.parametrize("first_kernel", [11, 7])
@pytest.mark.parametrize("side, cells", [(127, 6), (239, 20), (255, 22)])
def test_sizes_of_the_full_network(first_kernel, side, cells):
    config = ModelConfig(first_kernel=first_kernel)
    variables = jax.eval_shape(
        functools.partial(model.init_variables, config=config), jax.random.key(0)
    )
    images = jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)
    assert jax.eval_shape(model.embed, variables, images).shape == (2, cells, cells, 256)


def test_channels_narrow_with_the_width_and_stay_even():
    assert model.channels(ModelConfig()) == (96, 256, 384, 384, 256)
    assert model.channels(ModelConfig(width=0.25)) == (24, 64, 96, 96, 64)
    assert model.channels(ModelConfig(width=0.001)) == (2, 2, 2, 2, 2)


def test_fresh_variables_are_the_authors():
    variables = model.init_variables(jax.random.key(0), config=ModelConfig(width=0.125))
    params, stats = variables["params"], variables["batch_stats"]
    assert params["adjust"] == {"gain": np.float32(1e-3), "bias": 0}
    for layer, outputs in enumerate((12, 32, 48, 48, 32), start=1):
        kernel = params[f"conv{layer}"]["kernel"]
        # 'xavierimproved': all outputs count, of both groups.
        spread = np.sqrt(2 / (kernel.shape[0] ** 2 * outputs))
        assert kernel.std() == pytest.approx(spread, rel=0.03)
        assert abs(kernel.mean()) < 0.03 * spread
        assert not params[f"conv{layer}"]["bias"].any()
        if layer < 5:
            np.testing.assert_array_equal(params[f"bn{layer}"]["scale"], 1)
            np.testing.assert_array_equal(stats[f"bn{layer}"]["var"], 1)
            assert not params[f"bn{layer}"]["bias"].any()


def test_images_do_not_see_each_other():
    mixed = np.stack([IMAGES[1], np.zeros_like(IMAGES[0])])
    np.testing.assert_allclose(embed(VARIABLES, mixed)[0], embed(VARIABLES, IMAGES)[1], atol=1e-5)


def test_features_move_with_the_image():
    large = np.random.default_rng(1).integers(0, 256, (2, 143, 143, 3)).astype(np.float32)
    corner = embed(VARIABLES, np.ascontiguousarray(large[:, 8:135, 16:135]))
    np.testing.assert_allclose(corner, embed(VARIABLES, large)[:, 1:7, 2:7], atol=1e-4)


def test_folded_variables_give_the_same_features():
    folded = model.fold_batch_norm(VARIABLES)
    assert set(folded) == {"params"}
    assert set(folded["params"]) == {"adjust", *(f"conv{layer}" for layer in range(1, 6))}
    np.testing.assert_allclose(embed(folded, IMAGES), embed(VARIABLES, IMAGES), atol=2e-4)
    assert model.fold_batch_norm(folded) is folded


def test_normalisation_put_back_changes_nothing():
    folded = model.fold_batch_norm(VARIABLES)
    unfolded = jax.jit(model.unfold_batch_norm)(folded, IMAGES)
    assert jax.tree.structure(unfolded) == jax.tree.structure(VARIABLES)
    np.testing.assert_allclose(embed(unfolded, IMAGES), embed(folded, IMAGES), atol=2e-4)
    features, stats = jax.jit(model.embed_train)(unfolded, IMAGES)
    np.testing.assert_allclose(features, embed(folded, IMAGES), atol=2e-3)
    jax.tree.map(
        lambda new, old: np.testing.assert_allclose(new, old, rtol=1e-3, atol=1e-3),
        stats,
        unfolded["batch_stats"],
    )


def test_training_normalises_with_the_batch_and_updates_the_statistics():
    features, stats = jax.jit(model.embed_train)(VARIABLES, IMAGES)
    conv = jax.tree.map(np.float64, VARIABLES["params"]["conv1"])
    first = convolve(np.float64(IMAGES), conv["kernel"], 2, 1) + conv["bias"]
    batch = {"mean": first.mean((0, 1, 2)), "var": first.var((0, 1, 2))}
    for name, moment in batch.items():
        stored = VARIABLES["batch_stats"]["bn1"][name]
        np.testing.assert_allclose(stats["bn1"][name], 0.95 * stored + 0.05 * moment, rtol=1e-3)
    # With this batch's own moments stored, the stored ones give what training gives. As each
    # layer's moments depend on the ones before, the first is enough to tell them apart.
    assert not np.allclose(features, embed(VARIABLES, IMAGES), atol=1e-2)
    replaced = {**VARIABLES, "batch_stats": {**VARIABLES["batch_stats"]}}
    for _ in range(5):  # 0.95 of a thing that is right from the first layer on downwards
        _, moved = jax.jit(model.embed_train)(replaced, IMAGES)
        replaced["batch_stats"] = jax.tree.map(
            lambda new, old: (new - 0.95 * old) / 0.05, moved, replaced["batch_stats"]
        )
    np.testing.assert_allclose(embed(replaced, IMAGES), features, atol=2e-2)


def test_training_in_bfloat16_keeps_the_parameters_float32():
    last = {name: VARIABLES["params"][name] for name in ("conv4", "bn4", "conv5")}

    def loss(last):
        variables = {**VARIABLES, "params": {**VARIABLES["params"], **last}}
        features, stats = model.embed_train(variables, IMAGES, dtype=jnp.bfloat16)
        return jnp.sum(features.astype(jnp.float32) ** 2), (features, stats)

    grads, (features, stats) = jax.jit(jax.grad(loss, has_aux=True))(last)
    assert features.dtype == jnp.bfloat16
    for leaf in jax.tree.leaves((grads, stats)):
        assert leaf.dtype == jnp.float32
        assert np.isfinite(leaf).all()


def correlate_loop(exemplar, search):
    rows, columns = (search.shape[axis] - exemplar.shape[axis] + 1 for axis in (0, 1))
    result = np.zeros((rows, columns))
    for row, column in np.ndindex(rows, columns):
        window = search[row : row + exemplar.shape[0], column : column + exemplar.shape[1]]
        result[row, column] = (window.astype(np.float64) * exemplar).sum()
    return result


def test_cross_correlation_pairs_each_with_its_own():
    rng = np.random.default_rng(0)
    exemplar = rng.normal(size=(3, 2, 3, 4)).astype(np.float32)
    search = rng.normal(size=(3, 5, 7, 4)).astype(np.float32)
    response = jax.jit(model.cross_correlate)(exemplar, search)
    expected = [correlate_loop(*pair) for pair in zip(exemplar, search, strict=True)]
    np.testing.assert_allclose(response, expected, atol=1e-5)
    everything = jax.jit(model.cross_correlate_all)(exemplar[:2], search)
    assert everything.shape == (2, 3, 4, 5)
    np.testing.assert_allclose(everything[1, 2], correlate_loop(exemplar[1], search[2]), atol=1e-5)
    np.testing.assert_allclose(everything[[0, 1], [0, 1]], response[:2], atol=1e-5)


def test_cross_correlation_peaks_where_the_exemplar_was_cut():
    search = np.random.default_rng(0).normal(size=(1, 9, 9, 8)).astype(np.float32)
    response = model.cross_correlate(search[:, 2:5, 6:9], search)[0]
    assert np.unravel_index(np.argmax(response), response.shape) == (2, 6)


@pytest.mark.parametrize("correlate", [model.cross_correlate, model.cross_correlate_all])
@pytest.mark.parametrize("shape", [(1, 2, 2, 5), (1, 6, 2, 4), (1, 2, 6, 4)])
def test_features_that_do_not_fit_are_refused(correlate, shape):
    with pytest.raises(ValueError, match=r"exemplar features must have the channels .* got \(1,"):
        correlate(jnp.zeros(shape), jnp.zeros((1, 5, 5, 4)))


def test_cross_correlation_refuses_batches_of_two_sizes():
    with pytest.raises(ValueError, match="got 2 exemplars for 3 searches, need as many"):
        model.cross_correlate(jnp.zeros((2, 2, 2, 4)), jnp.zeros((3, 5, 5, 4)))


def test_adjust_is_gain_times_response_plus_b():
    logits = model.adjust(VARIABLES, jnp.array([[0.0, 500]]))
    np.testing.assert_allclose(logits, [[-2, -1.5]], rtol=1e-6)
