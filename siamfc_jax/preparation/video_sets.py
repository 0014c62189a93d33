"""Finds and reads the training sets: published folders become tracks.

Each set lists its units (a video or a still image) quickly and reads one unit at a
time into the tracks of its objects. Boxes become `[x, y, w, h]` in continuous
0-based frame pixels here, in stills.py and in groundtruth.py.
"""

import pathlib
import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from siamfc_jax.data.annotations import Track, make_track, read_xml
from siamfc_jax.data.groundtruth import read_boxes, read_labels, read_names
from siamfc_jax.data.sequences import ImageFiles, images, read_meta
from siamfc_jax.preparation import image_sets

# Frames and boxes do not belong together there: got-10k/toolkit, issues 10 and 29.
KNOWN_BAD_GOT10K = {
    f"GOT-10k_Train_{number:06d}" for number in (1636, 1638, *range(8623, 8638), 9058, 9059)
}


class Reader(NamedTuple):
    """How one published set is read.

    Attributes:
      list_units: (root, split) -> units; empty where the layout is not met.
      read: (root, split, unit) -> tracks. Raises ValueError or OSError where an
        annotation cannot be read; images are not looked at.
      split: the usual one.
      layout: what `root` must hold.
    """

    list_units: Callable
    read: Callable
    split: str
    layout: str


def _list_vid(root: pathlib.Path, split: str) -> list[str]:
    base = root / "Annotations" / "VID" / split
    # Training snippets lie in four folders ILSVRC2015_VID_train_000N, validation ones do not.
    found = [path for pattern in ("*", "*/*") for path in base.glob(pattern)]
    found = [path for path in found if re.search(r"_(train|val)_\d{8}$", path.name)]
    return sorted(path.relative_to(base).as_posix() for path in found)


def _read_vid(root: pathlib.Path, split: str, snippet: str) -> list[Track]:
    """Reads one snippet, every object of it a track.

    Corners are the first and last pixel the object covers, counted from 0, hence
    the + 1 in its width, as in the authors' code (per_frame_annotation.m).
    """
    objects = {}
    for path in sorted((root / "Annotations" / "VID" / split / snippet).glob("*.xml")):
        if not path.stem.isdecimal():
            raise ValueError(f"{path} is not named by a frame number, as 000000.xml")
        image = root / "Data" / "VID" / split / snippet / f"{path.stem}.JPEG"
        for thing in read_xml(path):
            if not thing.track:
                raise ValueError(f"{path} has an <object> without <trackid>")
            objects.setdefault(thing.track, []).append((image, int(path.stem), thing))
    tracks = []
    for name, rows in sorted(objects.items()):
        paths, numbers, things = zip(*rows, strict=True)
        corners = np.array([thing.corners for thing in things])
        with np.errstate(invalid="ignore"):  # inf - inf is as good a mark of nonsense
            boxes = np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2] + 1])
        tracks.append(
            make_track(
                f"{snippet}/{name}",
                ImageFiles(paths),
                boxes,
                source="ilsvrc_vid",
                numbers=numbers,
                category=things[0].category,
                occluded=[thing.occluded for thing in things],
                generated=[thing.generated for thing in things],
            )
        )
    return tracks


def _names(listing: pathlib.Path) -> list[str]:
    return read_names(listing) if listing.is_file() else []


def _list_got10k(root: pathlib.Path, split: str) -> list[str]:
    return _names(root / split / "list.txt")


def _read_got10k(root: pathlib.Path, split: str, name: str) -> list[Track]:
    """Reads one video; other than in evaluation, single images may be missing.

    A frame is absent where `absence.label` is not 0, or `cover.label`, the part in
    sight in eighths, is 0.
    """
    folder = root / split / name
    boxes = read_boxes(folder / "groundtruth.txt", one_based=False)
    meta = read_meta(folder / "meta_info.ini", len(boxes))
    cover = _flags(folder / "cover.label", len(boxes), missing=8)
    absence = _flags(folder / "absence.label", len(boxes), missing=0)
    track = make_track(
        name,
        ImageFiles(folder / f"{frame + 1:08d}.jpg" for frame in range(len(boxes))),
        boxes,
        source=meta.source or "got10k",
        numbers=meta.source_frames,
        visible=(absence == 0) & (cover > 0),
        category=meta.category,
        occluded=cover < 8,
        flaw="known bad" if name in KNOWN_BAD_GOT10K else "",
    )
    return [track]


