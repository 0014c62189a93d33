"""The confidence of the tracker, and when it reports an object as lost.

The paper's tracker always answers with the place of the highest score, even where the object
cannot be seen. Two numbers tell such an answer from a hit: the score, and its ratio to the score
that the exemplar gives to itself. A logistic function of both, fitted by
training/calibration.py, estimates the probability that the box lies on the object.
"""

import jax
import jax.numpy as jnp

from siamfc_jax.config import TrackerConfig
from siamfc_jax.network import model
from siamfc_jax.tracking.state import State


def relative_score(params: dict, exemplar: jax.Array, score: jax.Array) -> jax.Array:
    """Divides the peak's score by the exemplar's response to itself; both without the bias.

    Args:
      params: folded network parameters.
      exemplar: f32[..., S, 6, 6, C] features, of which the middle scale is used.
      score: f32[...] logits of peaks.

    Returns:
      f32[...], 1 where the search shows exactly the exemplar.
    """
    middle = exemplar[..., exemplar.shape[-4] // 2, :, :, :]
    bias = model.adjust(params, jnp.zeros(()))
    # A search that shows the exemplar has the same features at a whole cell.
    own_score = model.adjust(params, jnp.sum(middle**2, axis=(-3, -2, -1))) - bias
    return (score - bias) / jnp.maximum(own_score, jnp.finfo(jnp.float32).tiny)


def update_confidence(
    params: dict, state: State, score: jax.Array, *, config: TrackerConfig
) -> State:
    """Writes the confidence of this frame into a state, and whether the object is lost.

    The object counts as lost after `lost_after` consecutive frames with confidence below
    `lost_below`, and as found again once the confidence exceeds `found_above`.

    Args:
      params: folded network parameters.
      state: state of the objects; its confidence, lost and low_frames are those of the last frame.
      score: f32[...] logits of the peaks.
      config: settings of the tracker.

    Returns:
      The state with `confidence`, `lost` and `low_frames` of this frame.
    """
    ratio = relative_score(params, state.exemplar, score)
    confidence = jax.nn.sigmoid(
        config.confidence_score * score + config.confidence_share * ratio + config.confidence_bias
    )
    is_low = jnp.where(state.lost, confidence <= config.found_above, confidence < config.lost_below)
    low_frames = jnp.where(is_low, state.low_frames + 1, 0)
    lost = is_low & (state.lost | (low_frames >= config.lost_after))
    return state._replace(confidence=confidence, lost=lost, low_frames=low_frames)
