"""One process owns the device and steps the videos of other processes in one call.

A device that steps one video waits for its host most of the time. Here the process of a video
reads it and takes out of each frame what a step needs, and the process of the device steps all
videos that wait at that moment. While it does, those that have their answer read on.

    a process a video    frame -> region of interest ->  Request ->  the process of the device:
                         boxes, scores, ...          <-  Answer  <-  one step for all that wait
"""

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing import connection
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from siamfc_jax.config import TrackerConfig
from siamfc_jax.tracking import tracker
from siamfc_jax.tracking.results import FrameResult, check_finite
from siamfc_jax.tracking.roi import Roi, crop_roi
from siamfc_jax.tracking.state import State

SECONDS = 0.1  # until the process of the device looks for new videos and for its end


class Request(NamedTuple):
    """What a video asks of the device.

    Attributes:
      roi: the part of its next frame that a step needs.
      boxes: f32[N, 4] of its objects where this is the first frame, else None.
    """

    roi: Roi
    boxes: np.ndarray | None


class Answer(NamedTuple):
    """What the device found, the objects being N.

    Attributes:
      boxes: f32[N, 4] in frame pixels.
      scores: f32[N] logits of the peaks, NaN in the first frame.
      confidences: f32[N] in [0, 1].
      lost: bool[N].
    """

    boxes: np.ndarray
    scores: np.ndarray
    confidences: np.ndarray
    lost: np.ndarray


def follow(
    device: Any,
    frames: Iterator[tuple[int, np.ndarray]],
    boxes: np.ndarray,
    *,
    config: TrackerConfig,
) -> Iterator[FrameResult]:
    """Follows objects through frames as `loop.follow` does, with the device of another process.

    Args:
      device: the connection that `serving` gave for this video.
      frames: iterator of (number, u8[H, W, 3] RGB).
      boxes: f32[N, 4] in the first frame, each checked by `geometry.check_box`.
      config: settings of the tracker, those of the process of the device.

    Returns:
      An iterator of the results, which begins with the given boxes.

    Raises:
      FloatingPointError: the step gave NaN; the text names the frame. The iterator raises it.
      RuntimeError: the device failed.
    """
    number, frame = next(frames)
    boxes = np.asarray(boxes, np.float32)
    roi = crop_roi(frame, boxes, config=config)
    answer = _ask(device, Request(roi, boxes))
    return _follow(device, number, frame, roi, answer, frames, config)


def _follow(device, number, frame, roi, answer, frames, config):
    yield _result(number, frame, answer, 0.0)
    for number, frame in frames:
        began = time.perf_counter()
        roi = crop_roi(frame, answer.boxes, roi, config=config)
        answer = _ask(device, Request(roi._replace(color=None), None))
        check_finite(f"frame {number}", answer.boxes, answer.scores, answer.confidences)
        yield _result(number, frame, answer, time.perf_counter() - began)


def _ask(device, request):
    device.send(request)
    answer = device.recv()
    if isinstance(answer, str):
        raise RuntimeError(answer)
    return answer


def _result(number, frame, answer, seconds):
    return FrameResult(number, frame, **answer._asdict(), states=None, seconds=seconds)


@contextlib.contextmanager
def serving(params: dict, count: int, *, config: TrackerConfig) -> Iterator[Callable]:
    """Steps the videos of other processes, in a thread of this one.

    Args:
      params: folded network parameters, from `tracker.prepare`.
      count: how many videos there are at once.
      config: settings of the tracker.

    Yields:
      connect(place) -> the connection that the process of a video gives to `follow`; a place
      of 0 to `count` - 1 is free again when that process closes it or ends.
    """
    places: dict[Any, int] = {}  # by our end of the connection
    ended = threading.Event()

    def connect(place):
        ours, theirs = connection.Pipe()
        places[ours] = place
        return theirs

    thread = threading.Thread(
        target=_serve, args=(params, places, count, ended, config), daemon=True
    )
    thread.start()
    try:
        yield connect
    finally:
        ended.set()
        thread.join()


def _serve(params, places, count, ended, config):
    states: dict[int, State] = {}  # number of objects N -> [count + 1, N, ...]; the last is spare
    objects: dict[int, int] = {}  # by place
    while not ended.is_set():
        waiting: dict[Any, Request] = {}
        ready: list[Any] = connection.wait(list(places), SECONDS)
        for ours in ready:
            try:
                waiting[ours] = ours.recv()
            except (EOFError, OSError):  # the video has ended
                places.pop(ours)
                ours.close()
        groups: dict[Any, list] = {}  # that one call can step
        for ours, request in waiting.items():
            if request.boxes is None:
                key = objects[places[ours]], request.roi.pixels.shape
                groups.setdefault(key, []).append(ours)
                continue
            number = objects[places[ours]] = len(request.boxes)
            with _told([ours]):
                state = tracker.init(params, request.roi, request.boxes, config=config)
                if number not in states:
                    states[number] = jax.tree.map(lambda a: jnp.stack([a] * (count + 1)), state)
                states[number] = jax.tree.map(
                    lambda a, new, place=places[ours]: a.at[place].set(new), states[number], state
                )
                scores = np.full(number, np.nan, np.float32)
                certain = jax.device_get((state.confidence, state.lost))
                _answer(ours, Answer(request.boxes, scores, *certain))
        for (number, _), group in groups.items():
            with _told(group):
                rois = [waiting[ours].roi for ours in group]
                chosen = [places[ours] for ours in group]
                # A power of two, so that few sizes are compiled.
                spare = (1 << (len(group) - 1).bit_length()) - len(group)
                stacked = jax.tree.map(lambda *a: np.stack(a), *rois, *rois[:1] * spare)
                indices = np.array(chosen + [count] * spare, np.int32)
                states[number], *found = _step(
                    params, states[number], indices, stacked, config=config
                )
                for ours, *answer in zip(group, *jax.device_get(found), strict=False):
                    _answer(ours, Answer(*answer))


@contextlib.contextmanager
def _told(group):
    """Tells the processes of some videos what fails, so that it costs these alone."""
    try:
        yield
    except Exception as error:  # whatever it is: who waits for an answer would wait for ever
        for ours in group:
            _answer(ours, str(error) or repr(error))


def _answer(ours, answer):
    with contextlib.suppress(OSError):  # the process has gone; `wait` says so next
        ours.send(answer)


# The states are not donated: where a call fails, the videos that were not in it go on with them.
@functools.partial(jax.jit, static_argnames="config")
def _step(params, states, places, rois, *, config):
    """Steps the videos in some places; returns all states, and what was found in these."""
    some = jax.tree.map(lambda array: array[places], states)  # [V, N, ...]
    rois = jax.tree.map(lambda array: jnp.expand_dims(array, 1), rois)  # [V, ...] -> [V, 1, ...]
    some, boxes, scores = tracker.step(params, some, rois, config=config)
    states = jax.tree.map(lambda array, new: array.at[places].set(new), states, some)
    return states, boxes, scores, some.confidence, some.lost
