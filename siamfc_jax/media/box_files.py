"""Reads and writes the boxes of tracked objects as text.

Inside the program boxes are `[x, y, w, h]` in continuous 0-based frame pixels;
the 1-based forms of OTB and MOT-challenge exist in these files only.
"""

import contextlib
import csv
import json
import math
import pathlib

import numpy as np

FORMS = {".csv": "csv", ".json": "json", ".txt": "otb"}


def open_output(path):
    """Opens a text file to be written, and the folders above it.

    Args:
      path: the file; what stood there is replaced.

    Returns:
      The open file.

    Raises:
      ValueError: the place cannot be written.
    """
    path = pathlib.Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror}; choose another place") from error


@contextlib.contextmanager
def box_writer(path, names, *, form=None, states=False, keys=False):
    """Writes boxes frame by frame; what was written survives a kill.

    csv: header `frame,x,y,w,h,score`, with several objects `frame,object,x,y,w,h,score`,
    with `states` further columns `confidence,lost` (0 or 1), with `keys` always `object`, and
    `key` (0 or 1).
    json: a list of objects with `frame`, `object`, `x`, `y`, `w`, `h`, `score`,
    `confidence`, `lost`, whole after every frame. otb: `x,y,w,h` a line, 1-based. mot: the
    ten columns of MOT-challenge, frames, identities and pixels 1-based, the seventh the
    confidence. A score is NaN (json: null) where there is none, as on the first frame. An
    object whose box is NaN is gone: it is left out, but for otb, where each frame has a line.

    Args:
      path: file to write.
      names: N names of the objects.
      form: `csv`, `json`, `otb` or `mot`; by default by the ending of `path`, where
        `.txt` is otb for one object and mot for several.
      states: whether csv has confidence and lost, too.
      keys: whether csv and json say which boxes a person drew.

    Yields:
      write(number, boxes f32[N, 4], scores f32[N], confidences f32[N], lost bool[N],
      drawn bool[N], which only `keys` needs).

    Raises:
      ValueError: the place cannot be written, the ending says nothing, or several
        objects go to otb.
    """
    form = form or _form_of(path, len(names))
    if form == "otb" and len(names) > 1:
        raise ValueError(f"the otb form holds one object, got {len(names)}; use csv, json or mot")
    with open_output(path) as file:
        rows = csv.writer(file, lineterminator="\n")
        several = len(names) > 1 or keys
        if form == "csv":
            columns = [
                "x",
                "y",
                "w",
                "h",
                "score",
                *["confidence", "lost"] * states,
                *["key"] * keys,
            ]
            rows.writerow(["frame", *["object"] * several, *columns])
        end = 0

        def write(number, boxes, scores, confidences, lost, drawn=None):
            nonlocal end
            drawn = [False] * len(names) if drawn is None else drawn
            found = zip(boxes, scores, confidences, lost, drawn, strict=True)
            for index, (box, score, confidence, gone, key) in enumerate(found):
                if form != "otb" and math.isnan(box[0]):
                    continue
                x, y, w, h = (round(float(value), 3) for value in box)
                score, confidence = round(float(score), 4), round(float(confidence), 4)
                if form == "csv":
                    state = [*[confidence, int(gone)] * states, *[int(key)] * keys]
                    rows.writerow([number, *[names[index]] * several, x, y, w, h, score, *state])
                elif form == "otb":
                    rows.writerow([round(x + 1, 3), round(y + 1, 3), w, h])
                elif form == "mot":
                    corner = round(x + 1, 3), round(y + 1, 3)
                    rows.writerow([number + 1, index + 1, *corner, w, h, confidence, -1, -1, -1])
                else:
                    record = {"frame": number, "object": names[index], "x": x, "y": y}
                    record |= {"w": w, "h": h, "score": None if math.isnan(score) else score}
                    record |= {"confidence": confidence, "lost": bool(gone)}
                    record |= {"key": bool(key)} if keys else {}
                    file.seek(end)  # over the bracket that closed the list
                    file.write((",\n" if end else "[\n") + json.dumps(record))
                    end = file.tell()
                    file.write("\n]\n")
            file.flush()

        yield write


def _form_of(path, count):
    suffix = pathlib.Path(path).suffix.lower()
    if suffix not in FORMS:
        raise ValueError(f"{path} must end in .csv, .json or .txt, or name its form with --format")
    return "mot" if suffix == ".txt" and count > 1 else FORMS[suffix]


def parse_box(text: str) -> list[float]:
    """Reads a box from a command line.

    Args:
      text: `X,Y,W,H` in frame pixels, 0-based.

    Returns:
      `[x, y, w, h]`.

    Raises:
      ValueError: not four numbers.
    """
    try:
        x, y, w, h = (float(field) for field in text.split(","))
    except ValueError:
        raise ValueError(f"a box is X,Y,W,H in pixels, got {text!r}") from None
    return [x, y, w, h]


def read_box_file(path):
    """Reads the boxes of one frame.

    Args:
      path: `.json`, a list of objects, or csv with a header; columns as `box_writer`
        writes them. All but `x`, `y`, `w` and `h` may be left out. Where several
        frames are given, the first counts.

    Returns:
      (names, boxes f32[N, 4]); an object without a name gets its number from 1.

    Raises:
      ValueError: the file is missing or not of that form; the text names the row.
    """
    path = pathlib.Path(path)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = json.load(file) if path.suffix.lower() == ".json" else list(csv.DictReader(file))
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    form = "expected columns x,y,w,h and, if you like, frame and object"
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"{path} holds no box; {form}")
    names, boxes = [], []
    for number, row in enumerate(rows, start=1):
        try:
            if row.get("frame") != rows[0].get("frame"):
                break
            boxes.append([float(row[key]) for key in "xywh"])
            names.append(str(row.get("object") or number))
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ValueError(f"{path}, box {number}: {form}, got {row}") from None
    return names, np.asarray(boxes, np.float32)
