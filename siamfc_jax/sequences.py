"""Reads annotated videos into one form.

This is the border where the conventions of the published sets (1-based pixels,
polygons, commas or tabs) become ours: boxes `[x, y, w, h]` in continuous
0-based frame pixels, left/top edge and extent.
"""

import pathlib
from typing import NamedTuple

import cv2
import numpy as np


class ImageFiles:
    """Image files as a sequence of RGB frames, each read when it is indexed."""

    def __init__(self, paths):
        self.paths = tuple(str(path) for path in paths)

    def __len__(self):
        return len(self.paths)

    def encoded(self, index) -> bytes:
        """Returns the bytes of the file of frame `index`."""
        return pathlib.Path(self.paths[index]).read_bytes()

    def __getitem__(self, index):
        """Returns frame `index`, u8[H, W, 3] in RGB order."""
        path = self.paths[index]
        image = cv2.imread(path, cv2.IMREAD_COLOR)
        if image is None:
            raise ValueError(f"cannot read image {path}; expected a readable JPEG or PNG file")
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


class Sequence(NamedTuple):
    """One object through one video.

    Attributes:
      name: unique within its data set.
      frames: anything with a length T whose items are u8[H, W, 3] RGB frames,
        read when indexed.
      boxes: f32[T, 4] `[x, y, w, h]` in frame pixels, 0-based; NaN where the
        object has no annotation.
      visible: bool[T], False where the object is absent or has no annotation.
      frame_numbers: i64[T], numbers in the source video: what a gap is counted in.
      source: name of the set that it came from, where one was given.
    """

    name: str
    frames: ImageFiles
    boxes: np.ndarray
    visible: np.ndarray
    frame_numbers: np.ndarray
    source: str = ""


def read_boxes(path, *, one_based: bool) -> np.ndarray:
    """Reads a text file of one box a line.

    Args:
      path: lines of four numbers divided by commas, tabs or blanks; NaN stands
        for no annotation.
      one_based: whether the first pixel is 1, as in MATLAB-born sets.

    Returns:
      f32[T, 4] boxes, 0-based.

    Raises:
      ValueError: a line is not four numbers; the text names file and line.
    """
    boxes = []
    text = pathlib.Path(path).read_text(encoding="utf-8", errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.replace(",", " ").split()
        if not fields:
            continue
        try:
            values = [float(field) for field in fields]
        except ValueError:
            values = []
        if len(values) != 4:
            raise ValueError(f"{path}, line {number}: expected 4 numbers, got {line[:80]!r}")
        boxes.append(values)
    if not boxes:
        raise ValueError(f"{path} holds no box; expected one line of x,y,w,h a frame")
    boxes = np.asarray(boxes, np.float32)
    if one_based:
        boxes[:, :2] -= 1
    return boxes


def read_got10k(root, split: str) -> list[Sequence]:
    """Reads the GOT-10k layout: `root/split/list.txt`, `NAME/groundtruth.txt`, `NAME/*.jpg`.

    Boxes are taken as published (0-based). `absence.label`, where there is one,
    marks frames without the object; `source_frames` in `meta_info.ini` gives the
    original frame numbers.

    Args:
      root: folder that holds the split.
      split: `train`, `val` or `test`.

    Returns:
      Sequences in the order of `list.txt`.

    Raises:
      ValueError: `list.txt` is missing or empty, or a sequence has more boxes
        than images.
    """
    folder = pathlib.Path(root) / split
    listing = folder / "list.txt"
    if not listing.is_file():
        raise ValueError(f"no {listing}; expected the GOT-10k layout, one track name a line")
    names = listing.read_text(encoding="utf-8").split()
    if not names:
        raise ValueError(f"{listing} is empty; expected one track name a line")
    return [_read_got10k_sequence(folder / name) for name in names]


def _read_got10k_sequence(folder: pathlib.Path) -> Sequence:
    boxes = read_boxes(folder / "groundtruth.txt", one_based=False)
    paths = sorted(folder.glob("*.jpg"))
    if len(paths) < len(boxes):
        raise ValueError(f"{folder} has {len(boxes)} boxes but {len(paths)} images")
    visible = np.isfinite(boxes).all(axis=1)
    absence = folder / "absence.label"
    if absence.is_file():
        visible &= np.array(absence.read_text().split()[: len(boxes)], int) == 0
    numbers, source = np.arange(len(boxes)), ""
    meta = folder / "meta_info.ini"
    for line in meta.read_text(encoding="utf-8").splitlines() if meta.is_file() else ():
        key, _, value = line.partition(":")
        if key.strip() == "source_frames":
            numbers = np.array(value.split(), int)
        elif key.strip() == "source":
            source = value.strip()
    return Sequence(folder.name, ImageFiles(paths[: len(boxes)]), boxes, visible, numbers, source)


def read_otb(root) -> list[Sequence]:
    """Reads every sequence in the OTB layout below a folder.

    Args:
      root: holds `NAME/img/*.jpg` and `NAME/groundtruth_rect.txt` (1-based).

    Returns:
      Sequences by name.

    Raises:
      ValueError: nothing in that layout lies below `root`.
    """
    sequences = []
    for path in sorted(pathlib.Path(root).glob("*/groundtruth_rect.txt")):
        boxes = read_boxes(path, one_based=True)
        images = sorted((path.parent / "img").glob("*.jpg"))[: len(boxes)]
        visible = np.isfinite(boxes).all(axis=1)
        sequences.append(
            Sequence(
                path.parent.name, ImageFiles(images), boxes, visible, np.arange(len(boxes))
            )
        )
    if not sequences:
        raise ValueError(f"no NAME/groundtruth_rect.txt below {root}; expected the OTB layout")
    return sequences
