"""Annotations as files in the forms that other programs read."""

import csv
import json
import pathlib
import shutil

from siamfc_jax.annotation import coco, cvat, label_studio, yolo
from siamfc_jax.annotation.tracks import Clip, Mark, make_track
from siamfc_jax.app import projects

# Name of the form, which is in the address, and what the page calls it.
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
WHOLE = {
    "cvat": cvat.write,
    "coco": coco.write,
    "labelstudio": label_studio.write,
    "yolo": yolo.write,
}


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
    marks: dict[str, list[Mark]] = {o.name: [] for o in clip.project.objects}
    for frame, shown in projects.frames(clip.project, clip.tracks, clip.count):
        for s in shown:
            box = tuple(round(value, 2) for value in s.box)
            marks[s.object.name].append(Mark(frame, box, s.key, s.confidence, s.lost))
    tracks = [make_track(name, found) for name, found in marks.items() if found]
    if form in WHOLE:
        height, width = clip.shape[:2]
        about = Clip("video.mp4", width, height, clip.fps, tuple(range(clip.count)))
        if form == "yolo":
            shutil.rmtree(path, ignore_errors=True)
        WHOLE[form](path, about, tracks)
        return path if form != "yolo" else _zip(path)
    rows = [(mark, number, track) for number, track in enumerate(tracks) for mark in track.marks]
    rows.sort(key=lambda row: (row[0].frame, row[1]))
    with path.open("w", encoding="utf-8", newline="") as file:
        if form == "json":
            file.write("[\n" + ",\n".join(json.dumps(_record(*row)) for row in rows) + "\n]\n")
        elif form == "csv":
            table = csv.DictWriter(file, list(_record(*rows[0])), lineterminator="\n")
            table.writeheader()
            for row in rows:
                flags = {"lost": int(row[0].lost), "key": int(row[0].key)}
                table.writerow(_record(*row) | flags)
        else:  # MOT-challenge counts frames, identities and pixels from 1
            for mark, number, _ in rows:
                x, y, w, h = mark.box
                numbers = [mark.frame + 1, number + 1, x + 1, y + 1, w, h, mark.confidence]
                file.write(",".join(f"{value:.10g}" for value in numbers) + ",-1,-1,-1\n")
    return path


def _record(mark, number, track):
    sides = dict(zip("xywh", mark.box, strict=True))
    state = {"confidence": mark.confidence, "lost": mark.lost, "key": mark.key}
    return {"frame": mark.frame, "object": track.name} | sides | state


def _zip(folder):
    return pathlib.Path(shutil.make_archive(str(folder), "zip", folder))
