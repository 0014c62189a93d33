"""Writes rows of a job in the forms of annotation tools and of trackers."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from siamfc_jax import files
from siamfc_jax.annotation import coco, cvat, label_studio, yolo
from siamfc_jax.annotation.tracks import Clip, Mark, make_track
from siamfc_jax.media import outputs
from siamfc_jax.media.box_files import box_writer

if TYPE_CHECKING:
    from siamfc_jax.annotation.annotator import Row

# These hold an object or the video as a whole, so they are written when all is known.
WHOLE = {
    "cvat": cvat.write,
    "coco": coco.write,
    "labelstudio": label_studio.write,
    "yolo": yolo.write,
}
LINES = ("csv", "json", "otb", "mot")  # written frame by frame


def form_of(path, form: str | None) -> str | None:
    """Returns the form of a file: the one that is asked for, cvat for `.xml`, else None."""
    return form or ("cvat" if pathlib.Path(path).suffix.lower() == ".xml" else None)


@contextlib.contextmanager
def row_writer(
    path,
    names: list[str],
    clip: Clip,
    *,
    form: str | None = None,
    ends: Mapping[tuple[str, int], int] = MappingProxyType({}),
) -> Iterator[Callable[[Row], None]]:
    """Writes the boxes of a job.

    csv, json, otb and mot grow frame by frame. The others are written at the end, also where
    it is stopped before its end; where no frame came, nothing is written.

    Args:
      path: file to write; a folder for yolo.
      names: of all objects.
      clip: the video; its frames are those that are written.
      form: one of WHOLE and LINES; by default by the ending of `path`.
      ends: of `job.ends_by_key`, for csv and json; the others lack boxes where objects are gone.

    Yields:
      write(row).

    Raises:
      ValueError: the place cannot be written, another process writes to it, or the ending says
        nothing.
    """
    form = form_of(path, form)
    if form not in WHOLE:
        with box_writer(path, names, form=form, states=True, keys=True) as write_boxes:
            yield lambda row: write_boxes(
                row.number,
                *_arrays(row, names),
                [ends.get((name, row.number)) if name in row.keys else None for name in names],
            )
        return
    frames = []
    marks: dict = {name: [] for name in names}

    def write(row):
        frames.append(row.number)
        for name, estimate in row.estimates.items():
            box = tuple(round(float(value), 3) for value in estimate.box)
            confidence = round(float(estimate.confidence), 4)
            mark = Mark(row.number, box, name in row.keys, confidence, bool(estimate.lost))
            marks[name].append(mark)

    with _place(path, form) as place:
        try:
            yield write
        finally:
            if frames:
                tracks = [make_track(name, found) for name, found in marks.items() if found]
                try:
                    WHOLE[form](place, clip._replace(frames=tuple(frames)), tracks)
                except OSError as error:
                    raise ValueError(f"cannot write {path}: {error.strerror}") from error
            elif place.is_file():
                place.unlink()


@contextlib.contextmanager
def _place(path, form):
    """Yields where to write; refuses a bad place before an hour is spent on what goes there."""
    with contextlib.ExitStack() as stack:
        if form != "yolo":
            place = stack.enter_context(outputs.whole(path))
        else:
            try:
                stack.enter_context(files.locked(path, beside=True))
                place = pathlib.Path(path)
                place.mkdir(exist_ok=True)
            except OSError as error:
                raise ValueError(
                    f"cannot write {path}: {error.strerror}; choose another place"
                ) from error
        yield place


def _arrays(row, names):
    """Returns what `box_writer` takes of all objects; NaN boxes stand for those that are gone."""
    boxes = np.full((len(names), 4), np.nan)
    scores, confidences = np.full((2, len(names)), np.nan)
    lost, keys = np.zeros((2, len(names)), bool)
    for index, name in enumerate(names):
        if name in row.estimates:
            estimate = row.estimates[name]
            boxes[index], scores[index] = estimate.box, estimate.score
            confidences[index], lost[index] = estimate.confidence, estimate.lost
            keys[index] = name in row.keys
    return boxes, scores, confidences, lost, keys
