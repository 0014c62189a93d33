"""Runs through a video, forward and backward, with objects that come and go at key boxes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from siamfc_jax.annotation import places
from siamfc_jax.annotation.job import KeyBox, Span
from siamfc_jax.annotation.places import Estimate
from siamfc_jax.config import TrackerConfig
from siamfc_jax.geometry import check_box
from siamfc_jax.tracking.results import check_finite

FRAME_BYTES = 1 << 28  # of the frames that a backward pass holds at once: 290 of 640 x 480


class Events(NamedTuple):
    """What happens to objects in the frames of one pass.

    Attributes:
      added: key boxes by frame.
      removed: names by frame, of objects that are gone there.
    """

    added: dict[int, list[KeyBox]]
    removed: dict[int, list[str]]


def forward_events(spans: list[Span]) -> Events:
    """Lists what a forward pass does: objects begin at the first key box of their spans."""
    added, removed = defaultdict(list), defaultdict(list)
    begins = {(span.name, span.first.frame) for span in spans if span.first}
    for span in spans:
        if span.first is None:
            continue
        added[span.first.frame].append(span.first)
        if span.stop is not None:
            removed[span.stop].append(span.name)
        elif span.last is not None and (span.name, span.last.frame) not in begins:
            removed[span.last.frame].append(span.name)
    return Events(added, removed)


def backward_events(spans: list[Span]) -> Events:
    """Lists what a backward pass does: objects begin at the last key box of their spans."""
    added, removed = defaultdict(list), defaultdict(list)
    for span in spans:
        if span.last is None:
            continue
        added[span.last.frame].append(span.last)
        if span.first is not None:
            removed[span.first.frame].append(span.name)
        elif span.stop is not None:  # The object is there again from this frame on.
            removed[span.stop - 1].append(span.name)
    return Events(added, removed)


def most_at_once(events: Events, *, backward: bool = False) -> int:
    """Returns how many objects a pass has under way at most: the number of places it needs."""
    names: set[str] = set()
    most = 0
    for frame in sorted({*events.added, *events.removed}, reverse=backward):
        names -= set(events.removed.get(frame, ()))
        names |= {key.name for key in events.added.get(frame, ())}
        most = max(most, len(names))
    return most


def run(
    params: dict,
    frames: Iterable[tuple[int, np.ndarray]],
    events: Events,
    *,
    config: TrackerConfig,
    count: int,
) -> Iterator[tuple[int, np.ndarray, dict[str, Estimate]]]:
    """Tracks objects that come and go through frames in the order in which they are given.

    Args:
      params: folded network parameters, from `tracker.prepare`.
      frames: (number, u8[H, W, 3]), ascending or descending.
      events: what happens in them.
      config: settings of the tracker.
      count: number of places, from `most_at_once`.

    Yields:
      (number, frame, estimate of each object by name) of every frame.

    Raises:
      ValueError: the frames lack one that has a key box, or its box does not fit the frame.
    """
    under_way, waiting = None, dict(events.added)
    for number, frame in frames:
        if under_way is None:
            under_way = places.make_places(params, frame, count, config=config)
        under_way, estimates = places.update(params, under_way, frame, config=config)
        for estimate in estimates.values():
            check_finite(f"frame {number}", estimate.box, estimate.score, estimate.confidence)
        for name in events.removed.get(number, ()):
            if name in under_way.names:
                under_way = places.remove(under_way, name)
                estimates.pop(name, None)
        for key in waiting.pop(number, ()):
            box = check_box(np.array(key.box), frame.shape)
            under_way = places.add(params, under_way, frame, box, key.name, config=config)
            estimates[key.name] = places.given(box)
        yield number, frame, estimates
    if waiting:
        first, keys = min(waiting.items())
        raise ValueError(
            f"frame {first} has a box of {keys[0].name!r}, but is not among the frames that are "
            "read; mend the frame of the box, --start, --stop or --stride"
        )


def reversed_frames(
    open_frames: Callable[[int, int], Iterator[tuple[int, np.ndarray]]],
    start: int,
    stop: int,
) -> Iterator[tuple[int, np.ndarray]]:
    """Reads a part of a video backward, holding a bounded part of it in memory.

    Args:
      open_frames: (start, stop) -> iterator of (number, u8[H, W, 3]) in between, ascending.
      start: first frame.
      stop: frame after the last one.

    Yields:
      (number, frame), descending.
    """
    size = 1  # The first frame tells how many of them the memory holds.
    while start < stop:
        chunk = list(open_frames(max(start, stop - size), stop))
        yield from reversed(chunk)
        stop = max(start, stop - size)
        if chunk:
            size = max(1, FRAME_BYTES // chunk[0][1].nbytes)
