"""Reads and writes the boxes of tracked objects as text.

Inside the program boxes are `[x, y, w, h]` in continuous 0-based frame pixels;
the 1-based forms of OTB and MOT-challenge exist in these files only.
"""

import codecs
import collections
import contextlib
import csv
import io
import json
import math
import pathlib
import re
import zipfile
from typing import NamedTuple

from siamfc_jax.media import outputs

FORMS = {".csv": "csv", ".json": "json", ".txt": "otb"}
EXPECTED = "expected columns x,y,w,h and, if you like, frame, object, key and gone"
ENCODINGS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@contextlib.contextmanager
def box_writer(path, names, *, form=None, states=False, keys=False):
    """Writes boxes frame by frame; what was written survives a kill.

    csv: header `frame,x,y,w,h,score`, with several objects `frame,object,x,y,w,h,score`,
    with `states` further columns `confidence,lost` (0 or 1), with `keys` always `object`, and
    `key` (0 or 1) and `gone` (a frame or nothing).
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
      keys: whether csv and json say which boxes a person drew, and when objects are gone.

    Yields:
      write(number, boxes f32[N, 4], scores f32[N], confidences f32[N], lost bool[N],
      drawn bool[N], and ends, N numbers of the frame from which on the object is gone or None;
      only `keys` needs the last two).

    Raises:
      ValueError: the place cannot be written, the ending says nothing, or several
        objects go to otb.
    """
    form = form or form_of(path, len(names))
    if form == "otb" and len(names) > 1:
        raise ValueError(f"the otb form holds one object, got {len(names)}; use csv, json or mot")
    with outputs.whole(path) as place, _open_lines(path, place) as append:
        several = len(names) > 1 or keys
        if form == "csv":
            columns = ["x", "y", "w", "h", "score", *["confidence", "lost"] * states]
            append(_csv_line(["frame", *["object"] * several, *columns, *["key", "gone"] * keys]))
        count = 0

        def write(number, boxes, scores, confidences, lost, drawn=None, ends=None):
            nonlocal count
            lines = []
            drawn = [False] * len(names) if drawn is None else drawn
            ends = [None] * len(names) if ends is None else ends
            outcomes = zip(boxes, scores, confidences, lost, drawn, ends, strict=True)
            for index, (box, score, confidence, is_lost, key, end) in enumerate(outcomes):
                if form != "otb" and math.isnan(box[0]):
                    continue
                x, y, w, h = (round(float(value), 3) for value in box)
                score, confidence = round(float(score), 4), round(float(confidence), 4)
                if form == "csv":
                    state = [*[confidence, int(is_lost)] * states, *[int(key), end] * keys]
                    name = [names[index]] * several
                    lines.append(_csv_line([number, *name, x, y, w, h, score, *state]))
                elif form == "otb":
                    lines.append(_csv_line([round(x + 1, 3), round(y + 1, 3), w, h]))
                elif form == "mot":
                    corner = round(x + 1, 3), round(y + 1, 3)
                    row = [number + 1, index + 1, *corner, w, h, confidence, -1, -1, -1]
                    lines.append(_csv_line(row))
                else:
                    record = {"frame": number, "object": names[index], "x": x, "y": y}
                    record |= {"w": w, "h": h, "score": None if math.isnan(score) else score}
                    record |= {"confidence": confidence, "lost": bool(is_lost)}
                    record |= {"key": bool(key), "gone": end} if keys else {}
                    lines.append((",\n" if count + len(lines) else "[\n") + json.dumps(record))
            count += len(lines)
            append("".join(lines), end="\n]\n" if form == "json" else "")

        yield write


def _csv_line(fields):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(fields)
    return text.getvalue()


@contextlib.contextmanager
def _open_lines(path, place):
    """Yields append(text, end=""), which writes the text over the last `end`, or nothing of it."""
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(place.open("r+b" if place.is_file() else "wb", buffering=0))
        except OSError as error:
            raise ValueError(
                f"cannot write {path}: {error.strerror}; choose another place"
            ) from error
        regular, length, tail = place.is_file(), 0, b""
        if regular:
            file.truncate(0)

        def append(text, end=""):
            nonlocal length, tail
            data = text.encode()
            try:
                if tail:
                    file.seek(length)
                _write_all(file, data + end.encode())
            except OSError as error:
                if regular:  # back to what was whole
                    with contextlib.suppress(OSError):
                        file.truncate(length)
                        file.seek(length)
                        _write_all(file, tail)
                raise ValueError(f"cannot write {path}: {error.strerror}") from error
            length, tail = length + len(data), end.encode()

        yield append


def _write_all(file, data):
    while data:  # a disk that becomes full takes a part first
        data = data[file.write(data) :]


def form_of(path, count: int) -> str:
    """Returns the form in which boxes are written, by the ending of their file.

    Args:
      path: of the file.
      count: of objects.

    Raises:
      ValueError: the ending says nothing.
    """
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


class Row(NamedTuple):
    """A box of a file.

    Attributes:
      frame: number in the source, from 0; None where the file says none.
      object: name; the number among the boxes of its frame, from 1, where the file says none.
      box: [x, y, w, h] in frame pixels, 0-based.
      key: whether a person drew it; None where the file does not say.
      gone: number of the frame from which on the object is gone; None where the file says none.
    """

    frame: int | None
    object: str
    box: list[float]
    key: bool | None = None
    gone: int | None = None


