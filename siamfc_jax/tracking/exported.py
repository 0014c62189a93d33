"""The loop over frames with a model that `siamfc export` wrote: no JAX, nothing to compile."""

import copy
import pathlib
import time
from collections.abc import Iterator

import numpy as np

from siamfc_jax.tracking.results import FrameResult, check_finite


def follow(
    folder: str | pathlib.Path, frames: Iterator[tuple[int, np.ndarray]], boxes: np.ndarray
) -> Iterator[FrameResult]:
    """Follows objects through frames as `loop.follow` does, one object after the other.

    Args:
      folder: that `siamfc export` wrote; the settings of the tracker are those in it.
      frames: iterator of (number, u8[H, W, 3] RGB).
      boxes: f32[N, 4] in the first frame, each checked by `geometry.check_box`; or f32[4] of
        one object, whose results then have no axis N.

    Returns:
      An iterator of the results, which begins with the given boxes.

    Raises:
      ValueError: a file of the export is missing or damaged.
      FloatingPointError: the network gave NaN; the text names the frame. The iterator raises it.
    """
    from siamfc_jax.tracking.siamfc_onnx import Tracker  # here, as it needs onnxruntime

    first = Tracker(folder)
    boxes = np.asarray(boxes, np.float32)
    # Copies share the network; what a tracker knows about its object is replaced, not changed.
    trackers = [copy.copy(first) for _ in boxes.reshape(-1, 4)]
    return _follow(trackers, frames, boxes)


def _follow(trackers, frames, boxes):
    number, frame = next(frames)
    for tracker, box in zip(trackers, boxes.reshape(-1, 4), strict=True):
        tracker.init(frame, box)
    scores, seconds = np.full(boxes.shape[:-1], np.nan, np.float32), 0.0
    while True:
        confidences = np.array([tracker.confidence for tracker in trackers], np.float32)
        lost = np.array([tracker.lost for tracker in trackers])
        yield FrameResult(
            number=number,
            frame=frame,
            boxes=boxes,
            scores=scores,
            confidences=confidences.reshape(scores.shape),
            lost=lost.reshape(scores.shape),
            states=None,
            seconds=seconds,
        )
        number, frame = next(frames, (None, None))
        if frame is None:
            return
        began = time.perf_counter()
        found = [tracker.update(frame) for tracker in trackers]
        seconds = time.perf_counter() - began
        boxes = np.array([box for box, _ in found], np.float32).reshape(boxes.shape)
        scores = np.array([score for _, score in found], np.float32).reshape(scores.shape)
        check_finite(f"frame {number}", boxes, scores)
