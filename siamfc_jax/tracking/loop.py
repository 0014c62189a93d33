"""The loop over frames that every way to track shares: the command and the page."""

import itertools
import time
from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np

from siamfc_jax.config import TrackerConfig
from siamfc_jax.tracking import tracker
from siamfc_jax.tracking.roi import look


class Found(NamedTuple):
    """What was found in one frame.

    Attributes:
      number: of the frame in its source, from 0.
      frame: u8[H, W, 3] RGB.
      boxes: f32[N, 4] in frame pixels.
      scores: f32[N] logits of the peaks, NaN in the first frame.
      confidences: f32[N] in [0, 1].
      lost: bool[N].
      states: stacked states of the N objects before this frame.
      seconds: time this frame took, 0 for the first.
    """

    number: int
    frame: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    confidences: np.ndarray
    lost: np.ndarray
    states: tracker.State
    seconds: float


def follow(params, frames, boxes, *, config: TrackerConfig, chunk: int = 1) -> Iterator[Found]:
    """Follows objects through frames; returns once the first frame is read and all is compiled.

    Args:
      params: of `tracker.prepare`.
      frames: iterator of (number, u8[H, W, 3]), with chunks all of one size.
      boxes: f32[N, 4] of the first frame, each checked by `geometry.check_box`.
      config: settings of the tracker.
      chunk: frames a call of the device, which then waits less for the host; they are found
        together, when the last of them is read.

    Returns:
      An iterator of what was found, the given boxes first.
    """
    number, frame = next(frames)
    view = look(frame, boxes, config=config)
    states = tracker.init(params, view, boxes, config=config)
    jax.block_until_ready(tracker.step(params, states, view, config=config))
    scores = np.full(len(boxes), np.nan, np.float32)
    given = Found(number, frame, boxes, scores, *_certainty(states), states, 0.0)
    if chunk == 1:
        return _steps(params, given, view, frames, config)
    together = np.stack([frame] * chunk)
    jax.block_until_ready(tracker.step_through(params, states, together, config=config))
    return _chunks(params, given, view, frames, config, chunk)


def _chunks(params, given, view, frames, config, chunk):
    yield given
    last = given
    while True:
        part, failure = [], None
        try:
            for frame in itertools.islice(frames, chunk):
                part.append(frame)
        except ValueError as error:  # after what was read before it
            failure = error
        if len(part) < chunk:  # another length would compile once more
            yield from itertools.islice(_steps(params, last, view, iter(part), config), 1, None)
            if failure:
                raise failure
            return
        started = time.perf_counter()
        images = np.stack([frame for _, frame in part])
        before, states, *found = tracker.step_through(params, last.states, images, config=config)
        boxes, scores = map(np.asarray, found)
        # The state after a frame is that before the next one.
        confidences, lost = (
            np.concatenate([first[1:], last[None]])
            for first, last in zip(_certainty(before), _certainty(states), strict=True)
        )
        seconds = (time.perf_counter() - started) / chunk
        for index, (number, frame) in enumerate(part):
            was = jax.tree.map(lambda array, index=index: array[index], before)
            was = was._replace(exemplar=states.exemplar, fill=states.fill)
            sure = confidences[index], lost[index]
            yield Found(number, frame, boxes[index], scores[index], *sure, was, seconds)
        last = given._replace(states=states, boxes=boxes[-1])


def _steps(params, given, view, frames, config):
    yield given
    states, boxes = given.states, given.boxes
    for number, frame in frames:
        before, started = states, time.perf_counter()
        view = look(frame, boxes, view, config=config)
        states, *found = tracker.step(params, states, view, config=config)
        boxes, scores = map(np.asarray, found)
        seconds = time.perf_counter() - started
        yield Found(number, frame, boxes, scores, *_certainty(states), before, seconds)


def _certainty(states):
    return np.asarray(states.confidence), np.asarray(states.lost)
