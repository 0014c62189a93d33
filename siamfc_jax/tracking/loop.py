"""The loop over the frames of a video: the command, the page and the evaluation share it."""

import time
from collections.abc import Callable, Iterator

import jax
import numpy as np

from siamfc_jax.config import TrackerConfig
from siamfc_jax.geometry import Array
from siamfc_jax.tracking import tracker
from siamfc_jax.tracking.results import FrameResult, check_finite


def follow(
    params: dict,
    frames: Iterator[tuple[int, np.ndarray]],
    boxes: Array,
    *,
    config: TrackerConfig,
    chunk: int = 1,
) -> Iterator[FrameResult]:
    """Follows objects through frames; returns once the first frame is read and all is compiled.

    Args:
      params: folded network parameters, from `tracker.prepare`.
      frames: iterator of (number, u8[H, W, 3]), which have one size if `chunk` is over 1.
      boxes: f32[N, 4] in the first frame, each checked by `geometry.check_box`; or f32[4] of
        one object, whose results then have no axis N.
      config: settings of the tracker.
      chunk: number of frames a call of the device. A larger one makes it wait less for the
        host; the results of a chunk come together when its last frame is read.

    Returns:
      An iterator of the results, which begins with the given boxes.

    Raises:
      FloatingPointError: the step gave NaN; the text names the frame. The iterator raises it.
    """
    number, frame = next(frames)
    first = tracker.start(params, frame, boxes, config=config)
    warm_up(tracker.step, params, first.state, first.roi, config=config)
    if chunk > 1:
        copies = np.stack([frame] * chunk)
        warm_up(tracker.scan_frames, params, first.state, copies, config=config)
    return _follow(params, number, frame, first, frames, config, chunk)


def warm_up(step: Callable, *inputs, config: TrackerConfig) -> None:
    """Compiles a step by running it once, so that no later frame waits for the compiler.

    Args:
      step: `tracker.step`, `tracker.step_videos` or `tracker.scan_frames`.
      *inputs: what it will be called with, or arrays of the same shapes.
      config: settings of the tracker.
    """
    jax.block_until_ready(step(*inputs, config=config))


def _follow(params, number, frame, tracked, frames, config, chunk):
    yield _result(number, frame, tracked, tracked.state, 0.0)
    for batch in _batches(frames, chunk):
        if len(batch) == chunk > 1:
            began = time.perf_counter()
            images = np.stack([frame for _, frame in batch])
            state, *outputs = tracker.scan_frames(params, tracked.state, images, config=config)
            states, boxes, scores = jax.device_get(outputs)
            seconds = (time.perf_counter() - began) / chunk
            for index, (number, frame) in enumerate(batch):
                before = tracked.state
                after = jax.tree.map(lambda array, index=index: array[index], states)
                after = after._replace(exemplar=state.exemplar, fill=state.fill)
                outcome = boxes[index], scores[index], after.confidence, after.lost
                tracked = tracker.Tracked(after, tracked.roi, *outcome)
                yield _result(number, frame, tracked, before, seconds)
            tracked = tracked._replace(state=state)  # the same, but on the device
        else:  # Fewer frames than a chunk go one by one: another length would compile once more.
            for number, frame in batch:
                before, began = tracked.state, time.perf_counter()
                tracked = tracker.advance(params, tracked, frame, config=config)
                yield _result(number, frame, tracked, before, time.perf_counter() - began)


def _batches(frames, size):
    """Yields lists of `size` frames; the last is shorter, also before an error of the source."""
    batch = []
    try:
        for frame in frames:
            batch.append(frame)
            if len(batch) == size:
                yield batch
                batch = []
    except ValueError:
        yield batch
        raise
    yield batch


def _result(number, frame, tracked, before, seconds):
    if before is not tracked.state:  # else it is the first frame, whose scores are NaN
        name = f"frame {number}"
        check_finite(name, tracked.boxes, tracked.scores, tracked.confidences)
    return FrameResult(
        number=number,
        frame=frame,
        boxes=tracked.boxes,
        scores=tracked.scores,
        confidences=tracked.confidences,
        lost=tracked.lost,
        states=before,
        seconds=seconds,
    )
