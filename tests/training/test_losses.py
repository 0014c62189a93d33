"""Labels and loss, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siamfc_jax.training import losses

response_labels = jax.jit(losses.response_labels, static_argnames="size")
balance_weights = jax.jit(losses.balance_weights)
balanced_logistic_loss = jax.jit(losses.balanced_logistic_loss)


def test_thirteen_cells_are_positive():
    labels = response_labels(15, radius=16)
    assert np.sum(labels) == 13
    cells = np.abs(np.argwhere(labels) - 7).sum(1)  # within 2 cells; also the L1 ball of radius 2
    assert cells.max() == 2


def test_labels_follow_the_object():
    # 16 px rightwards and 8 px up are 2 columns and -1 row.
    labels = response_labels(17, radius=0, offset=jnp.array([16.0, -8.0]))
    np.testing.assert_array_equal(np.argwhere(labels), [[7, 10]])
    # Half-way between two cells both lie 4 px off.
    between = response_labels(17, radius=4, offset=(4.0, 0.0))
    np.testing.assert_array_equal(np.argwhere(between), [[8, 8], [8, 9]])


def test_weights_give_each_class_half():
    labels = response_labels(15, radius=16)
    weights = balance_weights(labels)
    np.testing.assert_allclose(weights, np.where(labels, 0.5 / 13, 0.5 / 212), rtol=1e-6)


@pytest.mark.parametrize("value", [0, 1])
def test_a_single_class_gets_everything(value):
    weights = balance_weights(jnp.full((4, 5, 5), value, jnp.float32))
    np.testing.assert_allclose(weights, 1 / 25, rtol=1e-6)


def test_loss_at_zero_is_log_2():
    labels = jax.vmap(lambda offset: response_labels(15, radius=16, offset=offset))(
        jnp.array([[0.0, 0], [40, -30], [200, 0]])
    )
    loss = balanced_logistic_loss(jnp.zeros((3, 15, 15)), labels)
    assert loss == pytest.approx(np.log(2), rel=1e-5)


def test_loss_is_the_papers():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 5, 5)) * 3
    labels = rng.integers(0, 2, (2, 5, 5))
    signs = 2 * labels - 1
    terms = np.log(1 + np.exp(-signs * logits))
    expected = np.mean(
        [(t[y == 1].mean() + t[y == 0].mean()) / 2 for t, y in zip(terms, labels, strict=True)]
    )
    loss = balanced_logistic_loss(jnp.float32(logits), jnp.float32(labels))
    assert loss == pytest.approx(expected, rel=1e-5)


def test_loss_of_large_logits_is_finite_with_a_finite_gradient():
    logits = jnp.array([[[1e4, -1e4]]])
    labels = jnp.array([[[0.0, 1.0]]])
    loss, grad = jax.jit(jax.value_and_grad(losses.balanced_logistic_loss))(logits, labels)
    assert loss == pytest.approx(1e4)
    np.testing.assert_allclose(grad, [[[0.5, -0.5]]])
