"""Annotated videos in one form, whatever published them.

Boxes are `[x, y, w, h]` in continuous 0-based frame pixels, left/top edge and
extent. Here are the two layouts that training reads as well; the readers of the
benchmarks are in benchmarks.py.
"""

import itertools
import pathlib
import re
from typing import NamedTuple

import cv2
import numpy as np

from siamfc_jax.data import otb_table
from siamfc_jax.data.groundtruth import read_boxes, read_labels, read_names


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
        """Returns frame `index`, u8[H, W, 3] in RGB order; of a slice, the files in it."""
        if isinstance(index, slice):
            return ImageFiles(self.paths[index])
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
        read when indexed, and that can be sliced.
      boxes: f32[T, 4] `[x, y, w, h]` in frame pixels, 0-based; NaN where the
        object has no annotation.
      visible: bool[T], False where the object is absent or has no annotation.
      frame_numbers: i64[T], numbers in the source video: what a gap is counted in.
      source: name of the set that it came from, where one was given.
      attributes: names of the difficulties the benchmark ascribes to it.
      regions: T true regions of VOT, f64[4] or corners f64[2 N]; None elsewhere.
      anchors: i64[T] of VOT's multi-start runs: 1 starts one forwards, -1 one
        backwards; None elsewhere.
    """

    name: str
    frames: ImageFiles
    boxes: np.ndarray
    visible: np.ndarray
    frame_numbers: np.ndarray
    source: str = ""
    attributes: tuple[str, ...] = ()
    regions: list[np.ndarray] | None = None
    anchors: np.ndarray | None = None


def part(sequence: Sequence, frames: slice) -> Sequence:
    """Returns some frames of a sequence, in the order of the slice.

    Args:
      sequence: the whole.
      frames: which; a negative step runs backwards.
    """
    changes = {
        name: value[frames]
        for name, value in sequence._asdict().items()
        if name not in ("name", "source", "attributes") and value is not None
    }
    return sequence._replace(**changes)


def choose(sequences, names) -> list[Sequence]:
    """Returns the sequences of some names.

    Args:
      sequences: to choose from.
      names: which; None for all.

    Returns:
      them in their old order.

    Raises:
      ValueError: there is no sequence of a name.
    """
    unknown = sorted(set(names or []) - {sequence.name for sequence in sequences})
    if unknown:
        raise ValueError(f"there is no sequence {', '.join(unknown)} in --data")
    return [s for s in sequences if names is None or s.name in names]


def assemble(name: str, folder, paths, boxes, *, visible=None, **fields) -> Sequence:
    """Joins image files and boxes into a sequence.

    Args:
      name: of the sequence.
      folder: where its images lie, for the message.
      paths: T image files whose names end in the frame's number.
      boxes: f32[T, 4].
      visible: bool[T], what the set says of visibility; all by default.
      **fields: further fields of Sequence.

    Returns:
      Sequence; frames without a solid box are not visible.

    Raises:
      ValueError: there are not as many images as boxes; the text names the first
        number missing, if one is.
    """
    paths = list(paths)
    if len(paths) != len(boxes):
        raise ValueError(
            f"{name} has {len(boxes)} boxes but {len(paths)} images in {folder}{_gap(paths)}"
        )
    solid = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1)
    if visible is not None:
        solid &= visible
    fields.setdefault("frame_numbers", np.arange(len(boxes)))
    return Sequence(name, ImageFiles(paths), boxes, solid, **fields)


def _gap(paths):
    numbers = [frame_number(path) for path in paths]
    for before, after in itertools.pairwise(numbers):
        if after != before + 1:
            return f"; the first one missing is number {before + 1}"
    return ""


def frame_number(path: pathlib.Path) -> int:
    """Returns the number that a frame's file name ends in, -1 if it ends in none."""
    digits = path.stem[len(path.stem.rstrip("0123456789")) :]
    return int(digits) if digits else -1


