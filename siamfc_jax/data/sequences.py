"""One object through one video, in one form whatever published it.

Boxes are `[x, y, w, h]` in continuous 0-based frame pixels, left/top edge and extent.
The readers are in layouts.py.
"""

import itertools
import pathlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from siamfc_jax.images import read_rgb


class ImageFiles:
    """Image files as a sequence of RGB frames, each read when it is indexed."""

    def __init__(self, paths):
        self.paths = tuple(str(path) for path in paths)

    def __len__(self):
        return len(self.paths)

    def name(self, index: int) -> str:
        """Returns the path of the file of frame `index`, for messages."""
        return self.paths[index]

    def encoded(self, index: int) -> bytes:
        """Returns the bytes of the file of frame `index`."""
        return pathlib.Path(self.paths[index]).read_bytes()

    def __getitem__(self, index):
        """Returns frame `index`, u8[H, W, 3] in RGB order; of a slice, the files in it."""
        if isinstance(index, slice):
            return ImageFiles(self.paths[index])
        return read_rgb(self.paths[index])


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
      category: class of the object in the words of the set, or "".
      attributes: names of the difficulties the benchmark ascribes to it.
      occluded: bool[T], partly hidden; None where the set does not say.
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
    category: str = ""
    attributes: tuple[str, ...] = ()
    occluded: np.ndarray | None = None
    regions: list[np.ndarray] | None = None
    anchors: np.ndarray | None = None


# The fields of a Sequence that do not have one entry a frame.
_WHOLE = ("name", "source", "category", "attributes")


def slice_sequence(sequence: Sequence, frames: slice) -> Sequence:
    """Returns some frames of a sequence, in the order of the slice.

    Args:
      sequence: the whole.
      frames: which; a negative step runs backwards.
    """
    changes = {
        name: value[frames]
        for name, value in sequence._asdict().items()
        if name not in _WHOLE and value is not None
    }
    return sequence._replace(**changes)


def select_sequences(sequences: list[Sequence], names: list[str] | None) -> list[Sequence]:
    """Returns the sequences of some names.

    Args:
      sequences: to choose from.
      names: which; None for all.

    Returns:
      Those sequences, in their old order.

    Raises:
      ValueError: there is no sequence of a name.
    """
    unknown = sorted(set(names or []) - {sequence.name for sequence in sequences})
    if unknown:
        raise ValueError(f"there is no sequence {', '.join(unknown)} in --data")
    return [s for s in sequences if names is None or s.name in names]


def make_sequence(
    name: str,
    folder: pathlib.Path,
    paths: Iterable[pathlib.Path],
    boxes: np.ndarray,
    *,
    visible: np.ndarray | None = None,
    first: int | None = None,
    **fields,
) -> Sequence:
    """Joins image files and boxes into a sequence.

    Where there are as many images as boxes they belong together in their order, whatever
    number the names count from.

    Args:
      name: of the sequence.
      folder: where its images lie, for the message.
      paths: image files in order, whose names end in the frame's number.
      boxes: f32[T, 4].
      visible: bool[T], what the set says of visibility; all by default.
      first: number of the first frame in the names. Then single images may be missing: each
        box belongs to the image of its number, and reading a frame without one is an error.
        Names are taken to count from 0 where one has the number 0. None demands all images.
      **fields: further fields of Sequence.

    Returns:
      Sequence; frames without a solid box are not visible.

    Raises:
      ValueError: images and boxes do not belong together; the text names the first number
        missing, if one is.
    """
    paths = list(paths)
    if len(paths) != len(boxes):
        placed = [] if first is None else _place(paths, len(boxes), folder, first)
        if not placed:
            raise ValueError(
                f"{name} has {len(boxes)} boxes but {len(paths)} images in {folder}{_gap(paths)}"
            )
        paths = placed
    solid = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1)
    if visible is not None:
        solid &= visible
    fields.setdefault("frame_numbers", np.arange(len(boxes)))
    return Sequence(name, ImageFiles(paths), boxes, solid, **fields)


def _place(paths, count, folder, first):
    """Returns the path of each of `count` frames, or [] where no file has such a number."""
    numbered = {frame_number(path): path for path in paths}
    if 0 in numbered:
        first = 0
    wanted = range(first, first + count)
    if len(numbered) < len(paths) or (paths and not numbered.keys() & set(wanted)):
        return []
    return [numbered.get(number, folder / f"(frame {number})") for number in wanted]


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
