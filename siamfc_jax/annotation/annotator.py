"""Runs a job over a video: key boxes in, boxes of every frame out.

The backward pass comes first and what it finds is kept, a box an object and frame. The forward
pass joins both as it goes, so that rows come in the order of frames and no frame is held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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


def forward_range(spans: list[Span], count: int) -> range:
    """Returns the frames that a forward pass through spans needs.

    Args:
      spans: of `job.spans`, all or some.
      count: number of frames of the video.

    Returns:
      Their numbers; none where nothing is tracked forward.
    """
    ahead = [span for span in spans if span.first]
    if not ahead:
        return range(0)
    ends = [span.last.frame if span.last else span.stop or count for span in ahead]
    return range(min(span.first.frame for span in ahead if span.first), max(ends))


def backward_range(spans: list[Span], start: int = 0) -> range:
    """Returns the frames that a backward pass through spans needs.

    Args:
      spans: of `job.spans`, all or some.
      start: number of the first frame that is read.

    Returns:
      Their numbers, ascending; none where nothing is tracked backward.
    """
    back = [span for span in spans if span.last]
    if not back:
        return range(0)
    begins = [span.first.frame if span.first else span.stop or start for span in back]
    return range(min(begins), 1 + max(span.last.frame for span in back if span.last))


def look_back(
    params: dict,
    open_frames: Callable[[int, int], Iterator[tuple[int, np.ndarray]]],
    spans: list[Span],
    *,
    config: TrackerConfig,
    start: int = 0,
) -> Iterator[Row]:
    """Tracks backward from the last key boxes of spans; a bounded part of the video is in memory.

    Args:
      params: folded network parameters, from `tracker.prepare`.
      open_frames: (start, stop) -> iterator of (number, u8[H, W, 3]) in between, ascending;
        called several times.
      spans: of `job.spans`.
      config: settings of the tracker.
      start: number of the first frame that is read.

    Yields:
      A row for each of the frames `backward_range`, descending.

    Raises:
      ValueError: the source has no such frames, or a box does not fit them.
    """
    events, needed = passes.backward_events(spans), backward_range(spans, start)
    if not needed:
        return
    drawn = _drawn(spans)
    frames = passes.reversed_frames(open_frames, needed.start, needed.stop)
    count = passes.most_at_once(events, backward=True)
    for number, frame, found in passes.run(params, frames, events, config=config, count=count):
        yield Row(number, frame, found, drawn.get(number, frozenset()) & found.keys())


def annotate(
    params: dict,
    frames: Iterable[tuple[int, np.ndarray]],
    spans: list[Span],
    behind: dict[int, dict[str, Estimate]],
    *,
    config: TrackerConfig,
) -> Iterator[Row]:
    """Tracks forward and joins it with what a backward pass has found.

    No more than one frame is held, whatever the length of the video.

    Args:
      params: folded network parameters, from `tracker.prepare`.
      frames: (number, u8[H, W, 3]) of all frames or of those in `forward_range`, ascending.
      spans: of `job.spans`, all or some, or of `forward_only`.
      behind: frame -> the estimates of what `look_back` yields for these spans; empty without it.
      config: settings of the tracker.

    Yields:
      A row for each frame, also for those without an object.

    Raises:
      ValueError: the frames lack one that has a key box, or its box does not fit the frame.
    """
    events = passes.forward_events(spans)
    under_way: dict = {}
    begins = {(span.first.frame, span.name): span for span in spans if span.first}
    drawn = _drawn(spans)
    count = max(1, passes.most_at_once(events))
    for number, frame, ahead in passes.run(params, frames, events, config=config, count=count):
        keys, estimates = drawn.get(number, frozenset()), dict(ahead)
        for name, estimate in behind.get(number, {}).items():
            if name not in ahead:
                estimates[name] = estimate
            elif name not in keys and name in under_way:
                under_way[name], estimates[name] = _join(under_way[name], number, ahead[name])
        for name in keys:
            under_way.pop(name, None)
            span = begins.get((number, name))
            if span and span.last and behind:
                under_way[name] = _between(number, span.last.frame, name, behind)
        yield Row(number, frame, estimates, keys & estimates.keys())


def _drawn(spans):
    """Returns frame -> names of the objects that have a key box there."""
    drawn: dict[int, frozenset[str]] = {}
    for span in spans:
        for key in filter(None, (span.first, span.last)):
            drawn[key.frame] = drawn.get(key.frame, frozenset()) | {span.name}
    return drawn


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
    trusts = lowest([estimate.confidence for estimate in found]).tolist() if found else []
    pairs = zip(found, trusts, strict=True)
    return _Between(first, last, 1.0, dict(zip(numbers, pairs, strict=True)))


def _join(between, number, ahead):
    """Returns (between after this frame, blended estimate)."""
    between = between._replace(trust=min(between.trust, ahead.confidence))
    behind, trust = between.behind[number]
    share = (number - between.first) / (between.last - between.first)
    estimate = blend_frame(share, ahead, behind, trust_ahead=between.trust, trust_behind=trust)
    return between, estimate
