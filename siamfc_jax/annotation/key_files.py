"""Reads boxes that a person drew from files: csv, json and CVAT."""

import csv
import json
import pathlib
from typing import NamedTuple

from siamfc_jax.annotation import cvat
from siamfc_jax.annotation.job import End, KeyBox


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

    A file of CVAT (`.xml`) says which boxes are key boxes; so does the column `key` of csv and
    json, which `siamfc track` writes. Without it only the first box of each object counts, as
    the others may as well have been tracked: a finished csv begins anew.

    Args:
      path: `.xml`, `.json` (a list of objects) or csv with a header; columns `x,y,w,h` and, if
        you like, `frame`, `object` and `key`.
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
        ends = [End(*end) for end in gone if end[0] > start]
    else:
        boxes, ends = _read_table(path, start), []
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
    """Returns (key box, what the column `key` says or None) of each row."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = json.load(file) if path.suffix.lower() == ".json" else list(csv.DictReader(file))
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    form = "expected columns x,y,w,h and, if you like, frame, object and key"
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"{path} holds no box; {form}")
    boxes, counts = [], {}
    for number, row in enumerate(rows, start=1):
        try:
            frame = row.get("frame")
            frame = start if frame in (None, "") else int(frame)
            counts[frame] = counts.get(frame, 0) + 1
            x, y, w, h = (float(row[name]) for name in "xywh")
            drawn = row.get("key")
            drawn = None if drawn in (None, "") else bool(int(drawn))
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ValueError(f"{path}, box {number}: {form}, got {row}") from None
        name = str(row.get("object") or counts[frame])
        boxes.append((KeyBox(frame, name, (x, y, w, h)), drawn))
    return boxes