def images(folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns the JPEG and PNG files of a folder in the order of their numbers.

    Args:
      folder: may be missing, then there are none.
    """
    found = [path for path in folder.glob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png")]
    return sorted(found, key=lambda path: (frame_number(path), path.name))


def read_got10k(root, split: str) -> list[Sequence]:
    """Reads the GOT-10k layout: `root/split/list.txt`, `NAME/groundtruth.txt`, `NAME/*.jpg`.

    Boxes are taken as published (0-based). `absence.label` and `cover.label`, where
    they are, mark frames without the object; `source_frames` in `meta_info.ini`
    gives the original frame numbers. Where only the first box is published, the
    others are NaN.

    Args:
      root: folder that holds the split.
      split: `train`, `val` or `test`.

    Returns:
      Sequences in the order of `list.txt`.

    Raises:
      ValueError: `list.txt` is missing or empty, or a sequence does not have as
        many boxes as images.
    """
    folder = pathlib.Path(root) / split
    listing = folder / "list.txt"
    if not listing.is_file():
        raise ValueError(f"no {listing}; expected the GOT-10k layout, one track name a line")
    return [_read_got10k_sequence(folder / name) for name in read_names(listing)]


def _read_got10k_sequence(folder: pathlib.Path) -> Sequence:
    boxes = read_boxes(folder / "groundtruth.txt", one_based=False)
    paths = images(folder)
    boxes = only_first(boxes, len(paths))
    visible = np.ones(len(boxes), bool)
    if (folder / "absence.label").is_file():
        visible &= read_labels(folder / "absence.label", len(boxes)) == 0
    if (folder / "cover.label").is_file():
        visible &= read_labels(folder / "cover.label", len(boxes)) > 0
    meta = read_meta(folder / "meta_info.ini", len(boxes))
    return assemble(
        folder.name,
        folder,
        paths,
        boxes,
        visible=visible,
        frame_numbers=meta.source_frames,
        source=meta.source,
    )


class Meta(NamedTuple):
    """What the `meta_info.ini` of a track says.

    Attributes:
      category: class of the object, or "".
      source: name of the set that the track came from, or "".
      source_frames: i64[T] frame numbers in the source video; 0 to T - 1 where it says none.
    """

    category: str
    source: str
    source_frames: np.ndarray


def read_meta(path: pathlib.Path, length: int) -> Meta:
    """Reads the `key: value` lines of a `meta_info.ini`; the file may be missing.

    Args:
      path: of the file.
      length: number of frames T.

    Returns:
      Meta.

    Raises:
      ValueError: `source_frames` are not T frame numbers.
    """
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    pairs = (line.partition(":") for line in text.splitlines())
    entries = {key.strip(): value.strip() for key, colon, value in pairs if colon}
    numbers = entries.get("source_frames", " ".join(map(str, range(length)))).split()
    if len(numbers) != length or not all(re.fullmatch(r"\d{1,9}", n) for n in numbers):
        raise ValueError(
            f"source_frames in {path} must be {length} frame numbers, "
            f"got {' '.join(numbers)[:80]!r}"
        )
    source_frames = np.array([int(number) for number in numbers], np.int64)
    return Meta(entries.get("object_class", ""), entries.get("source", ""), source_frames)


def only_first(boxes, length: int) -> np.ndarray:
    """Returns boxes for all frames where a test set publishes just the first.

    Args:
      boxes: f32[1, 4], or any other number, which is returned unchanged.
      length: number of frames.
    """
    if len(boxes) != 1 or length < 1:
        return boxes
    return np.concatenate([boxes, np.full((length - 1, 4), np.nan, np.float32)])


def read_otb(root, *, version: str | None = None) -> list[Sequence]:
    """Reads sequences in the OTB layout: `NAME/img/*.jpg`, `NAME/groundtruth_rect.txt`.

    Boxes are 1-based in the files. The known frame ranges are applied; a folder with
    `groundtruth_rect.1.txt` and `.2.txt` gives NAME-1 and NAME-2, an empty one of
    these (Human4) nothing.

    Args:
      root: holds the folders.
      version: `2013`, `50` or `100`, of which every sequence must be there; None
        takes what is there.

    Returns:
      Sequences by name.

    Raises:
      ValueError: nothing in that layout lies below `root`, sequences of the version
        are missing, or one does not have as many boxes as images.
    """
    root = pathlib.Path(root)
    folders = sorted({path.parent for path in root.glob("*/groundtruth_rect*.txt")})
    if not folders:
        raise ValueError(f"no NAME/groundtruth_rect.txt below {root}; expected the OTB layout")
    if version is not None:
        missing = sorted(set(otb_table.VERSIONS[version]) - {folder.name for folder in folders})
        if missing:
            raise ValueError(f"OTB-{version} needs {', '.join(missing)}, not found in {root}")
        folders = [folder for folder in folders if folder.name in otb_table.VERSIONS[version]]
    return [sequence for folder in folders for sequence in _read_otb_folder(folder)]


def _read_otb_folder(folder):
    first, last = otb_table.RANGES.get(folder.name, (0, np.inf))
    frames = folder / "img"
    paths = [path for path in images(frames) if first <= frame_number(path) <= last]
    attributes = otb_table.ATTRIBUTES_OF.get(folder.name, ())
    for file in sorted(folder.glob("groundtruth_rect*.txt")):
        number = file.stem.removeprefix("groundtruth_rect").strip(".")
        if number and not file.read_text(encoding="utf-8", errors="replace").strip():
            continue
        name = f"{folder.name}-{number}" if number else folder.name
        boxes = read_boxes(file, one_based=True)
        yield assemble(name, frames, paths, boxes, attributes=attributes)
