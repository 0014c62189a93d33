"""Boxes of all frames, by object: what files of annotation tools hold."""

from __future__ import annotations

import itertools
from typing import NamedTuple


class Clip(NamedTuple):
    """What files say of a video.

    Attributes:
      name: of the file.
      width: of a frame in pixels.
      height: of a frame in pixels.
      fps: frames a second.
      frames: numbers of the frames that were looked at, ascending, from 0.
    """

    name: str
    width: int
    height: int
    fps: float
    frames: tuple[int, ...]


class Mark(NamedTuple):
    """A box of an object in one frame.

    Attributes:
      frame: its number.
      box: `(x, y, w, h)` in frame pixels, 0-based.
      key: whether a person drew it.
      confidence: that it lies on the object, in [0, 1].
      lost: whether the tracker reports the object as lost.
    """

    frame: int
    box: tuple[float, ...]
    key: bool
    confidence: float = 1.0
    lost: bool = False


class Track(NamedTuple):
    """An object through a video.

    Attributes:
      name: of the object, which tools take for its class, too.
      marks: its boxes, ascending; none in frames where it is gone.
    """

    name: str
    marks: tuple[Mark, ...]


def pieces(clip: Clip, track: Track) -> list[tuple[Mark, ...]]:
    """Divides a track where the object is gone.

    Args:
      clip: whose frames it goes through.
      track: of one object.

    Returns:
      Marks of neighbouring frames together.
    """
    index = {frame: place for place, frame in enumerate(clip.frames)}
    groups = itertools.groupby(enumerate(track.marks), lambda pair: index[pair[1].frame] - pair[0])
    return [tuple(mark for _, mark in group) for _, group in groups]


def make_track(name: str, marks) -> Track:
    """Makes a track of marks in any order.

    Args:
      name: of the object.
      marks: its boxes.

    Returns:
      The track, with marks by frame.
    """
    return Track(name, tuple(sorted(marks)))
