"""Annotated objects of training sets, and the parsers of their XML and JSON files.

A parser returns objects, or raises a ValueError that names the file.
"""

import json
import math
import pathlib
import re
import xml.etree.ElementTree
from typing import NamedTuple

import numpy as np

from siamfc_jax.data.sequences import Sequence


class Track(NamedTuple):
    """One annotated object on its way into a training set.

    Attributes:
      sequence: frames and boxes; its frames have `encoded(index)`, the bytes of the
        image file, and `name(index)`, what to call it.
      generated: bool[T], the box is interpolated, not drawn.
      flaw: why no frame may be used, one of `curation.REASONS`, or "".
      frame_size: width and height in pixels that the annotation says of every frame, None
        where it says nothing.
    """

    sequence: Sequence
    generated: np.ndarray
    flaw: str = ""
    frame_size: tuple[int, int] | None = None


def make_track(
    name: str,
    frames,
    boxes,
    *,
    source: str,
    numbers=None,
    category: str = "",
    occluded=False,
    generated=False,
    flaw: str = "",
    frame_size: tuple[int, int] | None = None,
) -> Track:
    """Makes a track from what an annotation file says.

    Args:
      name: unique within the set.
      frames: T frames.
      boxes: f[T, 4] in 0-based frame pixels.
      source: name of the set.
      numbers: int[T] frame numbers, 0 to T - 1 by default.
      category: class of the object.
      occluded: bool[T] or for all, partly hidden.
      generated: bool[T] or for all, the box is interpolated.
      flaw: why no frame may be used, or "".
      frame_size: width and height that the annotation says of every frame.

    Returns:
      The track, visible in all frames; a number beyond f32 is infinite there.
    """
    with np.errstate(over="ignore"):
        boxes = np.asarray(boxes, np.float64).reshape(-1, 4).astype(np.float32)
    numbers = np.arange(len(boxes)) if numbers is None else np.asarray(numbers, np.int64)
    visible, occluded, generated = (
        np.broadcast_to(flags, len(boxes)).astype(bool) for flags in (True, occluded, generated)
    )
    sequence = Sequence(
        name, frames, boxes, visible, numbers, source, category=category, occluded=occluded
    )
    return Track(sequence, generated, flaw, frame_size)


class AnnotatedObject(NamedTuple):
    """An `object` element of an ImageNet VID or Pascal VOC annotation file.

    Attributes:
      track: number within the video, "" in a still set.
      category: class name or WordNet number.
      corners: xmin, ymin, xmax, ymax as written; NaN where they are not numbers, as those of
        an outline without <bndbox>.
      occluded: partly hidden, as flagged.
      generated: box interpolated, as flagged.
      frame_size: width and height of the image in pixels, None where the file says none.
    """

    track: str
    category: str
    corners: tuple
    occluded: bool
    generated: bool
    frame_size: tuple[int, int] | None = None


def parse_xml(data: bytes, path: str | pathlib.Path) -> list[AnnotatedObject]:
    """Reads an annotation file of ImageNet VID or Pascal VOC.

    Args:
      data: content of the file.
      path: its name, for messages.

    Returns:
      The objects of the frame, in the order of the file.

    Raises:
      ValueError: the file is not XML, or an object has no name.
    """
    try:
        root = _parse(data)
        size = _parse_size(root)
        return [_parse_object(element, size) for element in root.iterfind("object")]
    except (xml.etree.ElementTree.ParseError, LookupError, ValueError) as error:
        raise ValueError(
            f"{path} is no annotation in the VOC form ({error}); expected <object> elements "
            "with <name> and <bndbox> of xmin, ymin, xmax, ymax"
        ) from None


def read_xml(path: pathlib.Path) -> list[AnnotatedObject]:
    """Reads an annotation file of ImageNet VID or Pascal VOC, see `parse_xml`.

    Args:
      path: of the file.

    Returns:
      The objects of the frame, in the order of the file.

    Raises:
      ValueError: the file cannot be read, or is no such annotation.
    """
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: no file can have such a name
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"{path} cannot be read ({reason})") from None
    return parse_xml(data, path)


def _parse(data):
    try:
        return xml.etree.ElementTree.fromstring(data)
    except ValueError:  # of encodings with several bytes a letter, such as gb2312
        encoding = re.search(rb"""encoding=["']([\w.-]+)""", data)
        if not encoding:
            raise
        return xml.etree.ElementTree.fromstring(data.decode(encoding[1].decode()))


def _parse_size(root):
    """Returns width and height of the image; tools that do not know them write zeros."""
    texts = (root.findtext(f"size/{name}", "").strip() for name in ("width", "height"))
    size = tuple(int(text) if re.fullmatch(r"\d{1,9}", text) else 0 for text in texts)
    return size if all(size) else None


