"""What a person drew: key boxes of objects in some frames, and the frames where objects end."""

import itertools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np


class KeyBox(NamedTuple):
    """A box that a person gave.

    Attributes:
      frame: its number in the source, from 0.
      name: of the object.
      box: `(x, y, w, h)` in frame pixels.
    """

    frame: int
    name: str
    box: tuple[float, ...]


class End(NamedTuple):
    """The first frame in which an object is gone.

    Attributes:
      frame: its number in the source.
      name: of the object.
    """

    frame: int
    name: str


class Job(NamedTuple):
    """Key boxes and ends of all objects.

    An object begins at its first key box and each further one corrects it. After an end it is
    gone until its next key box.

    Attributes:
      keys: in the order of frames.
      ends: in the order of frames.
    """

    keys: tuple[KeyBox, ...]
    ends: tuple[End, ...] = ()

    @property
    def names(self) -> list[str]:
        """Names of the objects, in the order in which they begin."""
        return list(dict.fromkeys(key.name for key in self.keys))


class Span(NamedTuple):
    """A part of a video in which one object is tracked.

    Attributes:
      name: of the object.
      first: key box at one side, from which it is tracked forward; None before the first key
        box of the object.
      last: key box at the other side, from which it is tracked backward; None where there is
        only one side.
      stop: frame before which the span ends where `last` is None; None for the end of the video.
    """

    name: str
    first: KeyBox | None
    last: KeyBox | None
    stop: int | None


def make_job(keys: Iterable[KeyBox], ends: Iterable[End] = ()) -> Job:
    """Sorts and checks what a person gave.

    Args:
      keys: key boxes in any order.
      ends: ends in any order.

    Returns:
      The job.

    Raises:
      ValueError: there is no key box, a box is none, two boxes are of one object in one frame,
        or an end stands before the first key box of its object, or in the frame of one.
    """
    keys = tuple(sorted(keys, key=lambda key: key.frame))
    ends = tuple(sorted(set(ends)))
    if not keys:
        raise ValueError("there is no box to begin from; give at least one")
    for key in keys:
        if key.frame < 0:
            raise ValueError(f"frames count from 0, got a box of {key.name!r} in {key.frame}")
        if not (np.isfinite(key.box).all() and min(key.box[2:]) > 0):
            text = ",".join(f"{value:g}" for value in key.box)
            raise ValueError(
                f"the box of {key.name!r} in frame {key.frame} must have positive width and "
                f"height in pixels, got {text}"
            )
    drawn = [(key.frame, key.name) for key in keys]
    for (frame, name), group in itertools.groupby(sorted(drawn)):
        if len(list(group)) > 1:
            raise ValueError(f"frame {frame} has two boxes of {name!r}; leave one out")
    for end in ends:
        if not any(key.name == end.name and key.frame < end.frame for key in keys):
            raise ValueError(f"{end.name!r} ends at frame {end.frame}, but has no box before it")
        if (end.frame, end.name) in drawn:
            raise ValueError(f"{end.name!r} has a box in frame {end.frame}, where it ends")
    return Job(keys, ends)


def ends_by_key(job: Job) -> dict[tuple[str, int], int]:
    """Returns (object, frame of a key box) -> frame from which on the object is gone after it.

    Args:
      job: what a person drew.

    Returns:
      Those key boxes that an end follows before the next key box of the object.
    """
    return {
        (span.name, span.first.frame): span.stop
        for span in spans(job)
        if span.first is not None and span.stop is not None
    }


def spans(job: Job, *, backward: bool = False) -> list[Span]:
    """Divides a job into spans of one object each.

    Args:
      job: what a person drew.
      backward: whether objects are tracked back from their first key box to the begin of the
        video, and from a key box after an end back to that end.

    Returns:
      Spans by object, then by time.
    """
    parts = []
    for name in job.names:
        keys = [key for key in job.keys if key.name == name]
        ends = [end.frame for end in job.ends if end.name == name]
        if backward:
            parts.append(Span(name, None, keys[0], None))
        for key, following in itertools.zip_longest(keys, keys[1:]):
            until = following.frame if following else None
            inside = [end for end in ends if end > key.frame and (until is None or end < until)]
            if not inside:
                parts.append(Span(name, key, following, None))
                continue
            parts.append(Span(name, key, None, inside[0]))
            if backward and following:
                parts.append(Span(name, None, following, inside[-1]))
    return parts
