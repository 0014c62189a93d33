"""Reads still-image detection sets: every object is a track of one frame.

A unit, what is read at a time, is one image.
"""

import functools
import os
import pathlib
import re

import numpy as np

from siamfc_jax.data.annotations import Still, Track, make_track, parse_coco, read_xml
from siamfc_jax.data.layouts import list_files
from siamfc_jax.data.sequences import ImageFiles
from siamfc_jax.images import SUFFIXES, read_rgb


def list_voc(root: pathlib.Path, split: str) -> list[str]:
    """Lists the images of `ImageSets/Main/SPLIT.txt`, or all annotated ones where it is missing."""
    listing = root / "ImageSets" / "Main" / f"{split}.txt"
    if not listing.is_file():
        return [path.stem for path in list_files(root / "Annotations", "*.xml")]
    lines = listing.read_text(encoding="utf-8-sig", errors="replace").split("\n")
    return [_listed_name(root, line.strip()) for line in lines if line.strip()]


def _listed_name(root, line):
    """Returns the name in a line; the list of one class has a second column of -1, 0 or 1."""
    name = re.sub(r"\s+(-1|0|1)$", "", line)
    if name != line and _is_below(line) and (root / "Annotations" / f"{line}.xml").is_file():
        return line  # a name with a blank that ends in a number
    return name


def _is_below(name):
    """Says whether a name in an annotation stays below the folder that it is relative to."""
    parts = pathlib.PureWindowsPath(name).parts  # knows the separators of all systems
    absolute = name.startswith(("/", "\\")) or pathlib.PurePath(name).anchor
    return bool(parts) and not absolute and ".." not in parts and "\0" not in name


def _check_below(name, where):
    if not _is_below(name):
        raise ValueError(
            f"{where} names {name[:80]!r}, which is not a file in the folder of the images"
        )


def read_voc(root: pathlib.Path, split: str, image: str) -> list[Track]:
    """Reads one image of a set in the Pascal VOC form.

    Corners are the first and last pixel the object covers, counted from 1.

    Args:
      root: holds `Annotations` and `JPEGImages`.
      split: not used.
      image: name without ending; the image may have any of `images.SUFFIXES`.

    Returns:
      A track an object.

    Raises:
      ValueError: the annotation cannot be read, or the name leads out of the folder.
    """
    _check_below(image, f"a list of {root}")
    path = root / "Annotations" / f"{image}.xml"
    frames = ImageFiles([_find_image(root / "JPEGImages", image)])
    tracks = []
    for number, annotated in enumerate(read_xml(path)):
        x0, y0, x1, y1 = annotated.corners
        box = [x0 - 1, y0 - 1, x1 - x0 + 1, y1 - y0 + 1]
        tracks.append(
            make_track(
                f"{image}/{number}",
                frames,
                [box],
                source="voc",
                category=annotated.category,
                occluded=annotated.occluded,
                frame_size=annotated.frame_size,
            )
        )
    return tracks


def _find_image(folder, name):
    """Returns the file of an image whose ending is not known, that of a JPEG if there is none."""
    endings = [ending for suffix in (".jpg", *SUFFIXES) for ending in (suffix, suffix.upper())]
    paths = [folder / f"{name}{ending}" for ending in endings]
    return next((path for path in paths if path.is_file()), paths[0])


def list_coco(root: pathlib.Path, split: str) -> list[Still]:
    """Lists the images of `annotations/instances_SPLIT.json` that have objects."""
    path = root / "annotations" / f"instances_{split}.json"
    return parse_coco(path.read_bytes(), path) if path.is_file() else []


def read_coco(root: pathlib.Path, split: str, still: Still) -> list[Track]:
    """Turns the objects of one image of a COCO set into tracks.

    Args:
      root: holds `annotations` and a folder of images for each split.
      split: of the set.
      still: what the JSON file says of the image.

    Returns:
      A track an object.

    Raises:
      ValueError: it is an annotation that cannot be used, or an image outside the set's folder.
    """
    path = root / "annotations" / f"instances_{split}.json"
    if still.problem:
        raise ValueError(f"{path}: {still.problem}")
    _check_below(still.file_name, path)
    # Tools on Windows write their separator.
    frames = ImageFiles([root / split / still.file_name.replace("\\", "/")])
    return [
        make_track(
            f"{still.file_name}/{number}",
            frames,
            [box],
            source="coco",
            category=category,
            flaw="crowd" if crowd else "",
            frame_size=still.frame_size,
        )
        for number, category, box, crowd in still.objects
    ]


class EncodedImage:
    """One encoded image as the frame of a track, as far as curation needs it."""

    def __init__(self, data: bytes, name: str):
        self._data, self._name = data, name

    def __len__(self):
        return 1

    def name(self, index: int) -> str:
        """Returns what to call the image in messages."""
        return self._name

    def encoded(self, index: int) -> bytes:
        """Returns the bytes of the image."""
        return self._data


def list_tfds(root: pathlib.Path, split: str) -> list[int]:
    """Lists the examples of a detection set that tensorflow-datasets has prepared, by number."""
    return list(range(len(_open_tfds(root, split, os.getpid())[1]))) if root.is_dir() else []


@functools.lru_cache(maxsize=1)
def _open_tfds(root: pathlib.Path, split: str, process: int):
    """Opens a set once a process: an open reader does not survive a fork."""
    import tensorflow_datasets as tfds  # here, as the other sets do without it

    folders = [path.parent for path in root.rglob("features.json")]
    if len(folders) != 1:
        raise ValueError(f"{root} holds {len(folders)} tensorflow-datasets folders, expected one")
    builder = tfds.builder_from_directory(folders[0])
    splits, form = sorted(builder.info.splits), builder.info.file_format.value
    if form != "array_record" or split not in splits:
        raise ValueError(
            f"{folders[0]} has splits {splits} in {form} form; expected split '{split}' in "
            "array_record form, which builders write with file_format='array_record'"
        )
    decoders = {"image": tfds.decode.SkipDecoding()}
    return builder.info, builder.as_data_source(split, decoders=decoders)


def read_tfds(root: pathlib.Path, split: str, number: int) -> list[Track]:
    """Reads one example with features `image` and `objects`, as those of tfds' coco and voc.

    A `bbox` there is ymin, xmin, ymax, xmax in shares of the image.

    Args:
      root: folder below which one prepared set lies.
      split: of that set.
      number: of the example.

    Returns:
      A track an object.

    Raises:
      ValueError: the set has no such features, or the image cannot be read.
    """
    info, source = _open_tfds(root, split, os.getpid())
    try:
        labels, example = info.features["objects"]["label"], source[number]
    except KeyError as error:
        raise ValueError(f"{root} has no feature {error}; expected objects") from None
    frames = EncodedImage(example["image"], f"example {number} of {root}")
    height, width = read_rgb(frames.encoded(0), name=frames.name(0)).shape[:2]
    # [N, 4] of N objects to four [N]
    top, left, bottom, right = np.asarray(example["objects"]["bbox"]).reshape(-1, 4).T
    boxes = np.stack([left, top, right - left, bottom - top], 1) * [width, height, width, height]
    crowds = example["objects"].get("is_crowd", [False] * len(boxes))
    return [
        make_track(
            f"{number}/{index}",
            frames,
            [box],
            source=info.name,
            category=labels.int2str(int(label)),
            flaw="crowd" if crowd else "",
        )
        for index, (box, label, crowd) in enumerate(
            zip(boxes, example["objects"]["label"], crowds, strict=True)
        )
    ]
