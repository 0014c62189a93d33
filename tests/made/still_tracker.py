"""Results of a tracker that never moves, of which all measures are known."""

import numpy as np

from siamfc_jax.data.sequences import Sequence
from siamfc_jax.evaluation import runner

BOXES = np.array([[10, 10, 20, 20], [15, 10, 20, 20], [20, 10, 20, 20], [30, 10, 20, 20]], "f4")


def make_run(boxes=BOXES, *, seconds=np.nan, reading=np.nan, visible=None, attributes=()):
    """A tracker that stays where it was put."""
    count = len(boxes)
    sequence = Sequence(
        "moving",
        np.zeros((count, 60, 80, 3), np.uint8),
        boxes,
        np.isfinite(boxes).all(1) if visible is None else np.array(visible),
        np.arange(count),
        attributes=attributes,
    )
    result = runner.Result(
        np.tile(BOXES[0], (count, 1)).astype(float),
        np.ones(count),
        np.full(count, 1.0) * seconds,
        np.full(count, 1.0) * reading,
    )
    return result, sequence
