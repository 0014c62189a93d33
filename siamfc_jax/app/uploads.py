"""What visitors send: bounded in size and time, and what it holds."""

import asyncio
import io
import json
import math
import pathlib
import re
import zipfile
import zlib
from collections.abc import AsyncIterator

import PIL.Image
from starlette.exceptions import HTTPException

from siamfc_jax.images import SUFFIXES, natural_order

MEBIBYTE = 2**20
MAX_UPLOAD = 500  # MiB
MAX_SILENCE = 20  # seconds between two parts of a body
MAX_SECONDS = 1200  # for all of it
MAX_IMAGES = 100_000  # in an archive
MAX_PIXELS = 2**26  # of an image: 200 MB of memory
MAX_DIGITS = 15  # of a whole number: what every program counts exactly
IMAGES = b"images\n\0"  # begins the body that holds several images


async def read(request, limit: float) -> AsyncIterator[bytes]:
    """Reads the body of a request, part by part.

    Args:
      request: of Starlette.
      limit: MiB at most.

    Yields:
      Its parts.

    Raises:
      HTTPException: it is longer than that, or does not come.
    """
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told[:20]) > limit * MEBIBYTE:
        raise HTTPException(413, f"that is more than {limit} MB")
    parts, size = request.stream(), 0
    end = asyncio.get_running_loop().time() + MAX_SECONDS
    while True:
        now = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(min(now + MAX_SILENCE, end)):
                part = await anext(parts, None)
        except TimeoutError:
            raise HTTPException(408, "that came too slowly; send it again") from None
        if part is None:
            return
        size += len(part)
        if size > limit * MEBIBYTE:
            raise HTTPException(413, f"that is more than {limit} MB")
        yield part


def parse(body: bytes) -> dict:
    """Reads a JSON object of which every part can be used further.

    Args:
      body: UTF-8.

    Returns:
      It; numbers are finite, whole ones have 15 digits at most, text is of whole characters.

    Raises:
      ValueError: it is none of that; the text says what.
    """
    try:
        data = json.loads(
            body.decode(), parse_int=_whole, parse_float=_finite, parse_constant=_finite
        )
        if re.search(rb"\\u[dD][89a-fA-F]", body):  # half of a character, or two that are whole
            json.dumps(data, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("this JSON is nested too deeply") from None
    except UnicodeError:
        raise ValueError("this JSON holds text that is not UTF-8, or half a character") from None
    except json.JSONDecodeError:
        raise ValueError("this is not a JSON object") from None
    if not isinstance(data, dict):
        raise ValueError("this is not a JSON object")
    return data


def _whole(text):
    if len(text) > MAX_DIGITS:
        raise ValueError(f"this JSON holds a number that is too large: {text[:MAX_DIGITS]}...")
    return int(text)


def _finite(text):
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"this JSON holds a number that is not finite: {text[:MAX_DIGITS]}")
    return value


def unpack(path: pathlib.Path) -> pathlib.Path:
    """Lets only containers and images pass: FFmpeg also opens play lists, which name other files.

    Args:
      path: file that was sent. Images are taken out of it and lie beside it then.

    Returns:
      The path to open: the file, or a folder of the images in it.

    Raises:
      ValueError: it is something else, or holds more than it may.
    """
    with path.open("rb") as file:
        head = file.read(12)
    if head.startswith(IMAGES):
        return _write_images(path, _separate(path))
    if head.startswith(b"PK\3\4"):
        return _write_images(path, _unzip(path))
    known = head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
    known |= head.startswith((b"\x1aE\xdf\xa3", b"\0\0\1\xba"))  # Matroska and WebM, MPEG
    known |= head.startswith(b"RIFF") and head[8:] == b"AVI "
    if head.startswith(b"GIF8") or (head.startswith(b"RIFF") and head[8:] == b"WEBP"):
        check_pixels(path)
        known = True
    if not known:
        raise ValueError(
            "this is not a video; expected MP4, MOV, WebM, MKV, AVI, MPEG, GIF, or images"
        )
    return path


def _separate(path):
    """Yields the images of a body: IMAGES, then each with its length before it, u32."""
    with path.open("rb") as file:
        file.seek(len(IMAGES))
        while length := file.read(4):
            yield file.read(int.from_bytes(length, "little"))


def _unzip(path):
    """Yields the images of an archive in natural order; their names are not used further."""
    total = 0
    try:
        with zipfile.ZipFile(path) as archive:
            members = {
                pathlib.PurePosixPath(member.filename): member
                for member in archive.infolist()
                if _is_image(member.filename)
            }
            for name in natural_order(members):
                member = members[name]
                total += member.file_size
                if total > 2 * MAX_UPLOAD * MEBIBYTE:
                    raise ValueError(f"the images are more than {2 * MAX_UPLOAD} MB unpacked")
                with archive.open(member) as file:
                    yield file.read(member.file_size)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error):
        raise ValueError("this archive cannot be read; expected a zip of images") from None


def _is_image(name):
    hidden = name.rpartition("/")[2].startswith(".") or name.startswith("__MACOSX")
    return not hidden and pathlib.PurePosixPath(name).suffix.lower() in SUFFIXES


def _write_images(path, images):
    folder, count = path.with_name("images"), 0
    folder.mkdir()
    for count, data in enumerate(images, start=1):
        if count > MAX_IMAGES:
            raise ValueError(f"this archive holds more than {MAX_IMAGES} images; send a part of it")
        check_pixels(io.BytesIO(data))
        (folder / f"{count:08}.jpg").write_bytes(data)  # OpenCV looks into it, not at its name
    path.unlink()
    if not count:
        raise ValueError("this archive holds no images; expected jpg, png, bmp, tif or webp")
    return folder


def check_pixels(image, most: int = MAX_PIXELS) -> tuple[int, int]:
    """Refuses an image whose head claims more pixels than one may have, before it is decoded.

    Args:
      image: path of the file, or the file.
      most: pixels that it may have.

    Returns:
      (width, height).

    Raises:
      ValueError: it has more, or is no image.
    """
    try:
        with PIL.Image.open(image) as opened:
            width, height = opened.size
    except PIL.Image.DecompressionBombError:
        raise ValueError(f"an image has too many pixels; {most} at most are taken") from None
    except (OSError, ValueError, SyntaxError):
        raise ValueError("an image cannot be read; expected jpg, png, bmp, tif or webp") from None
    if width * height > most:
        raise ValueError(f"an image has {width} x {height} pixels; {most} at most are taken")
    return width, height
