"""Joins what a forward and a backward pass say of an object between two key boxes."""

from __future__ import annotations

import numpy as np

from siamfc_jax.annotation.places import Estimate


def blend(forward: list[Estimate], backward: list[Estimate]) -> list[Estimate]:
    """Blends both passes so that the boxes meet both key boxes.

    The weight of a pass falls linearly from 1 at its own key box to 0 at the other, times its
    confidence: who has lost the object has no say.

    Args:
      forward: estimates of the T frames between two key boxes, ascending.
      backward: those of the other pass for the same frames.

    Returns:
      T estimates; confidence is the weighted mean, and lost is what both passes report.
    """
    shares = np.arange(1, len(forward) + 1) / (len(forward) + 1)
    blended = []
    for share, ahead, behind in zip(shares, forward, backward, strict=True):
        weights = np.array([(1 - share) * ahead.confidence, share * behind.confidence])
        weights = (weights + 1e-6) / (weights + 1e-6).sum()
        box = weights @ np.stack([ahead.box, behind.box])
        confidence = float(weights @ [ahead.confidence, behind.confidence])
        blended.append(Estimate(box, float("nan"), confidence, ahead.lost and behind.lost))
    return blended
