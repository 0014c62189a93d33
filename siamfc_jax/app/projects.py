"""What a person drew on the page and what was tracked from it; the form of a project file."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from siamfc_jax.annotation import job
from siamfc_jax.annotation.job import End, Job, KeyBox
from siamfc_jax.geometry import check_box

MAX_OBJECTS = 100
MAX_NAME = 40  # characters
UNPRINTABLE = "[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]"  # what XML cannot hold
FORM = "a project holds objects, keys and ends as the page saves them"

# By identity of the object, then by frame: [x, y, w, h, confidence, lost (0 or 1)].
Tracks = dict[int, dict[int, list]]


class Object(NamedTuple):
    """An object.

    Attributes:
      id: which stays when the name changes.
      name: unlike all others.
      color: `#rrggbb`.
      hidden: whether the page leaves its boxes out.
    """

    id: int
    name: str
    color: str
    hidden: bool


class Project(NamedTuple):
    """Objects with the boxes and ends that a person gave them.

    Attributes:
      objects: in the order in which they are shown.
      keys: (object, frame) -> `[x, y, w, h]` in frame pixels.
      ends: (object, frame), the first frame where it is gone.
    """

    objects: tuple[Object, ...]
    keys: dict[tuple[int, int], list[float]]
    ends: frozenset[tuple[int, int]]


EMPTY = Project((), {}, frozenset())


class Shown(NamedTuple):
    """An object in a frame.

    Attributes:
      object: which.
      box: `[x, y, w, h]` in frame pixels.
      confidence: in [0, 1], 1 for a box that a person gave.
      lost: whether the tracker reports it as lost.
      key: whether a person gave the box.
    """

    object: Object
    box: list[float]
    confidence: float
    lost: bool
    key: bool


def read_project(data: Any, frame_shape: tuple[int, ...], count: int) -> Project:
    """Checks what the page sent.

    Args:
      data: parsed JSON, `{"objects": [{"id", "name", "color", "hidden"}],
        "keys": [{"object", "frame", "box"}], "ends": [{"object", "frame"}]}`.
      frame_shape: (H, W, ...) of the video.
      count: number of its frames.

    Returns:
      The project.

    Raises:
      ValueError: not of that form, too many objects, a name twice, or a box or a frame that
        is not of this video.
    """
    try:
        objects = tuple(
            Object(
                int(o["id"]), str(o["name"]).strip()[:MAX_NAME], str(o["color"]), bool(o["hidden"])
            )
            for o in data["objects"]
        )
        keys = [(int(k["object"]), int(k["frame"]), k["box"]) for k in data["keys"]]
        ends = frozenset((int(e["object"]), int(e["frame"])) for e in data["ends"])
    except (KeyError, TypeError, ValueError, OverflowError):
        raise ValueError(FORM) from None
    if any(re.search(UNPRINTABLE, o.name) for o in objects):
        raise ValueError("the name of an object holds no control characters")
    names, known = [o.name for o in objects], {o.id for o in objects}
    if len(objects) > MAX_OBJECTS:
        raise ValueError(f"a project holds {MAX_OBJECTS} objects at most, got {len(objects)}")
    if not all(names) or len(set(names)) < len(names):
        raise ValueError(f"every object needs a name of its own, got {', '.join(names)}")
    if len(known) < len(objects) or not {o for o, *_ in [*keys, *ends]} <= known:
        raise ValueError(FORM)
    if not all(re.fullmatch("#[0-9a-fA-F]{6}", o.color) for o in objects):
        raise ValueError("a color is #rrggbb")
    for _, frame, *_ in [*keys, *ends]:
        if not 0 <= frame < count:
            raise ValueError(f"the project has frame {frame}, the video only 0 to {count - 1}")
    boxes = {(o, frame): check_box(box, frame_shape).tolist() for o, frame, box in keys}
    return Project(objects, boxes, ends - boxes.keys())


def write_project(project: Project) -> dict:
    """Returns what `read_project` reads."""
    return {
        "objects": [o._asdict() for o in project.objects],
        "keys": [{"object": o, "frame": f, "box": box} for (o, f), box in project.keys.items()],
        "ends": [{"object": o, "frame": f} for o, f in sorted(project.ends)],
    }


def read_tracks(data: Any, count: int) -> Tracks:
    """Checks the tracked boxes that the page sent.

    Those of objects that are not in the project stay, as the page may undo their removal.

    Args:
      data: parsed JSON, `{"1": [[frame, x, y, w, h, confidence, lost], ...]}` by object.
      count: number of frames of the video.

    Returns:
      The tracks.

    Raises:
      ValueError: not of that form.
    """
    tracks: dict = {}
    try:
        for identity, rows in data.items():
            track = tracks[int(identity)] = {}
            for frame, *values in rows:
                x, y, w, h, confidence, lost = map(float, values)
                numbers = [x, y, w, h, confidence]
                if not (all(map(math.isfinite, numbers)) and min(w, h) > 0 <= frame < count):
                    raise ValueError
                track[int(frame)] = [*numbers, int(lost)]
    except (AttributeError, TypeError, ValueError, OverflowError):
        raise ValueError("tracked boxes are frame, x, y, w, h, confidence and lost") from None
    return tracks


def write_tracks(tracks: Tracks) -> dict:
    """Returns what `read_tracks` reads, also while a worker adds to the tracks."""
    return {
        o: [[frame, *row] for frame, row in track.copy().items()]
        for o, track in tracks.copy().items()
    }


def make_job(project: Project) -> Job:
    """Returns what there is to track, objects by their names.

    Args:
      project: what a person drew.

    Returns:
      The job; an end before the first key box of its object is left out, as it says nothing.

    Raises:
      ValueError: there is no key box.
    """
    names = {o.id: o.name for o in project.objects}
    first: dict[int, int] = {}
    for identity, frame in project.keys:
        first[identity] = min(frame, first.get(identity, frame))
    ends = [End(f, names[o]) for o, f in project.ends if o in first and first[o] < f]
    return job.make_job([KeyBox(f, names[o], tuple(b)) for (o, f), b in project.keys.items()], ends)


def frames(project: Project, tracks: Tracks, count: int) -> Iterator[tuple[int, list[Shown]]]:
    """Lists what is to be seen, frame by frame.

    A key box stands above a tracked one; after an end an object is gone until its next key box.

    Args:
      project: what a person drew.
      tracks: what was tracked from it.
      count: number of frames.

    Yields:
      (frame, objects that have a box there).
    """
    gone: set[int] = set()
    for frame in range(count):
        shown = []
        for o in project.objects:
            box = project.keys.get((o.id, frame))
            if box:
                gone.discard(o.id)
                shown.append(Shown(o, box, 1.0, False, True))
                continue
            if (o.id, frame) in project.ends:
                gone.add(o.id)
            row = tracks.get(o.id, {}).get(frame)
            if row and o.id not in gone:
                shown.append(Shown(o, row[:4], row[4], bool(row[5]), False))
        yield frame, shown
