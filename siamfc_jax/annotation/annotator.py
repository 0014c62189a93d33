"""Runs a job over a video: key boxes in, boxes of every frame out, in the order of frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from siamfc_jax.annotation import passes
from siamfc_jax.annotation.blend import blend_frame, lowest
from siamfc_jax.annotation.job import Span
from siamfc_jax.annotation.places import Estimate
from siamfc_jax.config import TrackerConfig


class Row(NamedTuple):
    """What is known of one frame.

    Attributes:
      number: of the frame in its source, from 0.
      frame: u8[H, W, 3] RGB.
      estimates: by name, of the objects that are there.
      keys: names of those whose box a person drew in this frame.
    """

    number: int
    frame: np.ndarray
    estimates: dict[str, Estimate]
    keys: frozenset[str]


def forward_only(spans: list[Span]) -> list[Span]:
    """Returns the spans of a source that can be read once, such as a stream.

    Args:
      spans: of `job.spans`.

    Returns:
      Those that are tracked forward, without what a backward pass would add to them.
    """
    return [span._replace(last=None) for span in spans if span.first is not None]


def look_back(
    params: dict,
    open_frames: Callable[[int, int], Iterator[tuple[int, np.ndarray]]],
    spans: list[Span],
    *,
    config: TrackerConfig,
    start: int = 0,
) -> Iterator[tuple[int, dict[str, Estimate]]]:
    """Tracks backward from the last key boxes of spans; a bounded part of the video is in memory.

    Args:
      params: folded network parameters, from `tracker.prepare`.
      open_frames: (start, stop) -> iterator of (number, u8[H, W, 3]) in between, ascending;
        called several times.
      spans: of `job.spans`.
      config: settings of the tracker.
      start: number of the first frame that is read.

    Yields:
      (number, estimate of each object by name) of the frames of these spans, descending.

    Raises:
      ValueError: the source has no such frames, or a box does not fit them.
    """
    events = passes.backward_events(spans)
    if not events.added:
        return
    begins = [span.first.frame if span.first else span.stop or start for span in spans if span.last]
    frames = passes.reversed_frames(open_frames, min(begins), max(events.added) + 1)
    count = passes.most_at_once(events, backward=True)
    for number, _, estimates in passes.run(params, frames, events, config=config, count=count):
        yield number, estimates


def annotate(
    params: dict,
    frames: Iterator[tuple[int, np.ndarray]],
    spans: list[Span],
    behind: dict[int, dict[str, Estimate]],
    *,
    config: TrackerConfig,
) -> Iterator[Row]:
    """Tracks forward and joins it with what a backward pass has found.

    No more than one frame is held, whatever the length of the video.

    Args:
      params: folded network parameters, from `tracker.prepare`.
      frames: iterator of (number, u8[H, W, 3]), ascending.
      spans: of `job.spans`, or of `forward_only`.
      behind: what `look_back` yields for these spans, as a dictionary; empty without it.
      config: settings of the tracker.

    Yields:
      A row for each frame, also for those without an object.

    Raises:
      ValueError: the frames lack one that has a key box, or its box does not fit the frame.
    """
    events, under_way = passes.forward_events(spans), {}
    begins = {(span.first.frame, span.name): span for span in spans if span.first}
    count = max(1, passes.most_at_once(events))
    for number, frame, ahead in passes.run(params, frames, events, config=config, count=count):
        keys = frozenset(key.name for key in events.added.get(number, ()))
        estimates = dict(ahead)
        for name, estimate in behind.get(number, {}).items():
            if name not in ahead:
                estimates[name] = estimate
            elif name not in keys and name in under_way:
                under_way[name], estimates[name] = _join(under_way[name], number, ahead[name])
        for name in keys:
            under_way.pop(name, None)
            span = begins[number, name]
            if span.last and behind:
                under_way[name] = _between(number, span.last.frame, name, behind)
        yield Row(number, frame, estimates, keys)


class _Between(NamedTuple):
    """Two key boxes, of which the first has passed.

    Attributes:
      first: its frame.
      last: frame of the second one.
      trust: lowest confidence of the forward pass since the first one.
      behind: (estimate, trust) of the backward pass by frame.
    """

    first: int
    last: int
    trust: float
    behind: dict[int, tuple[Estimate, float]]


def _between(first, last, name, behind):
    numbers = [number for number in range(last - 1, first, -1) if name in behind.get(number, {})]
    found = [behind[number][name] for number in numbers]
    trusts = lowest([estimate.confidence for estimate in found]) if found else []
    pairs = zip(found, map(float, trusts), strict=True)
    return _Between(first, last, 1.0, dict(zip(numbers, pairs, strict=True)))


def _join(between, number, ahead):
    """Returns (between after this frame, blended estimate)."""
    between = between._replace(trust=min(between.trust, ahead.confidence))
    behind, trust = between.behind[number]
    share = (number - between.first) / (between.last - between.first)
    estimate = blend_frame(share, ahead, behind, trust_ahead=between.trust, trust_behind=trust)
    return between, estimate
