"""Pictures of what the network sees of each object while it is tracked."""

import functools
from collections.abc import Callable, Sequence

import jax
import numpy as np

from siamfc_jax.config import TrackerConfig
from siamfc_jax.geometry import EXEMPLAR_SIZE, SEARCH_SIZE
from siamfc_jax.media import drawing
from siamfc_jax.tracking import tracker
from siamfc_jax.tracking.results import FrameResult
from siamfc_jax.tracking.roi import whole_frame
from siamfc_jax.tracking.search import crop_squares

CAPTION = 21  # rows above each object's pictures
TEXT_SIZE = 14
CAPTIONS = ("exemplar", "search", "response: probability of each place")


def shape(count: int) -> tuple[int, int, int]:
    """Returns the shape (H, W, 3) of the pictures of so many objects."""
    return count * (CAPTION + SEARCH_SIZE), EXEMPLAR_SIZE + 2 * SEARCH_SIZE, 3


def inspector(params: dict, names: Sequence[str], *, config: TrackerConfig) -> Callable:
    """Begins to inspect a video.

    Args:
      params: folded network parameters, from `tracker.prepare`.
      names: of N objects.
      config: settings of the tracker.

    Returns:
      inspect(result of `loop.follow`), which returns u8[276 N, 637, 3]: a row for each object
      with its exemplar, the search of the middle scale, and the response to it, with captions,
      the name and the confidence. The exemplar is that of the frame whose box was given.
    """
    exemplars = np.zeros((len(names), EXEMPLAR_SIZE, EXEMPLAR_SIZE, 3), np.float32)

    def inspect(result: FrameResult) -> np.ndarray:
        frame, states = result.frame, result.states
        is_given = np.isnan(result.scores)
        if is_given.any():
            exemplars[is_given] = np.asarray(_crop(frame, states, EXEMPLAR_SIZE, config))[is_given]
        logits, _ = tracker.score_search(params, states, frame, config=config)
        middle = logits[:, logits.shape[1] // 2]
        searches, responses = jax.device_get((_crop(frame, states, SEARCH_SIZE, config), middle))
        return np.vstack([
            _caption(drawing.draw_response(*pictures), index, names[index], confidence, lost)
            for index, (*pictures, confidence, lost) in enumerate(
                zip(exemplars, searches, responses, result.confidences, result.lost, strict=True)
            )
        ])  # fmt: skip

    return inspect


def _caption(pictures, index, name, confidence, lost):
    """Puts a line of captions above the pictures of an object, its name beneath the exemplar."""
    picture = np.zeros((CAPTION + len(pictures), *pictures.shape[1:]), np.uint8)
    picture[CAPTION:] = pictures
    for text, left in zip(CAPTIONS, (0, EXEMPLAR_SIZE, EXEMPLAR_SIZE + SEARCH_SIZE), strict=True):
        drawing.write(picture, text, (left, 0), drawing.BLACK, TEXT_SIZE)
    color = drawing.COLORS[index % len(drawing.COLORS)]
    percent = f"{100 * confidence:.0f} %"
    lines = [(name, color), (f"confidence {percent}", drawing.BLACK)]
    lines += [("lost", drawing.WHITE)] * bool(lost)
    for line, (text, ground) in enumerate(lines):
        top = CAPTION + EXEMPLAR_SIZE + 8 + line * (CAPTION + 4)
        drawing.write(picture[:, :EXEMPLAR_SIZE], text, (4, top), ground, TEXT_SIZE)
    return picture


@functools.partial(jax.jit, static_argnames=("size", "config"))
def _crop(frame, states, size, config):
    middle = np.ones(1, np.float32)
    crops, _ = crop_squares(whole_frame(frame, axes=1), states, middle, size, config=config)
    return crops[:, 0]  # [N, 1, size, size, 3] -> [N, size, size, 3]
