"""Labels and the balanced logistic loss.

Bertinetto et al. 2016, section 2.2; training/create_labels.m,
util/create_logisticloss_label.m.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from siamfc_jax.geometry import STRIDE


def response_labels(size: int, *, radius: float, offset: ArrayLike = (0.0, 0.0)) -> jax.Array:
    """Marks the cells that lie on the object.

    Args:
      size: cells along one side of the response, 15 in training.
      radius: distance in search pixels up to which a cell is positive, 16.
      offset: f32[2] `(x, y)` of the object from the centre, in search pixels.

    Returns:
      f32[size, size] of 1 and 0; 13 ones at radius 16 and no offset.
    """
    positions = (jnp.arange(size) - (size - 1) / 2) * STRIDE
    squared = jnp.add((positions - offset[1])[:, None] ** 2, (positions - offset[0])[None, :] ** 2)
    return (squared <= radius**2).astype(jnp.float32)


def balance_weights(labels: jax.Array) -> jax.Array:
    """Weights the cells so that positives and negatives count half each.

    Args:
      labels: f32[..., R, R] of 0 and 1.

    Returns:
      f32[..., R, R] with sum 1 over the last two axes, also if all labels are equal.
    """
    positive = labels.sum((-2, -1), keepdims=True)
    negative = labels.shape[-1] * labels.shape[-2] - positive
    classes = jnp.minimum(positive, 1) + jnp.minimum(negative, 1)
    weights = jnp.where(labels > 0, 1 / jnp.maximum(positive, 1), 1 / jnp.maximum(negative, 1))
    return weights / classes


def logistic_loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns log(1 + exp(-y v)) for logits v and labels 1 (y = 1) or 0 (y = -1)."""
    return jax.nn.softplus(jnp.where(labels > 0, -logits, logits))


def balanced_logistic_loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Averages the logistic loss, positives and negatives balanced.

    Args:
      logits: f32[B, R, R].
      labels: f32[B, R, R] of 0 and 1.

    Returns:
      f32[]: mean over the batch; log 2 at zero logits.
    """
    losses = balance_weights(labels) * logistic_loss(logits, labels)
    return losses.sum((-2, -1)).mean()
