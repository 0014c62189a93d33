"""Annotations as files in the forms that other programs read."""

import csv
import json

from siamfc_jax.app import projects

# Name of the form, which is in the address, and what the page calls it.
FORMS = {"csv": "CSV", "json": "JSON"}


def write(form, clip, folder):
    """Writes the annotations of a clip.

    Args:
      form: one of FORMS.
      clip: what to write.
      folder: where.

    Returns:
      The path of the file.
    """
    path = folder / f"annotations.{form}"
    records = [
        {"frame": frame, "object": s.object.name}
        | {key: round(value, 2) for key, value in zip("xywh", s.box, strict=True)}
        | {"confidence": s.confidence, "lost": s.lost, "key": s.key}
        for frame, shown in projects.frames(clip.project, clip.tracks, clip.count)
        for s in shown
    ]
    with path.open("w", encoding="utf-8", newline="") as file:
        if form == "json":
            file.write("[\n" + ",\n".join(map(json.dumps, records)) + "\n]\n")
        else:
            rows = csv.DictWriter(file, list(records[0]), lineterminator="\n")
            rows.writeheader()
            rows.writerows(r | {"lost": int(r["lost"]), "key": int(r["key"])} for r in records)
    return path
