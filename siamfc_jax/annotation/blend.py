"""Joins what a forward and a backward pass say of an object between two key boxes."""

from __future__ import annotations

import numpy as np

from siamfc_jax.annotation.places import Estimate


def blend_frame(share: float, ahead: Estimate, behind: Estimate) -> Estimate:
    """Blends what both passes say of one frame.

    The weight of a pass falls linearly from 1 at its own key box to 0 at the other, times its
    confidence: who has lost the object has no say.

    Args:
      share: of the way from the first key box to the last, in [0, 1].
      ahead: estimate of the forward pass.
      behind: estimate of the backward pass.

    Returns:
      The estimate; confidence is the weighted mean, and lost is what both passes report.
    """
    weights = np.array([(1 - share) * ahead.confidence, share * behind.confidence])
    weights = (weights + 1e-6) / (weights + 1e-6).sum()
    box = weights @ np.stack([ahead.box, behind.box])
    confidence = float(weights @ [ahead.confidence, behind.confidence])
    return Estimate(np.float32(box), float("nan"), confidence, ahead.lost and behind.lost)


def blend(forward: list[Estimate], backward: list[Estimate]) -> list[Estimate]:
    """Blends both passes so that the boxes meet both key boxes.

    Args:
      forward: estimates of the T frames between two key boxes, ascending.
      backward: those of the other pass for the same frames.

    Returns:
      T estimates, those of `blend_frame`.
    """
    shares = np.arange(1, len(forward) + 1) / (len(forward) + 1)
    return [blend_frame(*each) for each in zip(shares, forward, backward, strict=True)]
