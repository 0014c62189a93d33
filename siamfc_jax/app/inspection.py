"""Pictures of what the network sees of each object while it is tracked."""

import functools
from collections.abc import Callable

import jax
import numpy as np

from siamfc_jax.config import TrackerConfig
from siamfc_jax.geometry import EXEMPLAR_SIZE, SEARCH_SIZE
from siamfc_jax.media.drawing import draw_response
from siamfc_jax.tracking import tracker
from siamfc_jax.tracking.roi import whole_frame
from siamfc_jax.tracking.search import crop_squares


def shape(count: int) -> tuple[int, int, int]:
    """Returns the shape (H, W, 3) of the pictures of so many objects."""
    return count * SEARCH_SIZE, EXEMPLAR_SIZE + 2 * SEARCH_SIZE, 3


def inspector(params: dict, *, config: TrackerConfig) -> Callable:
    """Begins to inspect a video.

    Args:
      params: folded network parameters, from `tracker.prepare`.
      config: settings of the tracker.

    Returns:
      inspect(frame u8[H, W, 3], states of N objects before it), which returns
      u8[255 N, 637, 3]: a row for each object with its exemplar, the search of the middle
      scale, and the response to it. The exemplars come from the first frame that it is given.
    """
    exemplars = None

    def inspect(frame, states):
        nonlocal exemplars
        if exemplars is None:
            exemplars = np.asarray(_crop(frame, states, EXEMPLAR_SIZE, config))
        logits, _ = tracker.score_search(params, states, frame, config=config)
        middle = logits[:, logits.shape[1] // 2]
        searches, responses = jax.device_get((_crop(frame, states, SEARCH_SIZE, config), middle))
        rows = zip(exemplars, searches, responses, strict=True)
        return np.vstack([draw_response(*row) for row in rows])

    return inspect


@functools.partial(jax.jit, static_argnames=("size", "config"))
def _crop(frame, states, size, config):
    middle = np.ones(1, np.float32)
    crops, _ = crop_squares(whole_frame(frame, axes=1), states, middle, size, config=config)
    return crops[:, 0]  # [N, 1, size, size, 3] -> [N, size, size, 3]
