"""What a tracker found in a frame. No JAX is needed to read it."""

from typing import Any, NamedTuple

import numpy as np


class FrameResult(NamedTuple):
    """What the tracker found in one frame.

    Attributes:
      number: of the frame in its source, from 0.
      frame: u8[H, W, 3] RGB.
      boxes: f32[N, 4] in frame pixels.
      scores: f32[N] logits of the peaks, NaN in the first frame.
      confidences: f32[N] in [0, 1].
      lost: bool[N].
      states: `state.State` [N, ...] before this frame, from which `tracker.score_search` gives
        its responses; None with an exported model.
      seconds: that this frame took, 0 for the first.
    """

    number: int
    frame: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    confidences: np.ndarray
    lost: np.ndarray
    states: Any
    seconds: float


def check_finite(frame: str, boxes: np.ndarray, *others: np.ndarray | float) -> None:
    """Refuses what the step gave, if a number in it is none.

    Args:
      frame: which one it was, as the error names it.
      boxes: f32[..., 4] in frame pixels.
      *others: scores, confidences.

    Raises:
      FloatingPointError: NaN or an infinite number is among them.
    """
    if not all(np.isfinite(numbers).all() for numbers in (boxes, *others)):
        raise FloatingPointError(
            f"the step gave a number that is NaN or infinite in {frame}, for boxes "
            f"{np.asarray(boxes).round(1).tolist()}; the weights or settings do not fit, try others"
        )
