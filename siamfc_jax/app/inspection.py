"""What the network sees of each object while it is tracked, as pictures."""

import functools

import jax
import numpy as np

from siamfc_jax.config import TrackerConfig
from siamfc_jax.crops import crop_pyramid
from siamfc_jax.geometry import EXEMPLAR_SIZE, SEARCH_SIZE
from siamfc_jax.media.drawing import draw_response
from siamfc_jax.tracking import tracker


def shape(count: int) -> tuple[int, int, int]:
    """Returns the shape (H, W, 3) of the pictures of so many objects."""
    return count * SEARCH_SIZE, EXEMPLAR_SIZE + 2 * SEARCH_SIZE, 3


def inspector(params, *, config: TrackerConfig):
    """Begins to inspect a video.

    Args:
      params: of `tracker.prepare`.
      config: settings of the tracker.

    Returns:
      inspect(frame u8[H, W, 3], states of N objects before it), which returns
      u8[255 N, 637, 3]: a row an object, its exemplar, the search of the middle scale, and
      the response to it. It takes the exemplars from the first frame that it is given.
    """
    exemplars = None

    @functools.partial(jax.jit, static_argnames="size")
    def cut(frame, states, sides, size):
        return crop_pyramid(frame, states.center, sides[:, None], states.fill, size=size)[:, 0]

    def inspect(frame, states):
        nonlocal exemplars
        logits, sides = tracker.respond(params, states, frame, config=config)
        middle = sides.shape[1] // 2
        sides = sides[:, middle]
        if exemplars is None:
            first = cut(frame, states, sides * (EXEMPLAR_SIZE / SEARCH_SIZE), EXEMPLAR_SIZE)
            exemplars = np.asarray(first)
        searches, logits = jax.device_get((cut(frame, states, sides, SEARCH_SIZE), logits))
        rows = zip(exemplars, searches, logits[:, middle], strict=True)
        return np.vstack([draw_response(*row) for row in rows])

    return inspect
