"""Reads still-image detection sets: every object is a track of one frame.

Units and tracks are as in datasets.py.
"""

import functools
import os
import pathlib

import cv2
import numpy as np

from siamfc_jax.data.annotations import Still, Track, make_track, parse_coco, read_xml
from siamfc_jax.data.sequences import ImageFiles


def list_voc(root: pathlib.Path, split: str) -> list[str]:
    """Lists the images of `ImageSets/Main/SPLIT.txt`, or all annotated ones where it is missing."""
    listing = root / "ImageSets" / "Main" / f"{split}.txt"
    if not listing.is_file():
        return sorted(path.stem for path in (root / "Annotations").glob("*.xml"))
    # The list of one class has a second column, which is passed over.
    lines = listing.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line.split()[0] for line in lines if line.strip()]


def read_voc(root: pathlib.Path, split: str, image: str) -> list[Track]:
    """Reads one image of a set in the Pascal VOC form.

    Corners are the first and last pixel the object covers, counted from 1.

    Args:
      root: holds `Annotations` and `JPEGImages`.
      split: not used.
      image: name without ending.

    Returns:
      A track an object.
    """
    path = root / "Annotations" / f"{image}.xml"
    frames = ImageFiles([root / "JPEGImages" / f"{image}.jpg"])
    tracks = []
    for number, thing in enumerate(read_xml(path)):
        x0, y0, x1, y1 = thing.corners
        box = [x0 - 1, y0 - 1, x1 - x0 + 1, y1 - y0 + 1]
        tracks.append(
            make_track(
                f"{image}/{number}",
                frames,
                [box],
                source="voc",
                category=thing.category,
                occluded=thing.occluded,
            )
        )
    return tracks


def list_coco(root: pathlib.Path, split: str) -> list[Still]:
    """Lists the images of `annotations/instances_SPLIT.json` that have objects."""
    path = root / "annotations" / f"instances_{split}.json"
    return parse_coco(path.read_bytes(), path) if path.is_file() else []


def read_coco(root: pathlib.Path, split: str, still: Still) -> list[Track]:
    """Turns the objects of one image of a COCO set into tracks."""
    frames = ImageFiles([root / split / still.file_name])
    return [
        make_track(
            f"{still.file_name}/{number}",
            frames,
            [box],
            source="coco",
            category=category,
            flaw="crowd" if crowd else "",
        )
        for number, category, box, crowd in still.objects
    ]


class EncodedImages(tuple):
    """Encoded images as the frames of a track, as far as curation needs them."""

    def encoded(self, index) -> bytes:
        """Returns the bytes of frame `index`."""
        return self[index]


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
    image = cv2.imdecode(np.frombuffer(example["image"], np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"the image of example {number} of {root} cannot be decoded")
    height, width = image.shape[:2]
    top, left, bottom, right = np.asarray(example["objects"]["bbox"]).reshape(-1, 4).T
    boxes = np.stack([left, top, right - left, bottom - top], 1) * [width, height, width, height]
    crowds = example["objects"].get("is_crowd", [False] * len(boxes))
    return [
        make_track(
            f"{number}/{index}",
            EncodedImages([example["image"]]),
            [box],
            source=info.name,
            category=labels.int2str(int(label)),
            flaw="crowd" if crowd else "",
        )
        for index, (box, label, crowd) in enumerate(
            zip(boxes, example["objects"]["label"], crowds, strict=True)
        )
    ]