def _parse_object(element, size) -> AnnotatedObject:
    name = element.findtext("name")
    if name is None:
        raise ValueError("<object> has no <name>")
    return AnnotatedObject(
        track=element.findtext("trackid", "").strip(),
        category=name.strip(),
        corners=tuple(_coordinate(element, side) for side in ("xmin", "ymin", "xmax", "ymax")),
        occluded=element.findtext("occluded", "0").strip() == "1",
        generated=element.findtext("generated", "0").strip() == "1",
        frame_size=size,
    )


def _coordinate(element, side):
    """Returns a number, or NaN, so that an object without a box costs no other of its image."""
    try:
        # Scripts have left marks of a byte order before numbers.
        return float(element.findtext(f"bndbox/{side}", "").strip("\ufeff \t\r\n"))
    except ValueError:
        return math.nan


def _text(value) -> str:
    """Returns text, or raises UnicodeEncodeError where JSON escaped half a character."""
    return str(value).encode().decode()


class Still(NamedTuple):
    """What a COCO file says of one image, or of one annotation that cannot be used.

    Attributes:
      file_name: of the image, below the folder of the split.
      frame_size: width and height of the image in pixels, None where the file says none.
      objects: (id or, without one, `at PLACE`, category, box `[x, y, w, h]`, crowd) of each object.
      problem: of an annotation that cannot be used: its id and why; "" for an image.
    """

    file_name: str
    frame_size: tuple[int, int] | None = None
    objects: tuple = ()
    problem: str = ""


def parse_coco(data: bytes, path: str | pathlib.Path) -> list[Still]:
    """Reads a COCO instances file.

    Args:
      data: content of the file.
      path: its name, for messages.

    Returns:
      The images that have objects, in the order of their ids, then the annotations that
      cannot be used: without a box of four numbers, or of an image or category that is not
      listed. Boxes are `[x, y, w, h]` in continuous 0-based pixels, as published.

    Raises:
      ValueError: the file is not JSON, or lacks a list or a field of an image or category.
    """
    try:
        content = json.loads(data)
        names = {_key(row["id"]): _text(row["name"]) for row in content["categories"]}
        stills = {
            _key(row["id"]): Still(_text(row["file_name"]), _coco_size(row))
            for row in content["images"]
        }
        objects: dict = {}
        problems = []
        for place, row in enumerate(list(content["annotations"])):
            has_id = isinstance(row, dict) and "id" in row
            label = f"{row['id']!a:.40}" if has_id else f"at {place}"
            try:
                image, entry = _parse_annotation(row, label, stills, names)
            except ValueError as error:
                problems.append(Still("", problem=f"annotation {label} {error}"))
            else:
                objects.setdefault(image, []).append(entry)
        images = [
            stills[key]._replace(objects=tuple(sorted(objects[key], key=lambda o: _order(o[0]))))
            for key in sorted(objects, key=_order)
        ]
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as e:
        raise ValueError(
            f"{path} is no COCO instances file ({type(e).__name__}: {e}); expected JSON with lists "
            "images, annotations (bbox of 4 numbers, image_id, category_id) and categories"
        ) from None
    return images + problems


def _key(value):
    """Returns an identity; tools write the one of an image as 7 and as "7" in the same file."""
    return int(value) if isinstance(value, str) and re.fullmatch(r"\d{1,18}", value) else value


def _order(value):
    return isinstance(value, str), value  # numbers first


def _coco_size(row):
    size = row.get("width"), row.get("height")
    return size if all(isinstance(side, int) and side > 0 for side in size) else None


def _parse_annotation(row, label, stills, names):
    """Returns the image's id and (id, category, box, crowd), or raises ValueError that says why."""
    if not isinstance(row, dict):
        raise ValueError("is no object with an id")
    known = {"image_id": stills, "category_id": names}
    for field, listed in known.items():
        value = _key(row.get(field))
        if isinstance(value, list | dict) or value not in listed:
            raise ValueError(f"has {field} {value!a:.40}, which is not listed")
    box = row.get("bbox")
    if not (isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))):
        raise ValueError(f"has bbox {box!a:.40}, not 4 numbers")
    identity = int(row["id"]) if _is_number(row.get("id")) else label.strip("'")
    entry = (identity, names[_key(row["category_id"])], tuple(map(float, box)))
    return _key(row["image_id"]), (*entry, bool(row.get("iscrowd", 0)))


def _is_number(value):
    """Says whether a value of JSON is a number that fits a float and is finite."""
    return isinstance(value, int | float) and abs(value) < 1e300 and math.isfinite(value)