def read_box_file(path) -> list[Row]:
    """Reads boxes, those that `box_writer` wrote and those that other programs saved again.

    Text may be UTF-8 or UTF-16, with or without byte order mark, with columns between commas,
    semicolons or tabs; with the latter two, numbers may have decimal commas. Without a header,
    four columns of a `.csv` are boxes `x,y,w,h`, four of a `.txt` those of OTB, a line a frame,
    1-based, and 6, 7, 9 or 10 those of MOT-challenge, 1-based.

    Args:
      path: `.json`, a list of objects with `x`, `y`, `w`, `h` and, if you like, `frame` and
        `object`; or text with a header of these names, or one without.

    Returns:
      Its boxes, in its order.

    Raises:
      ValueError: the file is missing or not of that form; the text names the row.
    """
    path = pathlib.Path(path)
    if zipfile.is_zipfile(path):
        raise ValueError(
            f"{path} is packed (zip, xlsx); give the file in it, or save the table as csv"
        )
    try:
        text = _decode(path.read_bytes(), path)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error
    if path.suffix.lower() == ".json":
        try:
            records = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path} is not JSON: {_short(error)}") from None
        if not isinstance(records, list) or not all(isinstance(row, dict) for row in records):
            raise ValueError(f"{path} holds no list of boxes; {EXPECTED}")
    else:
        records = _records(text, path)
    if not records:
        raise ValueError(f"{path} holds no box; {EXPECTED}")
    rows = []
    boxes_of: collections.Counter = collections.Counter()
    for number, record in enumerate(records, start=1):
        try:
            frame = record.get("frame")
            frame = None if frame in (None, "") else _whole_number(frame)
            box = [float(record[key]) for key in "xywh"]
            if any(map(math.isinf, box)):
                raise ValueError
            key = record.get("key")
            key = None if key in (None, "") else bool(_whole_number(key))
            gone = record.get("gone")
            gone = None if gone in (None, "") else _whole_number(gone)
        except (KeyError, TypeError, ValueError, OverflowError):
            raise ValueError(f"{path}, box {number}: {EXPECTED}, got {_short(record)}") from None
        boxes_of[frame] += 1
        name = record.get("object")
        name = str(boxes_of[frame] if name in (None, "") else name)
        rows.append(Row(frame, name, box, key, gone))
    if all(0 < side < 1 for row in rows for side in row.box[2:]):
        raise ValueError(
            f"{path} holds shares of the frame, such as {_short(rows[0].box)}; expected pixels"
        )
    return rows


def _decode(data, path):
    """Returns text of bytes in one of the encodings that programs save."""
    marked = [encoding for mark, encoding in ENCODINGS.items() if data.startswith(mark)]
    # Without a mark, every second byte of UTF-16 digits is 0.
    zeros = data[:200:2].count(0), data[1:200:2].count(0)
    guess = ("utf-16-be", "utf-16-le")[zeros[1] > zeros[0]] if any(zeros) else "utf-8"
    encoding = marked[0] if marked else guess
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        if encoding != "utf-8":
            raise ValueError(f"{path} is damaged: it is not the {encoding} it says") from None
        return data.decode("cp1252", errors="replace")  # names, as old spreadsheets save them


def _records(text, path):
    """Returns a dictionary for each line of a table."""
    lines = text.splitlines()
    if lines and lines[0].lower().startswith("sep="):  # what spreadsheets note for themselves
        lines = lines[1:]
    lines = [line for line in lines if line.strip()]
    if not lines:
        return []
    separator = max(";\t,", key=lines[0].count)
    if path.suffix.lower() == ".txt":  # where each line may have its own
        lines, separator = [re.sub(r"[\s,;]+", ",", line.strip()) for line in lines], ","
    try:
        table = list(csv.reader(lines, delimiter=separator))
    except csv.Error as error:
        raise ValueError(f"{path} is not a table: {error}") from None
    table = [[field.strip() for field in row] for row in table]
    if separator != ",":
        table = [[re.sub(r"^(-?\d*),(\d+)$", r"\1.\2", field) for field in row] for row in table]
    names = [name.lower() for name in table[0]]
    if set("xywh") <= set(names):
        return [dict(zip(names, row, strict=False)) for row in table[1:]]
    return _without_header(table, path)


def _without_header(table, path):
    text = path.suffix.lower() == ".txt"
    records = []
    for line, row in enumerate(table):
        if len(row) == 4 and not text:
            records.append(dict(zip("xywh", row, strict=True)))
            continue
        if len(row) not in (4, 6, 7, 9, 10) or (not text and len(row) != 10):
            raise ValueError(f"{path}, line {line + 1}: {EXPECTED}, got {_short(row)}")
        try:
            numbers = [float(field) for field in row[:6]]  # behind them, CVAT had names of classes
            frame, name = line, None
            if len(row) > 4:
                frame, identity = _whole_number(row[0]) - 1, _whole_number(row[1])
                name = str(identity) if identity >= 0 else None  # those of detections are -1
        except (ValueError, OverflowError):
            raise ValueError(f"{path}, line {line + 1}: {EXPECTED}, got {_short(row)}") from None
        x, y, w, h = numbers if len(row) == 4 else numbers[2:6]
        if all(map(math.isfinite, (x, y, w, h))):  # where there is no object, OTB has NaN
            record = {"frame": frame, "object": name, "x": x - 1, "y": y - 1, "w": w, "h": h}
            records.append(record)
    return records


def _whole_number(field):
    number = float(field)
    if not number.is_integer():
        raise ValueError
    return int(number)


def _short(value):
    text = str(value)
    return text if len(text) <= 100 else f"{text[:100]} ..."
