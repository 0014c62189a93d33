"""Prepared data sets: records of one encoded image each, and an index by track.

A prepared set is a tensorflow-datasets folder of array_record files, which give
any record by its number without TensorFlow. The frames of a track are stored one
after another; `tracks.npz` beside them says how many and everything else, so that
listing the tracks reads no record.
"""

import functools
import io
import os
import pathlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from siamfc_jax.data import layouts
from siamfc_jax.data.sequences import Sequence
from siamfc_jax.files import write_whole
from siamfc_jax.images import read_rgb

INDEX_NAME = "tracks.npz"
REPORT_NAME = "report.json"


class Index(NamedTuple):
    """What is known of N tracks with F frames in all, in the order of the records.

    Attributes:
      names, categories, sources: str[N].
      lengths: i64[N] frames of each track.
      boxes: f32[F, 4] in pixels of the stored image.
      frame_numbers: i64[F] in the source video.
      occluded, generated: bool[F], see `annotations.Track`.
    """

    names: np.ndarray
    categories: np.ndarray
    sources: np.ndarray
    lengths: np.ndarray
    boxes: np.ndarray
    frame_numbers: np.ndarray
    occluded: np.ndarray
    generated: np.ndarray


def save_index(path: str | pathlib.Path, index: Index) -> None:
    """Writes an index file, whole or not at all."""
    content = io.BytesIO()
    np.savez(content, **index._asdict())
    write_whole(path, content.getvalue())


def load_index(path: str | pathlib.Path) -> Index:
    """Reads what `save_index` wrote.

    Args:
      path: of the file.

    Returns:
      The index.

    Raises:
      ValueError: the file is missing or damaged.
    """
    try:
        # NumPy leaves a file open that it cannot read.
        with open(path, "rb") as file, np.load(file) as arrays:
            index = Index(*(arrays[name] for name in Index._fields))
        tracks, frames = len(index.lengths), int(index.lengths.sum())
        if (
            index.boxes.shape != (frames, 4)
            or any(len(column) != tracks for column in index[:4])
            or any(len(column) != frames for column in index[4:])
            or (index.lengths < 0).any()
        ):
            raise ValueError("its columns do not belong together")
    except Exception as error:  # NumPy raises many types of errors for a damaged file
        raise _damaged(path, error) from None
    return index


def _damaged(path, error):
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return ValueError(f"{path} is damaged ({reason}); prepare the set again")


def join_indexes(indexes: Iterable[Index]) -> Index:
    """Returns the index of sets of records laid end to end."""
    return Index(*(np.concatenate(parts) for parts in zip(*indexes, strict=True)))


class RecordFrames:
    """The frames of one track, each read and decoded when it is indexed.

    Can be pickled: only the place is kept, every process opens the records itself.
    """

    def __init__(self, folder, split: str, numbers: range):
        self.folder, self.split, self.numbers = str(folder), split, numbers

    def __len__(self):
        return len(self.numbers)

    def name(self, index: int) -> str:
        """Returns what to call frame `index` in messages."""
        return f"record {self.numbers[index]} of {self.folder}"

    def encoded(self, index: int) -> bytes:
        """Returns the stored bytes of frame `index`."""
        number = self.numbers[index]
        try:
            image = _open_records(self.folder, self.split, os.getpid())[number]["image"]
            if not image:  # of a file that is cut off where array_record begins a block
                raise ValueError("the record is empty")
            return image
        except Exception as error:  # array_record raises many types of errors
            raise _damaged(self.name(index), error) from None

    def __getitem__(self, index):
        """Returns frame `index`, u8[H, W, 3] in RGB order; of a slice, the frames in it."""
        if isinstance(index, slice):
            return RecordFrames(self.folder, self.split, self.numbers[index])
        return read_rgb(self.encoded(index), name=self.name(index))


@functools.cache
def _open_records(folder: str, split: str, process: int):
    """Opens records once a process: an open reader does not survive a fork."""
    import tensorflow_datasets as tfds  # here, as tracking does without it

    builder = tfds.builder_from_directory(folder)
    return builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})


def find_prepared(path: str | pathlib.Path) -> pathlib.Path:
    """Returns the one folder with records and index below a path.

    Args:
      path: the folder given as `--output`.

    Raises:
      ValueError: there is none, or more than one.
    """
    folders = sorted(index.parent for index in pathlib.Path(path).rglob(INDEX_NAME))
    # A kill in the very last moment leaves a folder incomplete.XXXXXX_NAME.
    folders = [folder for folder in folders if "incomplete" not in folder.name]
    if len(folders) != 1:
        raise ValueError(
            f"{path} holds {len(folders)} prepared data sets, expected one; "
            "name a folder given to siamfc prepare --output"
        )
    return folders[0]


def read_prepared(path: str | pathlib.Path) -> list[Sequence]:
    """Reads a data set made by `siamfc prepare`.

    Args:
      path: the folder given as `--output`.

    Returns:
      One Sequence a track, in the order of preparation; boxes are in pixels of the
      stored patch, every frame is visible.

    Raises:
      ValueError: `path` does not hold exactly one prepared set.
    """
    import tensorflow_datasets as tfds

    folder = find_prepared(path)
    try:
        (split,) = tfds.builder_from_directory(folder).info.splits
    except Exception as error:  # and so does tensorflow-datasets
        raise _damaged(folder, error) from None
    index = load_index(folder / INDEX_NAME)
    stops = np.cumsum(index.lengths)
    return [
        Sequence(
            name=str(name),
            frames=RecordFrames(folder, split, range(stop - length, stop)),
            boxes=index.boxes[stop - length : stop],
            visible=np.ones(length, bool),
            frame_numbers=index.frame_numbers[stop - length : stop],
            source=str(source),
        )
        for name, source, length, stop in zip(
            index.names, index.sources, index.lengths.tolist(), stops.tolist(), strict=True
        )
    ]


def read_tracks(path: str | pathlib.Path, split: str = "train") -> list[Sequence]:
    """Reads what training takes as one source of data.

    Args:
      path: a prepared set, a folder with `list.txt` in the GOT-10k layout, or a folder
        of several such splits.
      split: which of several.

    Returns:
      One Sequence a track.

    Raises:
      ValueError: `path` is none of these.
    """
    path = pathlib.Path(path).absolute()
    if not path.is_dir():
        raise ValueError(f"no folder {path}; expected a prepared set, or a folder with list.txt")
    # Here a video may begin without a box: pairs are drawn from the frames that have one.
    folders = layouts.list_got10k(path, split) or layouts.list_got10k(path.parent, path.name)
    if folders:
        return [layouts.read_got10k_sequence(folder) for folder in folders]
    return read_prepared(path)
