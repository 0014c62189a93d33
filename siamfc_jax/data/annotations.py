"""What data sets say of the objects in their videos, and the parsers of XML and JSON.

A parser turns any bytes into objects or a ValueError that names the file.
"""

import json
import xml.etree.ElementTree
from typing import NamedTuple

import numpy as np

from siamfc_jax.data.sequences import Sequence


class Track(NamedTuple):
    """One annotated object, with what a data set says of it beyond its boxes.

    Attributes:
      sequence: frames and boxes; its frames have `encoded(index)`, the bytes of the
        image file.
      category: class in the words of the data set, or "".
      occluded: bool[T], partly hidden.
      generated: bool[T], the box is interpolated, not drawn.
      flaw: why no frame may be used, one of `curation.REASONS`, or "".
    """

    sequence: Sequence
    category: str
    occluded: np.ndarray
    generated: np.ndarray
    flaw: str = ""


def make_track(
    name,
    frames,
    boxes,
    *,
    source,
    numbers=None,
    visible=True,
    category="",
    occluded=False,
    generated=False,
    flaw="",
) -> Track:
    """Makes a track.

    Args:
      name: unique within the set.
      frames: T frames.
      boxes: f[T, 4] in 0-based frame pixels.
      source: name of the set.
      numbers: int[T] frame numbers, 0 to T - 1 by default.
      visible: bool[T] or for all.
      category: see `Track`, as what follows.
      occluded: bool[T] or for all.
      generated: bool[T] or for all.
      flaw: see `Track`.

    Returns:
      The track; a number beyond f32 is infinite there.
    """
    with np.errstate(over="ignore"):
        boxes = np.asarray(boxes, np.float64).reshape(-1, 4).astype(np.float32)
    numbers = np.arange(len(boxes)) if numbers is None else np.asarray(numbers, np.int64)
    visible, occluded, generated = (
        np.broadcast_to(flags, len(boxes)).astype(bool) for flags in (visible, occluded, generated)
    )
    sequence = Sequence(name, frames, boxes, visible, numbers, source)
    return Track(sequence, category, occluded, generated, flaw)


class AnnotatedObject(NamedTuple):
    """An `object` element of an ImageNet VID or Pascal VOC annotation file.

    Attributes:
      track: number within the video, "" in a still set.
      category: class name or WordNet number.
      corners: xmin, ymin, xmax, ymax as written.
      occluded: partly hidden, as flagged.
      generated: box interpolated, as flagged.
    """

    track: str
    category: str
    corners: tuple
    occluded: bool
    generated: bool


def parse_xml(data: bytes, path) -> list[AnnotatedObject]:
    """Reads an annotation file of ImageNet VID or Pascal VOC.

    Args:
      data: content of the file.
      path: its name, for messages.

    Returns:
      The objects of the frame, in the order of the file.

    Raises:
      ValueError: the file is not XML, or an object has no name or no whole box.
    """
    try:
        root = xml.etree.ElementTree.fromstring(data)
        return [_parse_object(element) for element in root.iterfind("object")]
    except (xml.etree.ElementTree.ParseError, LookupError, ValueError) as error:
        raise ValueError(
            f"{path} is no annotation in the VOC form ({error}); expected <object> elements "
            "with <name> and <bndbox> of xmin, ymin, xmax, ymax"
        ) from None


def read_xml(path) -> list[AnnotatedObject]:
    """Reads an annotation file as `parse_xml` does.

    Args:
      path: of the file, a pathlib.Path.

    Returns:
      The objects of the frame.

    Raises:
      ValueError: there is no such file, or it is none of these.
    """
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: no file can have such a name
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"{path} cannot be read ({reason})") from None
    return parse_xml(data, path)


def _parse_object(element) -> AnnotatedObject:
    def text(name):
        value = element.findtext(name)
        if value is None:
            raise ValueError(f"<object> has no <{name}>")
        return value.strip()

    return AnnotatedObject(
        track=element.findtext("trackid", "").strip(),
        category=text("name"),
        corners=tuple(float(text(f"bndbox/{k}")) for k in ("xmin", "ymin", "xmax", "ymax")),
        occluded=element.findtext("occluded", "0").strip() == "1",
        generated=element.findtext("generated", "0").strip() == "1",
    )


def _text(value) -> str:
    """Returns text, or raises UnicodeEncodeError where JSON escaped half a character."""
    return str(value).encode().decode()


class Still(NamedTuple):
    """One image of a COCO file: its file name and (id, category, box, crowd) of each object."""

    file_name: str
    objects: tuple


def parse_coco(data: bytes, path) -> list[Still]:
    """Reads a COCO instances file.

    Args:
      data: content of the file.
      path: its name, for messages.

    Returns:
      The images that have objects, in the order of their ids. Boxes are
      `[x, y, w, h]` in continuous 0-based pixels, as published.

    Raises:
      ValueError: the file is not JSON or lacks a list or a field.
    """
    try:
        content = json.loads(data)
        names = {row["id"]: _text(row["name"]) for row in content["categories"]}
        objects = {}
        for row in content["annotations"]:
            box = tuple(float(value) for value in row["bbox"])
            if len(box) != 4:
                raise ValueError(f"bbox of annotation {row['id']} has {len(box)} numbers")
            category = names[row["category_id"]]
            entry = (int(row["id"]), category, box, bool(row.get("iscrowd", 0)))
            objects.setdefault(row["image_id"], []).append(entry)
        images = {row["id"]: _text(row["file_name"]) for row in content["images"]}
        return [Still(images[key], tuple(sorted(objects[key]))) for key in sorted(objects)]
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as e:
        raise ValueError(
            f"{path} is no COCO instances file ({type(e).__name__}: {e}); expected JSON with lists "
            "images, annotations (bbox of 4 numbers, image_id, category_id) and categories"
        ) from None
