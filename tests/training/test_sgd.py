"""Optimiser, loss and step; the same on any number of devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_networks

from siamfc_jax.config import ModelConfig, TrainConfig
from siamfc_jax.network import model
from siamfc_jax.training import sgd
from siamfc_jax.training.augment import Pairs


def test_learning_rate_of_the_authors():
    # logspace(-2, -5, 50), one value an epoch of 5 steps (experiment.m).
    config = TrainConfig(epochs=50, pairs_per_epoch=39, batch_size=8)
    assert sgd.steps_per_epoch(config) == 5
    rates = [float(sgd.learning_rate(step, config=config)) for step in (0, 4, 5, 245, 999)]
    expected = [1e-2, 1e-2, np.logspace(-2, -5, 50)[1], 1e-5, 1e-5]
    np.testing.assert_allclose(rates, expected, rtol=1e-5)
    constant = TrainConfig(epochs=1, final_learning_rate=1e-2)
    assert float(sgd.learning_rate(7, config=constant)) == pytest.approx(1e-2)


def test_rates_of_the_parameters():
    """One update with gradients of 1 shows each rate, a second one the momentum."""
    config = TrainConfig(learning_rate=0.1, final_learning_rate=0.1, weight_decay=0.01)
    params = jax.tree.map(jnp.asarray, tiny_networks.variables()["params"])
    optimizer = sgd.make_optimizer(config)
    ones = jax.tree.map(jnp.ones_like, params)
    updates, state = optimizer.update(ones, optimizer.init(params), params)
    kernel = params["conv2"]["kernel"]
    np.testing.assert_allclose(updates["conv2"]["kernel"], -0.1 * (1 + 0.01 * kernel), rtol=1e-6)
    rates = {("conv5", "bias"): 2, ("bn3", "scale"): 2, ("bn3", "bias"): 1}
    rates |= {("adjust", "bias"): 1, ("adjust", "gain"): 0}
    for (layer, name), rate in rates.items():
        np.testing.assert_allclose(updates[layer][name], -0.1 * rate, rtol=1e-6)
    again, _ = optimizer.update(ones, state, params)
    np.testing.assert_allclose(again["bn3"]["bias"], -0.1 * 1.9, rtol=1e-6)


def make_batch(count):
    rng = np.random.default_rng(0)
    patches = rng.integers(0, 255, (2, count, 319, 319, 3), np.uint8)
    return {
        "exemplar": patches[0],
        "search": patches[1],
        "track": np.array([0, 1, 2, 0, 3, 3, 4, 5][:count], np.int32),
        "index": np.arange(count, dtype=np.int32),
    }


def run_once(function, *arguments):
    """Calls a jitted function, compiled in half the time as it need not be fast."""
    options = {"xla_backend_optimization_level": 0}
    return function.lower(*arguments).compile(options)(*arguments)


def test_two_devices_equal_one():
    """Statistics, negatives, teacher and micro-batches on 2 devices: those of the joined batch."""
    config = TrainConfig(batch_size=8, accumulate=2, batch_negatives=1.0)
    optimizer = sgd.make_optimizer(config)
    state = sgd.create_state(jax.tree.map(jnp.asarray, tiny_networks.variables()), optimizer)
    wider = tiny_networks.variables(ModelConfig(width=0.03), seed=1)
    teacher = model.fold_batch_norm(jax.tree.map(jnp.asarray, wider))
    step = functools.partial(sgd.train_step, config=config, optimizer=optimizer)
    batch = make_batch(8)
    joined, joined_metrics = run_once(jax.jit(step), state, teacher, batch)
    divided, metrics, stop = run_once(
        sgd.parallelize(step),
        sgd.replicate(state),
        sgd.replicate(teacher),
        sgd.split(batch),
        np.float32(1),
    )
    assert float(stop) == 1
    assert int(divided.step) == int(joined.step) == 1
    assert metrics.keys() == {"loss", "negatives", "imitation", "gradient_norm"}
    for name, value in metrics.items():
        assert float(value) == pytest.approx(float(joined_metrics[name]), rel=1e-4)
    moved = jax.tree.map(jnp.subtract, joined.params, state.params)
    difference = jax.tree.map(jnp.subtract, divided.params, joined.params)
    # Float rounding: a millionth of the network, a thousandth of the step.
    assert float(optax.global_norm(difference)) < 1e-3 * float(optax.global_norm(moved))
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4),
        divided.batch_stats,
        joined.batch_stats,
    )


def test_negatives_leave_out_the_own_track():
    """The mean over pairs of different tracks, against the definition in a loop."""
    config = TrainConfig(batch_negatives=1.0)
    variables = jax.tree.map(jnp.asarray, tiny_networks.variables())
    rng = np.random.default_rng(3)
    z, x = (rng.uniform(0, 255, (3, side, side, 3)).astype(np.float32) for side in (127, 239))
    tracks = np.array([5, 5, 6], np.int32)
    crops = Pairs(z, x, np.zeros((3, 2), np.float32))

    @jax.jit
    def compute(variables):
        _, (_, metrics) = sgd.loss_fn(
            variables["params"], variables["batch_stats"], crops, tracks, config=config
        )
        features = [model.embed_train(variables, images)[0] for images in (z, x)]
        return metrics["negatives"], model.adjust(variables, model.cross_correlate_all(*features))

    negatives, logits = run_once(compute, variables)
    expected = 0.0
    for i in range(3):
        for j in range(3):
            if tracks[i] != tracks[j]:
                expected += np.log1p(np.exp(np.float64(logits[i, j]))).mean()
    assert float(negatives) == pytest.approx(expected / (3 * 2), rel=1e-5)
