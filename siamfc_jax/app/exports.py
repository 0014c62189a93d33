"""Annotations as files in the forms that other programs read."""

import pathlib
import shutil

import numpy as np

from siamfc_jax.annotation.annotator import Row
from siamfc_jax.annotation.formats import row_writer
from siamfc_jax.annotation.job import ends_by_key
from siamfc_jax.annotation.places import Estimate
from siamfc_jax.annotation.tracks import Clip
from siamfc_jax.app import projects

# Name of the form in `row_writer` and in the address, and what the page calls it.
FORMS = {
    "csv": "CSV",
    "json": "JSON",
    "cvat": "CVAT",
    "coco": "COCO",
    "yolo": "YOLO",
    "mot": "MOT",
    "labelstudio": "Label Studio",
}
NAMES = {
    "csv": "annotations.csv",
    "json": "annotations.json",
    "cvat": "cvat.xml",
    "coco": "coco.json",
    "yolo": "yolo",  # a folder, which becomes yolo.zip
    "mot": "mot.txt",
    "labelstudio": "labelstudio.json",
}


NO_PICTURE = np.zeros((0, 0, 3), np.uint8)  # of a row of which only boxes are written


def write(form, clip, folder):
    """Writes the annotations of a clip.

    Args:
      form: one of FORMS.
      clip: a `jobs.Clip`.
      folder: where.

    Returns:
      The path of the file.
    """
    path = folder / NAMES[form]
    if form == "yolo":
        shutil.rmtree(path, ignore_errors=True)
    height, width = clip.shape[:2]
    about = Clip("video.mp4", width, height, clip.fps, tuple(range(clip.count)))
    names = [o.name for o in clip.project.objects]
    ends = ends_by_key(projects.make_job(clip.project))
    with row_writer(path, names, about, form=form, ends=ends) as write_row:
        for frame, shown in projects.frames(clip.project, clip.tracks, clip.count):
            estimates = {
                s.object.name: Estimate(
                    np.array(s.box, np.float32), float("nan"), s.confidence, s.lost
                )
                for s in shown
            }
            keys = frozenset(s.object.name for s in shown if s.key)
            write_row(Row(frame, NO_PICTURE, estimates, keys))
    if form == "yolo":
        return pathlib.Path(shutil.make_archive(str(path), "zip", path))
    return path
