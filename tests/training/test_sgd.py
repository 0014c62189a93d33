"""Optimiser, loss and step; the same on any number of devices."""

import dataclasses
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
    update = jax.jit(optimizer.update)
    updates, state = update(ones, optimizer.init(params), params)
    kernel = params["conv2"]["kernel"]
    np.testing.assert_allclose(updates["conv2"]["kernel"], -0.1 * (1 + 0.01 * kernel), rtol=1e-6)
    rates = {("conv5", "bias"): 2, ("bn3", "scale"): 2, ("bn3", "bias"): 1}
    rates |= {("adjust", "bias"): 1, ("adjust", "gain"): 0}
    for (layer, name), rate in rates.items():
        np.testing.assert_allclose(updates[layer][name], -0.1 * rate, rtol=1e-6)
    again, _ = update(ones, state, params)
    np.testing.assert_allclose(again["bn3"]["bias"], -0.1 * 1.9, rtol=1e-6)


def make_batch(count):
    rng = np.random.default_rng(0)
    patches = rng.integers(0, 255, (2, count, 319, 319, 3), np.uint8)
    return {
        "exemplar": patches[0],
        "search": patches[1],
        "track": np.array([0, 1, 0, 2][:count], np.int32),
        "index": np.arange(count, dtype=np.int32),
    }


def test_two_devices_equal_one():
    """Statistics, negatives, teacher and micro-batches on 2 devices: those of the joined batch."""
    config = TrainConfig(batch_size=4, accumulate=2, batch_negatives=1.0)
    optimizer = sgd.make_optimizer(config)
    tiny, wider = (ModelConfig(width=width, first_kernel=7) for width in (0.01, 0.02))
    create = functools.partial(sgd.create_state, optimizer=optimizer, config=config)
    state = jax.jit(create)(tiny_networks.variables(tiny))
    teacher = jax.jit(model.fold_batch_norm)(tiny_networks.variables(wider, seed=1))
    step = functools.partial(sgd.train_step, config=config, optimizer=optimizer)
    batch = make_batch(4)
    joined, joined_metrics = jax.jit(step)(state, (teacher,), batch)
    divided, metrics, stop = sgd.parallelize(step)(
        sgd.replicate(state),
        sgd.replicate((teacher,)),
        sgd.split([batch]),
        np.float32(1),
    )
    assert float(stop) == 1
    assert int(divided.step) == int(joined.step) == 1
    assert metrics.keys() == {"loss", "negatives", "imitation", "gradient_norm"}
    for name, value in metrics.items():
        assert float(value[0]) == pytest.approx(float(joined_metrics[name]), rel=1e-4)

    @jax.jit
    def distance(one, other):
        return optax.global_norm(jax.tree.map(jnp.subtract, one, other))

    # Float rounding: a millionth of the network, a thousandth of the step.
    moved = distance(joined.params, state.params)
    assert distance(jax.device_get(divided.params), joined.params) < 1e-3 * moved
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

    negatives, logits = compute(variables)
    expected = 0.0
    for i in range(3):
        for j in range(3):
            if tracks[i] != tracks[j]:
                expected += np.log1p(np.exp(np.float64(logits[i, j]))).mean()
    assert float(negatives) == pytest.approx(expected / (3 * 2), rel=1e-5)


def test_cosine_rate_with_warmup_by_hand():
    config = TrainConfig(
        epochs=2, pairs_per_epoch=24, batch_size=8, learning_rate=0.3, final_learning_rate=0.1,
        cosine=True,
    )  # fmt: skip
    rates = [float(sgd.learning_rate(step, config=config)) for step in range(7)]
    expected = [0.2 + 0.1 * np.cos(np.pi * step / 5) for step in range(6)]
    np.testing.assert_allclose(rates, [*expected, 0.1], rtol=1e-5)
    warm = dataclasses.replace(config, warmup_steps=3)
    warmed = [float(sgd.learning_rate(step, config=warm)) for step in range(6)]
    shares = [1 / 4, 2 / 4, 3 / 4, 1, 1, 1]
    np.testing.assert_allclose(warmed, np.multiply(expected, shares), rtol=1e-5)


def test_mean_of_the_weights_by_hand():
    """Decays 1/10, 2/11, then .15, the one asked for."""
    mean, expected = {"a": jnp.float32(1)}, 1.0
    for step, (value, decay) in enumerate([(3.0, 1 / 10), (-1.0, 0.15), (5.0, 0.15)]):
        mean = sgd.update_average(mean, {"a": jnp.float32(value)}, step, decay=0.15)
        expected = decay * expected + (1 - decay) * value
    assert float(mean["a"]) == pytest.approx(expected, rel=1e-6)


def test_teachers_are_averaged_at_the_scale_of_the_first():
    """The gain and bias of the second teacher change nothing; a single one is left as it is."""
    rng = np.random.default_rng(4)
    z, x = (rng.uniform(0, 255, (3, side, side, 3)).astype(np.float32) for side in (127, 239))
    crops = Pairs(z, x, np.zeros((3, 2), np.float32))
    fold = jax.jit(model.fold_batch_norm)
    first, second = (fold(tiny_networks.variables(seed=seed)) for seed in (1, 2))
    louder = jax.tree.map(jnp.copy, second)
    louder["params"]["adjust"] = {
        "gain": 7 * second["params"]["adjust"]["gain"], "bias": jnp.float32(5),
    }  # fmt: skip

    @jax.jit
    def teach(*teachers):
        return sgd._teach(teachers, crops, lambda array: array, None)

    alone, other = (np.asarray(teach(net)[1], np.float64) for net in (first, second))
    taught = teach(first, second)
    standard = (other - other.mean()) / other.std()
    expected = (alone + standard * alone.std() + alone.mean()) / 2
    np.testing.assert_allclose(taught[1], expected, atol=2e-3 * alone.std())
    np.testing.assert_allclose(taught[0], np.asarray(taught[1])[range(3), range(3)], atol=1e-4)
    for ours, theirs in zip(teach(first, louder), taught, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-3 * alone.std())


@pytest.mark.parametrize(
    ("cores", "parts", "flags", "devices"),
    [
        (6, 8, "", 4),
        (2, 5, "", 1),
        (3, 6, "", 3),
        (6, 8, "--xla_host_platform_device_count=2", None),
    ],
)
def test_a_cpus_cores_are_devices_that_divide_the_batch(monkeypatch, cores, parts, flags, devices):
    """Unless the user gives their number."""
    given = {}
    monkeypatch.setenv("XLA_FLAGS", flags)
    monkeypatch.setattr(sgd.os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    monkeypatch.setattr(jax.config, "update", given.__setitem__)
    sgd.use_cores_as_devices(parts)
    assert given.get("jax_num_cpu_devices") == devices
