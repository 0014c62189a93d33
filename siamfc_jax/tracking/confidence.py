"""How sure the tracker is of what it found, and when it says that the object is lost.

The paper's tracker answers with the best place it sees, even where nothing is left to be
seen. Two numbers tell that from a find: the logit of the peak, and its share of the response
that the exemplar gives to itself. A logistic function of both, fitted by calibration.py,
is the probability that the box lies on the object.
"""

import jax
import jax.numpy as jnp

from siamfc_jax.config import TrackerConfig
from siamfc_jax.network import model


def share_of_own(params, exemplar, score):
    """Computes what share of the exemplar's response to itself a peak has, biases left out.

    Args:
      params: of `model.fold_batch_norm`.
      exemplar: f32[..., S, 6, 6, C]; the middle scale counts.
      score: f32[...] logits.

    Returns:
      f32[...], 1 where the search shows exactly the exemplar.
    """
    middle = exemplar[..., exemplar.shape[-4] // 2, :, :, :]
    nothing = model.adjust(params, jnp.zeros(()))
    # The exemplar over its own features, which the search has at a whole cell.
    own = model.adjust(params, jnp.sum(middle**2, axis=(-3, -2, -1))) - nothing
    return (score - nothing) / jnp.maximum(own, jnp.finfo(jnp.float32).tiny)


def judge(params, state, score, *, config: TrackerConfig):
    """Writes into a state how sure the tracker is, and whether the object is lost.

    Lost is who was below `lost_below` for `lost_after` frames in a row, until it is above
    `found_above`.

    Args:
      params: of `model.fold_batch_norm`.
      state: `tracker.State`, that of the frame before in what is written here.
      score: f32[...] logit of the peak.
      config: settings of the tracker.

    Returns:
      The state with `confidence`, `lost` and `doubts` of this frame.
    """
    share = share_of_own(params, state.exemplar, score)
    confidence = jax.nn.sigmoid(
        config.confidence_score * score + config.confidence_share * share + config.confidence_bias
    )
    doubted = jnp.where(
        state.lost, confidence <= config.found_above, confidence < config.lost_below
    )
    doubts = jnp.where(doubted, state.doubts + 1, 0)
    lost = doubted & (state.lost | (doubts >= config.lost_after))
    return state._replace(confidence=confidence, lost=lost, doubts=doubts)
