"""The table of training sets, and the reader of ImageNet VID.

Each set lists its units (a video or a still image) quickly and reads one unit at a
time into the tracks of its objects, in continuous 0-based frame pixels. The layouts of
videos that evaluation reads as well are in `data.layouts`, the still images in image_sets.py.
"""

import pathlib
import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from siamfc_jax.data import layouts
from siamfc_jax.data.annotations import Track, make_track, read_xml
from siamfc_jax.data.sequences import ImageFiles
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
    folders = layouts.list_files(base, "*", "*/*")
    snippets = [path for path in folders if re.search(r"_(train|val)_\d{8}$", path.name)]
    return [path.relative_to(base).as_posix() for path in snippets]


def _read_vid(root: pathlib.Path, split: str, snippet: str) -> list[Track]:
    """Reads one snippet, every object of it a track.

    Corners are the first and last pixel the object covers, counted from 0, hence
    the + 1 in its width, as in the authors' code (per_frame_annotation.m).
    """
    objects = {}
    for path in layouts.list_files(root / "Annotations" / "VID" / split / snippet, "*.xml"):
        if not re.fullmatch(r"\d{1,18}", path.stem):  # 18 digits fit an i64
            raise ValueError(f"{path} is not named by a frame number, as 000000.xml")
        image = root / "Data" / "VID" / split / snippet / f"{path.stem}.JPEG"
        for annotated in read_xml(path):
            if not annotated.track:
                raise ValueError(f"{path} has an <object> without <trackid>")
            frame = (image, int(path.stem), annotated)
            objects.setdefault(annotated.track, []).append(frame)
    tracks = []
    for name, rows in sorted(objects.items()):
        paths, numbers, shown = zip(*rows, strict=True)
        corners = np.array([annotated.corners for annotated in shown])  # [T, 4]
        with np.errstate(invalid="ignore"):  # inf - inf is NaN, which curation drops as degenerate
            boxes = np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2] + 1])
        tracks.append(
            make_track(
                f"{snippet}/{name}",
                ImageFiles(paths),
                boxes,
                source="ilsvrc_vid",
                numbers=numbers,
                category=shown[0].category,
                occluded=[annotated.occluded for annotated in shown],
                frame_size=shown[0].frame_size,
                generated=[annotated.generated for annotated in shown],
            )
        )
    return tracks


def _videos(list_paths: Callable, read: Callable, name: str) -> tuple[Callable, Callable]:
    """Makes the two functions of a `Reader` from those of a layout in `data.layouts`."""

    def list_units(root: pathlib.Path, split: str) -> list[str]:
        return [path.relative_to(root).as_posix() for path in list_paths(root, split)]

    def read_unit(root: pathlib.Path, split: str, unit: str) -> list[Track]:
        sequence = read(root / unit, strict=False)
        sequence = sequence._replace(source=sequence.source or name)
        if sequence.occluded is None:
            sequence = sequence._replace(occluded=np.zeros(len(sequence.boxes), bool))
        flaw = "known bad" if sequence.name in KNOWN_BAD_GOT10K else ""
        return [Track(sequence, np.zeros(len(sequence.boxes), bool), flaw)]

    return list_units, read_unit


def _list_otb(root: pathlib.Path, split: str) -> list[pathlib.Path]:
    return layouts.list_otb(root)


def _list_lasot(root: pathlib.Path, split: str) -> list[pathlib.Path]:
    return layouts.list_lasot(root, split, named_only=True)


READERS = {
    "vid": Reader(_list_vid, _read_vid, "train", "Annotations/VID/SPLIT and Data/VID/SPLIT"),
    "got10k": Reader(
        *_videos(layouts.list_got10k, layouts.read_got10k_sequence, "got10k"),
        "train",
        "SPLIT/list.txt and SPLIT/NAME/groundtruth.txt",
    ),
    "lasot": Reader(
        *_videos(_list_lasot, layouts.read_lasot_sequence, "lasot"),
        "training",
        "SPLIT_set.txt and CLASS/CLASS-N/groundtruth.txt",
    ),
    "trackingnet": Reader(
        *_videos(layouts.list_trackingnet, layouts.read_trackingnet_sequence, "trackingnet"),
        "TRAIN_0",
        "SPLIT/anno/NAME.txt and SPLIT/frames",
    ),
    "folder": Reader(
        *_videos(layouts.list_folders, layouts.read_got10k_sequence, "folder"),
        "train",
        "NAME/groundtruth.txt and NAME/*.jpg",
    ),
    "otb": Reader(
        *_videos(_list_otb, layouts.read_otb_sequence, "otb"),
        "train",
        "NAME/groundtruth_rect.txt and NAME/img/*.jpg",
    ),
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