def _flags(path: pathlib.Path, count: int, *, missing: int) -> np.ndarray:
    return read_labels(path, count) if path.is_file() else np.full(count, missing)


def _list_folder(root: pathlib.Path, split: str) -> list[str]:
    return sorted(path.parent.name for path in root.glob("*/groundtruth.txt"))


def _read_folder(root: pathlib.Path, split: str, name: str) -> list[Track]:
    return _read_got10k(root, "", name)


def _list_otb(root: pathlib.Path, split: str) -> list[str]:
    # Two objects in one video have files ending in .1.txt and .2.txt.
    found = root.glob("*/groundtruth_rect*.txt")
    return sorted(path.relative_to(root).as_posix() for path in found)


def _read_otb(root: pathlib.Path, split: str, annotation: str) -> list[Track]:
    path = root / annotation
    boxes = read_boxes(path, one_based=True)
    files = images(path.parent / "img")
    if len(files) != len(boxes):
        raise ValueError(f"{path} has {len(boxes)} boxes, but there are {len(files)} images")
    return [make_track(annotation, ImageFiles(files), boxes, source="otb")]


def _list_lasot(root: pathlib.Path, split: str) -> list[str]:
    return _names(root / f"{split}_set.txt")


def _read_lasot(root: pathlib.Path, split: str, name: str) -> list[Track]:
    """Reads one video, absent where fully occluded or out of view; boxes count from 1."""
    category = name.rpartition("-")[0]
    folder = root / category / name
    boxes = read_boxes(folder / "groundtruth.txt", one_based=True)
    hidden = _flags(folder / "full_occlusion.txt", len(boxes), missing=0)
    away = _flags(folder / "out_of_view.txt", len(boxes), missing=0)
    frames = ImageFiles(folder / "img" / f"{frame + 1:08d}.jpg" for frame in range(len(boxes)))
    visible = (hidden == 0) & (away == 0)
    return [make_track(name, frames, boxes, source="lasot", visible=visible, category=category)]


def _list_trackingnet(root: pathlib.Path, split: str) -> list[str]:
    return sorted(path.stem for path in (root / split / "anno").glob("*.txt"))


def _read_trackingnet(root: pathlib.Path, split: str, name: str) -> list[Track]:
    boxes = read_boxes(root / split / "anno" / f"{name}.txt", one_based=False)
    folder = root / split / "frames" / name
    frames = ImageFiles(folder / f"{frame}.jpg" for frame in range(len(boxes)))
    return [make_track(name, frames, boxes, source="trackingnet")]


READERS = {
    "vid": Reader(_list_vid, _read_vid, "train", "Annotations/VID/SPLIT and Data/VID/SPLIT"),
    "got10k": Reader(
        _list_got10k, _read_got10k, "train", "SPLIT/list.txt and SPLIT/NAME/groundtruth.txt"
    ),
    "lasot": Reader(
        _list_lasot, _read_lasot, "training", "SPLIT_set.txt and CLASS/CLASS-N/groundtruth.txt"
    ),
    "trackingnet": Reader(
        _list_trackingnet, _read_trackingnet, "TRAIN_0", "SPLIT/anno/NAME.txt and SPLIT/frames"
    ),
    "folder": Reader(_list_folder, _read_folder, "train", "NAME/groundtruth.txt and NAME/*.jpg"),
    "otb": Reader(_list_otb, _read_otb, "train", "NAME/groundtruth_rect.txt and NAME/img/*.jpg"),
    "voc": Reader(
        image_sets.list_voc,
        image_sets.read_voc,
        "trainval",
        "Annotations/NAME.xml, JPEGImages/NAME.jpg",
    ),
    "coco": Reader(
        image_sets.list_coco,
        image_sets.read_coco,
        "train2017",
        "annotations/instances_SPLIT.json and SPLIT/*.jpg",
    ),
    "tfds": Reader(
        image_sets.list_tfds,
        image_sets.read_tfds,
        "train",
        "one folder with features.json and records",
    ),
}
