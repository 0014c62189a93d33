"""Reads boxes that a person drew from files: csv, json and CVAT."""

import pathlib
from typing import NamedTuple

from siamfc_jax.annotation import cvat
from siamfc_jax.annotation.job import End, KeyBox
from siamfc_jax.media import box_files


class KeyFile(NamedTuple):
    """What a file says of a job.

    Attributes:
      keys: key boxes.
      ends: where objects are gone.
      unused: number of its boxes that are none.
    """

    keys: list[KeyBox]
    ends: list[End]
    unused: int


def read_keys(path, *, start: int = 0, every: bool = False) -> KeyFile:
    """Reads the key boxes of a file.

    A file of CVAT (`.xml`) says which boxes are key boxes and where objects are gone; so do the
    columns `key` and `gone` of csv and json, which `siamfc track` writes. Without the first
    of them only the first box of each object counts, as the others may as well have been
    tracked: a finished csv begins anew.

    Args:
      path: `.xml`, `.json` (a list of objects) or csv with a header; columns `x,y,w,h` and, if
        you like, `frame`, `object`, `key` and `gone`, the frame from which on the object is gone.
      start: first frame that is read, in which boxes without a frame lie; those before it are
        left out.
      every: whether each box is a key box, in place of these rules.

    Returns:
      What it says.

    Raises:
      ValueError: the file is missing, or not of that form, or has no key box.
    """
    path = pathlib.Path(path)
    if path.suffix.lower() == ".xml":
        _, tracks, gone = cvat.read(path)
        boxes = [(KeyBox(mark.frame, track.name, mark.box), mark.key)
                 for track in tracks for mark in track.marks]  # fmt: skip
        ends = [End(*end) for end in gone]
    else:
        boxes, ends = _read_table(path, start)
    ends = [end for end in ends if end.frame > start]
    boxes = [(key, drawn) for key, drawn in boxes if key.frame >= start]
    if every:
        keys = [key for key, _ in boxes]
    elif any(drawn is not None for _, drawn in boxes):
        keys = [key for key, drawn in boxes if drawn]
    else:
        keys = list({key.name: key for key, _ in sorted(boxes, reverse=True)}.values())
        keys = [key for key, _ in boxes if key in keys]
    if not keys:
        raise ValueError(f"{path} has no key box from frame {start} on; mend it, or --start")
    drawn_of = {key.name: key.frame for key in sorted(keys, reverse=True)}
    ends = [end for end in ends if drawn_of.get(end.name, end.frame) < end.frame]
    return KeyFile(keys, ends, len(boxes) - len(keys))


def _read_table(path, start):
    """Returns (key box, whether a person drew it or None) of each row, and the ends."""
    rows = box_files.read_box_file(path)
    boxes = [
        (KeyBox(start if row.frame is None else row.frame, row.object, tuple(row.box)), row.key)
        for row in rows
    ]
    return boxes, [End(row.gone, row.object) for row in rows if row.gone is not None]
