"""The loop over frames that every way to track shares: the command and the page."""

import time
from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np

from siamfc_jax import tracker
from siamfc_jax.config import TrackerConfig


class Found(NamedTuple):
    """What was found in one frame.

    Attributes:
      number: of the frame in its source, from 0.
      frame: u8[H, W, 3] RGB.
      boxes: f32[N, 4] in frame pixels.
      scores: f32[N] logits of the peaks, NaN in the first frame.
      states: stacked states of the N objects before this frame.
      seconds: time this frame took, 0 for the first.
    """

    number: int
    frame: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    states: tracker.State
    seconds: float


def follow(params, frames, boxes, *, config: TrackerConfig) -> Iterator[Found]:
    """Follows objects through frames; returns once the first frame is read and all is compiled.

    Args:
      params: of `tracker.prepare`.
      frames: iterator of (number, u8[H, W, 3]), all of one size.
      boxes: f32[N, 4] of the first frame, each checked by `geometry.check_box`.
      config: settings of the tracker.

    Returns:
      An iterator of what was found, the given boxes first.
    """
    number, frame = next(frames)
    states = tracker.init(params, frame, boxes, config=config)
    jax.block_until_ready(tracker.step(params, states, frame, config=config))
    given = Found(number, frame, boxes, np.full(len(boxes), np.nan, np.float32), states, 0.0)
    return _steps(params, given, frames, config)


def _steps(params, given, frames, config):
    yield given
    states = given.states
    for number, frame in frames:
        before, started = states, time.perf_counter()
        states, *found = tracker.step(params, states, frame, config=config)
        boxes, scores = map(np.asarray, found)
        yield Found(number, frame, boxes, scores, before, time.perf_counter() - started)
