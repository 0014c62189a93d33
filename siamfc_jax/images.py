"""Image files: the one list of those in a folder, and the one decoder.

Everything that reads an annotated video, a training set or a benchmark decodes here, so that
a damaged file is the same error everywhere.
"""

import os
import pathlib
import re

import cv2
import numpy as np

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")  # in lower case


def list_images(folder: str | os.PathLike) -> list[pathlib.Path]:
    """Lists the image files of a folder in natural order.

    Hidden files are left out: systems leave `._NAME.jpg` and the like beside images.

    Args:
      folder: may be missing, then there are none.

    Returns:
      Paths of the files that end in one of `SUFFIXES`, in upper or lower case.
    """
    if not os.path.isdir(folder):
        return []
    with os.scandir(folder) as entries:
        paths = [
            pathlib.Path(entry.path)
            for entry in entries
            if not entry.name.startswith(".")
            and os.path.splitext(entry.name)[1].lower() in SUFFIXES
            and entry.is_file()
        ]
    return sorted(paths, key=lambda path: natural_key(path.name))


def natural_key(name: str) -> tuple:
    """Returns what to sort file names by, so that they come in the order people expect.

    Numbers count as numbers: 2 before 10. Two numbers with one dot between are a decimal
    fraction: 10.25 before 10.5. More dots divide whole numbers, as in a date. Upper and lower
    case are the same.

    Args:
      name: of a file, with its ending.
    """
    stem, suffix = os.path.splitext(name)
    key = []
    # The parts are in turn text and a number, so that like is compared with like.
    for part in re.split(r"(\d+(?:\.\d+)*)", stem.lower()):
        if not part[:1].isdecimal():
            key.append(part)
            continue
        whole, *rest = part.split(".")
        if len(rest) == 1:  # digits after a point sort as text
            key.append(((int(whole), rest[0]),))
        else:
            key.append(tuple((int(number), "") for number in (whole, *rest)))
    return tuple(key), suffix.lower(), name


def read_rgb(source: str | os.PathLike | bytes, *, name: str = "", turn: bool = True) -> np.ndarray:
    """Decodes an image.

    Args:
      source: path of the file, or its content as bytes.
      name: what to call it in an error; the path by default.
      turn: whether to apply the rotation that a camera noted in the file.

    Returns:
      u8[H, W, 3] in RGB order: grey becomes three equal channels, alpha is left out, of 16
      bits the upper 8 stay.

    Raises:
      ValueError: there is no such file, it is no image, or it is cut off; the text names it.
    """
    name = name or ("in memory" if isinstance(source, bytes) else str(source))
    if not isinstance(source, bytes):
        try:
            source = pathlib.Path(source).read_bytes()
        except (OSError, ValueError) as error:  # ValueError: no file can have such a name
            reason = getattr(error, "strerror", None) or error
            raise ValueError(f"cannot read image {name} ({reason})") from None
    if _is_cut_off(source):
        raise ValueError(f"cannot read image {name} (it is cut off); expected a whole JPEG file")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # the error below says it
    # From memory, as `imread` fills what is missing of a file with grey.
    flags = cv2.IMREAD_COLOR if turn else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(source, np.uint8), flags)
    except cv2.error:  # no byte at all, or a header that claims an absurd size
        image = None
    if image is None:
        raise ValueError(
            f"cannot read image {name} (it is damaged or no image); "
            "expected a readable JPEG or PNG file"
        )
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _is_cut_off(data: bytes) -> bool:
    """Says whether a JPEG lacks the marker of its end, of which OpenCV 4 makes nothing.

    Walks over the segments before the first scan, as one of them may hold a whole small image.
    """
    if data[:3] != b"\xff\xd8\xff":
        return False
    place = 2
    while data[place : place + 1] == b"\xff":
        if data[place + 1 : place + 2] == b"\xda":  # the scan begins
            return data.rfind(b"\xff\xd9", place) < 0
        if data[place + 1 : place + 2] == b"\xff":  # a byte of filling
            place += 1
        else:
            place += 2 + int.from_bytes(data[place + 2 : place + 4])
    return place >= len(data)
