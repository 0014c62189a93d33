"""Image files: the one list of those in a folder, and the one decoder.

Everything that reads an annotated video, a training set or a benchmark decodes here, so that
a damaged file is the same error everywhere.
"""

import os
import pathlib
import re
from collections.abc import Iterable
from typing import TypeVar

import cv2
import numpy as np

AnyPath = TypeVar("AnyPath", bound=pathlib.PurePath)
SUFFIXES = {
    ".apng", ".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm",
    ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
}  # fmt: skip


def list_images(folder: str | os.PathLike) -> list[pathlib.Path]:
    """Lists the image files of a folder in natural order.

    Args:
      folder: may be missing, then there are none.

    Returns:
      Paths of the files that end in one of `SUFFIXES`, without hidden ones.
    """
    return filter_images(pathlib.Path(folder).iterdir()) if os.path.isdir(folder) else []


def filter_images(paths: Iterable[str | os.PathLike]) -> list[pathlib.Path]:
    """Returns the image files among some paths, in natural order.

    Hidden files are left out: systems leave `._NAME.jpg` and the like beside images.

    Args:
      paths: of files and folders.

    Returns:
      Those of files that end in one of `SUFFIXES`, in upper or lower case.
    """
    return natural_order(
        path
        for path in map(pathlib.Path, paths)
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def natural_order(paths: Iterable[AnyPath]) -> list[AnyPath]:
    """Sorts paths by the numbers in their names: frame 2 before frame 10.

    A point between two numbers makes one number of them, so that second 10.25 is before 10.5,
    except in dates (2024.01.15) and where the second counts: `1.9, 1.10`, which as decimals
    nobody would write.

    Args:
      paths: to sort.

    Returns:
      them in that order.
    """
    decimal = r"(?<![\d.])\d+\.\d+(?!\d|\.\d)"
    names = {path: str(path.with_suffix("")).lower() for path in paths}
    parts = [part.split(".")[1] for name in names.values() for part in re.findall(decimal, name)]
    counts = len({len(part) for part in parts}) > 1
    counts = counts and any(len(part) > 1 and part.endswith("0") for part in parts)
    number = re.compile(r"(\d+)" if counts else rf"({decimal}|\d+)")

    def key(path):
        split = number.split(names[path])
        for index in range(1, len(split), 2):
            whole, _, fraction = split[index].partition(".")
            split[index] = int(whole), fraction  # of fractions, text has the order
        return split, str(path)

    return sorted(names, key=key)


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
