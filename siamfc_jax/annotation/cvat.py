"""CVAT for video 1.1: XML in which each object is a track of boxes.

https://docs.cvat.ai/docs/manual/advanced/xml_format/ CVAT keeps the boxes of key frames and
draws straight lines between them. So its key frames are those that a person drew, which also
have the attribute `drawn`, and as many of the tracked ones as bring the lines within half a
pixel of the rest: few enough to go on editing there.
"""

import math
import pathlib
import xml.etree.ElementTree as ET

import numpy as np

from siamfc_jax.annotation.tracks import Clip, Mark, Track, pieces
from siamfc_jax.files import write_whole

TOLERANCE = 0.5  # px by which a line between key frames may be off a box


def key_frames(marks: tuple[Mark, ...], tolerance: float = TOLERANCE) -> set[int]:
    """Chooses frames between which straight lines are as good as the boxes.

    Args:
      marks: of neighbouring frames; those that a person drew are chosen in any case.
      tolerance: px by which a coordinate may be off.

    Returns:
      Numbers of the chosen frames, the first and last among them.
    """
    boxes = np.array([mark.box for mark in marks])
    chosen, start = [0], 0
    for end in range(2, len(marks)):
        share = np.arange(1, end - start)[:, None] / (end - start)
        line = boxes[start] + share * (boxes[end] - boxes[start])
        off = np.abs(line - boxes[start + 1 : end]).max()
        if off > tolerance or marks[end - 1].key:
            start = end - 1
            chosen.append(start)
    return {marks[index].frame for index in [*chosen, len(marks) - 1]}


def write(path, clip: Clip, tracks: list[Track]) -> None:
    """Writes an XML file that CVAT imports as `CVAT 1.1` into a task of this video.

    Args:
      path: file to write.
      clip: the video.
      tracks: its objects; each name is a label that the task must have.

    Raises:
      OSError: the place cannot be written.
    """
    root = ET.Element("annotations")
    ET.SubElement(root, "version").text = "1.1"
    task = ET.SubElement(ET.SubElement(root, "meta"), "task")
    for name, text in (("name", clip.name), ("size", len(clip.frames)), ("mode", "interpolation")):
        ET.SubElement(task, name).text = str(text)
    labels = ET.SubElement(task, "labels")
    for track in tracks:
        label = ET.SubElement(labels, "label")
        ET.SubElement(label, "name").text = track.name
        attribute = ET.SubElement(ET.SubElement(label, "attributes"), "attribute")
        for name, text in (("name", "drawn"), ("mutable", "True"), ("input_type", "checkbox"),
                           ("default_value", "false"), ("values", "false")):  # fmt: skip
            ET.SubElement(attribute, name).text = text
    size = ET.SubElement(task, "original_size")
    ET.SubElement(size, "width").text = str(clip.width)
    ET.SubElement(size, "height").text = str(clip.height)
    ET.SubElement(task, "source").text = clip.name
    following = dict(zip(clip.frames, clip.frames[1:], strict=False))
    for number, track in enumerate(tracks):
        element = ET.SubElement(root, "track", id=str(number), label=track.name, source="semi-auto")
        for piece in pieces(clip, track):
            keys = key_frames(piece)
            for mark in piece:
                _add_box(element, mark.frame, mark, is_key=mark.frame in keys, outside=False)
            if piece[-1].frame in following:  # from there on it is gone
                _add_box(element, following[piece[-1].frame], piece[-1], is_key=True, outside=True)
    ET.indent(root)
    write_whole(path, ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _add_box(track, frame, mark, *, is_key, outside):
    x, y, w, h = mark.box
    box = ET.SubElement(
        track, "box", frame=str(frame), keyframe=str(int(is_key)), outside=str(int(outside)),
        occluded="0", xtl=f"{x:.3f}", ytl=f"{y:.3f}", xbr=f"{x + w:.3f}", ybr=f"{y + h:.3f}",
        z_order="0",
    )  # fmt: skip
    drawn = ET.SubElement(box, "attribute", name="drawn")
    drawn.text = "true" if mark.key and not outside else "false"


def read(path) -> tuple[Clip, list[Track], list[tuple[int, str]]]:
    """Reads an XML file that we or CVAT wrote.

    In a file of CVAT, which has no attribute `drawn`, its key frames are taken for drawn. A
    label of several tracks is a name of each with its number, such as `car 2`. Of a turned box,
    the upright one around it is taken.

    Args:
      path: the file.

    Returns:
      (clip, tracks, (frame, name) where an object is gone from).

    Raises:
      ValueError: the file is missing, or not of that form.
    """
    try:
        root = ET.fromstring(pathlib.Path(path).read_bytes())
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error
    except ET.ParseError as error:
        raise ValueError(f"{path} is not XML: {error}") from None
    elements = root.findall("track")
    if root.tag != "annotations" or not elements:
        raise ValueError(f"{path} has no track; expected 'CVAT for video 1.1', exported by CVAT")
    labels = [element.get("label", "") for element in elements]
    tracks, ends = [], []
    try:
        for number, element in enumerate(elements):
            name = labels[number]
            if labels.count(name) > 1:
                name = f"{name} {labels[: number + 1].count(name)}"
            marks = []
            for box in element.findall("box"):
                frame = int(box.attrib["frame"])
                if box.attrib["outside"] == "1":
                    ends.append((frame, name))
                else:
                    marks.append(_mark(frame, box))
            tracks.append(Track(name, tuple(marks)))
        count = int(root.findtext("meta//size") or 0)
        width, height = (int(root.findtext(f"meta//original_size/{side}") or 0)
                         for side in ("width", "height"))  # fmt: skip
    except (AttributeError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is not 'CVAT for video 1.1': {error}") from None
    clip = Clip(root.findtext(".//source") or "", width, height, 30.0, tuple(range(count)))
    return clip, tracks, ends


def _mark(frame, box):
    left, top, right, bottom = (float(box.attrib[side]) for side in ("xtl", "ytl", "xbr", "ybr"))
    w, h = right - left, bottom - top
    if turn := math.radians(float(box.get("rotation", 0))):  # the upright box around a turned one
        x, y, cos, sin = left + w / 2, top + h / 2, abs(math.cos(turn)), abs(math.sin(turn))
        w, h = w * cos + h * sin, w * sin + h * cos
        left, top = round(x - w / 2, 3), round(y - h / 2, 3)
    drawn = box.find("attribute[@name='drawn']")
    key = box.attrib["keyframe"] == "1" if drawn is None else drawn.text == "true"
    return Mark(frame, (left, top, round(w, 3), round(h, 3)), key)
