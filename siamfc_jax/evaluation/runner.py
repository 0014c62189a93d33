"""Runs a tracker over a sequence, frame by frame.

A tracker is a generator function `track(frames, box)`. It takes the frames, an iterable
of u8[H, W, 3] RGB, and the box f32[4] of the first one. It yields `(box f32[4], score)`
once a frame, first the box that it was given, or `(box, score, lost)` if it can tell that
it has lost the object. The runner may stop asking, which is how restarts after a failure
work, and it measures the tracker's seconds apart from those spent on reading frames.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from siamfc_jax.data.sequences import Sequence


class Run(NamedTuple):
    """One run of a tracker that a protocol asks for.

    Attributes:
      name: of its result file, below the tracker's folder and without `.txt`.
      sequence: frames and true boxes, in the order of the run.
      box: f[4] to start from; None for the true box of the first frame.
    """

    name: str
    sequence: Sequence
    box: np.ndarray | None = None


class Result(NamedTuple):
    """What a tracker did on one sequence of T frames.

    Attributes:
      boxes: f64[T, 4] `[x, y, w, h]` in frame pixels, 0-based; NaN for "no object".
      scores: f64[T] on the tracker's own scale; NaN where it gave none.
      seconds: f64[T] that the tracker took; entry 0 is its start, with any compilation.
      read_seconds: f64[T] that reading and decoding the frames took.
      lost: f64[T], 1 where the tracker says that it has lost the object, else 0; NaN
        where it does not say, or one NaN for all frames.
    """

    boxes: np.ndarray
    scores: np.ndarray
    seconds: np.ndarray
    read_seconds: np.ndarray
    lost: np.ndarray | float = np.nan


def siamfc(params, *, config):
    """Makes our tracker a generator function.

    The step runs once on the first frame, so that its compilation falls into the start.

    Args:
      params: from `tracker.prepare`.
      config: TrackerConfig.

    Returns:
      `track(frames, box)`.
    """

    from siamfc_jax.tracking import loop  # JAX, which the words of a command do not need

    def track(frames, box):
        for result in loop.follow(params, enumerate(frames), box, config=config):
            yield result.boxes, result.scores, result.lost

    return track


def exported(folder):
    """Makes a model that `siamfc export` wrote a generator function.

    Args:
      folder: of the export.

    Returns:
      `track(frames, box)`.
    """

    from siamfc_jax.tracking import exported

    def track(frames, box):
        for result in exported.follow(folder, enumerate(frames), box):
            yield result.boxes, result.scores, result.lost

    return track


class Step(NamedTuple):
    """What a tracker did on one frame.

    Attributes:
      box: f[4], or NaN for "no object".
      score: on the tracker's own scale; NaN for none.
      seconds: that the tracker took.
      read_seconds: that reading and decoding the frame took.
      lost: 1 where the tracker says that it has lost the object, else 0; NaN where it
        does not say.
    """

    box: np.ndarray
    score: float
    seconds: float
    read_seconds: float
    lost: float


def follow(track: Callable, frames, box) -> Iterator[Step]:
    """Runs a tracker frame by frame, for as long as the caller asks.

    Args:
      track: generator function, see the top of this file.
      frames: T frames u8[H, W, 3] that can be indexed.
      box: f[4] in frame 0.

    Yields:
      Step of each frame.

    Raises:
      ValueError: the first box has no size, or the tracker yields too few boxes.
    """
    reads: list[float] = []
    box = check_start(box)
    outputs = track(_timed(frames, reads), box)
    for index in range(len(frames)):
        reads_before, began = len(reads), time.perf_counter()
        output = next(outputs, None)
        elapsed = time.perf_counter() - began
        if output is None:
            raise ValueError(
                f"the tracker stopped after {index} of {len(frames)} frames; "
                "it must yield one box a frame"
            )
        reading = sum(reads[reads_before:])
        box, score, lost = (*output, np.nan)[:3]
        yield Step(np.asarray(box), float(score), elapsed - reading, reading, float(lost))


def frame_size(frames) -> tuple[int, int]:
    """Returns (width, height) in pixels of the first of some frames u8[H, W, 3]."""
    height, width = frames[0].shape[:2]
    return width, height


def check_start(box) -> np.ndarray:
    """Returns the first box as f32[4].

    Args:
      box: f[4].

    Raises:
      ValueError: the box has no size or one beyond reason, or is NaN.
    """
    from siamfc_jax.geometry import (
        LARGEST_SIDE,
        SMALLEST_SIDE,
    )  # here, as words are read before JAX

    box = np.asarray(box, np.float32)
    # Any frame is smaller than 100,000 pixels; a benchmark's box may reach out of it.
    largest = LARGEST_SIDE * 1e5
    if not (np.isfinite(box).all() and ((box[2:] >= SMALLEST_SIDE) & (box[2:] <= largest)).all()):
        raise ValueError(f"the first frame needs a box of positive size, got {box.tolist()}")
    return box


def _timed(frames, reads):
    """Yields the frames; appends to `reads` the seconds that each took to read."""
    for index in range(len(frames)):
        began = time.perf_counter()
        frame = frames[index]
        reads.append(time.perf_counter() - began)
        yield frame


def one_pass(track: Callable, sequence: Sequence, *, box=None) -> Result:
    """Runs a tracker from the first frame to the last, without restarts.

    Args:
      track: generator function, see the top of this file.
      sequence: the tracker sees its frames and the first box.
      box: f[4] to show instead of the first true box (SRE).

    Returns:
      Result of the whole sequence.

    Raises:
      ValueError: the tracker yields fewer boxes than there are frames.
    """
    first = sequence.boxes[0] if box is None else box
    return stack_steps(follow(track, sequence.frames, first))


def stack_steps(steps: Iterable[Step]) -> Result:
    """Joins the steps of all frames, in their order, into arrays."""
    boxes, scores, seconds, read_seconds, lost = (
        np.asarray(column, np.float64) for column in zip(*steps, strict=True)
    )
    return Result(boxes, scores, seconds, read_seconds, lost)
