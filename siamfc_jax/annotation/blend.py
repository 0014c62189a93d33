"""Joins what a forward and a backward pass say of an object between two key boxes."""

from __future__ import annotations

import numpy as np

from siamfc_jax.annotation.places import Estimate


def blend_frame(
    share: float, ahead: Estimate, behind: Estimate, *, trust_ahead: float, trust_behind: float
) -> Estimate:
    """Blends what both passes say of one frame.

    The weight of a pass falls linearly from 1 at its own key box to 0 at the other, times its
    trust: who has lost the object has no say.

    Args:
      share: of the way from the first key box to the last, in [0, 1].
      ahead: estimate of the forward pass.
      behind: estimate of the backward pass.
      trust_ahead: lowest confidence of the forward pass since its key box, as who was wrong
        once follows something else from then on, be it with confidence.
      trust_behind: that of the backward pass.

    Returns:
      The estimate; confidence is the weighted mean, and lost is what both passes report.
    """
    weights = np.array([(1 - share) * trust_ahead, share * trust_behind]) + 1e-6
    weights /= weights.sum()
    box = weights @ np.stack([ahead.box, behind.box])
    confidence = float(weights @ [ahead.confidence, behind.confidence])
    return Estimate(np.float32(box), float("nan"), confidence, ahead.lost and behind.lost)


def lowest(confidences) -> np.ndarray:
    """Returns the trust in a pass: the lowest confidence of each frame and those before it.

    Args:
      confidences: f[T], in the order in which the pass went.
    """
    return np.minimum.accumulate(np.asarray(confidences, float))


def blend(forward: list[Estimate], backward: list[Estimate]) -> list[Estimate]:
    """Blends both passes so that the boxes meet both key boxes.

    Args:
      forward: estimates of the T frames between two key boxes, ascending.
      backward: those of the other pass for the same frames.

    Returns:
      T estimates, those of `blend_frame`.
    """
    shares = np.arange(1, len(forward) + 1) / (len(forward) + 1)
    ahead = lowest([each.confidence for each in forward])
    behind = lowest([each.confidence for each in reversed(backward)])[::-1]
    return [
        blend_frame(share, *pair, trust_ahead=there, trust_behind=here)
        for share, there, here, *pair in zip(shares, ahead, behind, forward, backward, strict=True)
    ]
