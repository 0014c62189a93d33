"""Image files as frames: folders in natural order, pages, animations, more than 8 bits.

Frames are u8[H, W, 3] in RGB order, turned as the file's rotation tag says. Transparency is
left out: the colour below it is taken.
"""

import glob
import itertools
import math
import os
import pathlib
import sys

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
import PIL.ImageSequence
import PIL.TiffImagePlugin

from siamfc_jax.images import filter_images, list_images

# What Pillow reads strictly, where OpenCV fills up what is missing or knows no animation.
PILLOW_FORMATS = ("GIF", "JPEG", "MPO", "WEBP")
OPENED = ("GIF", "JPEG", "PNG", "WEBP")  # by Pillow; MPO is a JPEG until it is open
PIL.Image.init()  # else it knows but some of them
PIL.Image.MAX_IMAGE_PIXELS = 2**30  # as OpenCV; by default, aerial images are refused
# Tags of TIFF: what its grey means (0: 0 is white), channels, planes (2: channels lie apart).
TIFF_MEANING, TIFF_CHANNELS, TIFF_PLANES = 262, 277, 284
DEPTH = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
PROBED = 5  # frames from which the range of a deep source is taken
FULL_SPAN = 2**14  # levels of 16 bits; who uses more is taken as a picture of the full range
MARGIN = 1 / 8  # of the span, on both sides, for what later frames hold


def find_images(source: str) -> list[pathlib.Path]:
    """Lists the image files of a folder or a glob in natural order.

    Args:
      source: folder, or pattern such as `frames/*.png`.

    Returns:
      Paths, without hidden files.

    Raises:
      ValueError: there are none.
    """
    if os.path.isdir(source):
        paths = list_images(source)
    else:
        paths = filter_images(glob.glob(source, recursive=True))
    if not paths:
        raise ValueError(f"no images in {source}; expected files such as 00000001.jpg")
    return paths


def read_image(path) -> np.ndarray:
    """Reads an image file.

    Args:
      path: of the file.

    Returns:
      [H, W, 3] RGB, u8, or u16 or f32 where the file has more bits.

    Raises:
      ValueError: it is no image, or a part of it is missing.
    """
    complaint = f"cannot read image {path}; expected a whole image file such as JPEG or PNG"
    try:
        data = np.fromfile(path, np.uint8)
        image = PIL.Image.open(path, formats=OPENED)
    except PIL.UnidentifiedImageError:
        image = None
    except (OSError, ValueError, PIL.Image.DecompressionBombError) as error:
        raise ValueError(complaint) from error
    if image and image.format in PILLOW_FORMATS:
        with image:
            try:
                return np.asarray(PIL.ImageOps.exif_transpose(image).convert("RGB"))
            except (OSError, SyntaxError, ValueError) as error:
                raise ValueError(f"cannot read image {path}; it is cut off or damaged") from error
    if image:
        image.close()
        # OpenCV would say it, but on a line of its own.
        if image.format == "PNG" and b"IEND" not in data.tobytes():
            raise ValueError(f"cannot read image {path}; it is cut off or damaged")
    for flags in (DEPTH, cv2.IMREAD_UNCHANGED):  # grey of 32 bits is only read unchanged
        bgr = cv2.imdecode(data, flags) if data.size else None
        if bgr is not None:
            return _to_rgb(_positive(bgr, path))
    raise ValueError(complaint)


def _positive(image, path):
    """Returns an image of OpenCV's, turned where 0 is white in a TIFF of more than 8 bits.

    OpenCV does so for 8 bits alone.

    Raises:
      ValueError: the channels of such a TIFF lie apart, which OpenCV mixes up.
    """
    if image.dtype == np.uint8:
        return image
    try:
        file = PIL.TiffImagePlugin.TiffImageFile(path)
    except (OSError, SyntaxError, ValueError):  # it is no TIFF, or one that OpenCV alone knows
        return image
    with file:
        tags = file.tag_v2
    if tags.get(TIFF_CHANNELS, 1) > 1 and tags.get(TIFF_PLANES) == 2:
        raise ValueError(
            f"cannot read image {path}; its channels of more than 8 bits lie apart, "
            "save it with those of a pixel side by side"
        )
    return ~image if tags.get(TIFF_MEANING) == 0 and image.dtype.kind in "iu" else image


def _to_rgb(image):
    if image.ndim == 2:
        return np.repeat(image[..., None], 3, axis=2)  # [H, W] -> [H, W, 3]
    return image[..., 2::-1]


class Files:
    """Image files, each of them a frame that is read when it is indexed."""

    def __init__(self, paths):
        self.paths = paths

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return read_image(self.paths[index])


class Pages:
    """Pages of a TIFF file, each read when it is indexed."""

    def __init__(self, path):
        self.path, self.count = str(path), cv2.imcount(str(path), DEPTH)
        if self.count < 1:
            raise ValueError(f"cannot read image {path}; the file is damaged")

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        for flags in (DEPTH, cv2.IMREAD_UNCHANGED):
            found, pages = cv2.imreadmulti(self.path, index, 1, flags=flags)
            if found:
                return _to_rgb(_positive(pages[0], self.path))
        raise ValueError(f"cannot read image {self.path}, page {index}; it is damaged")


def open_images(source: str):
    """Opens images: a folder or glob, pages of a TIFF, an animation (GIF, WebP, PNG), or one.

    Args:
      source: path or glob.

    Returns:
      (frames: a function of the range of numbers that yields (number, seconds or None, image),
      fps or 0, count of frames).

    Raises:
      ValueError: there are none, or they are damaged.
    """
    if not os.path.isfile(source):
        files: Files | Pages = Files(find_images(source))
    elif pathlib.Path(source).suffix.lower() in (".tif", ".tiff"):
        files = Pages(source)
    else:
        count, fps = _look_at_animation(source)
        if count > 1:
            return lambda numbers: _animated(source, numbers), fps, count
        files = Files([source])

    def frames(numbers):
        for number in numbers[: len(range(numbers.start, len(files), numbers.step))]:
            yield number, None, files[number]

    return frames, 0.0, len(files)


def _look_at_animation(path):
    """Returns (count of frames, frames a second by the first of them or 0)."""
    try:
        with PIL.Image.open(path, formats=OPENED) as image:
            count, seconds = getattr(image, "n_frames", 1), []
            if image.format == "MPO" or count < 2:  # several photos of one moment
                return 1, 0.0
            for frame in itertools.islice(PIL.ImageSequence.Iterator(image), 16):
                frame.load()
                seconds.append(frame.info.get("duration", 0) / 1000)
    except PIL.UnidentifiedImageError:
        return 1, 0.0
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as error:
        raise ValueError(f"cannot read image {path}; it is cut off or damaged") from error
    return count, len(seconds) / sum(seconds) if sum(seconds) else 0.0


def _animated(path, numbers):
    seconds = 0.0
    with PIL.Image.open(path) as image:
        for number in range(min(getattr(image, "n_frames", 1), numbers.stop)):
            try:
                image.seek(number)
                image.load()
            except (
                EOFError, OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError
            ) as error:  # fmt: skip
                raise ValueError(
                    f"cannot read frame {number} of image {path}; it is cut off or damaged"
                ) from error
            if number in numbers:
                yield number, seconds, np.asarray(image.convert("RGB"))
            seconds += image.info.get("duration", 0) / 1000


def to_eight_bits(frames, name: str):
    """Brings frames of more bits to 8, by one rule for all of them.

    Where 16 bits hold few levels, as those of thermal cameras, the range of the first frames
    becomes 0 to 255, and a line says so.

    Args:
      frames: iterator of (number, seconds, image u8, u16 or f32 [H, W, 3]).
      name: of the source, for the line.

    Yields:
      (number, seconds, image u8[H, W, 3]).
    """
    low = high = None
    frames = iter(frames)
    for frame in frames:
        if frame[2].dtype != np.uint8 and low is None:
            first = [frame, *itertools.islice(frames, PROBED - 1)]
            frames = itertools.chain(first, frames)
            low, high = _range([image for *_, image in first if image.dtype != np.uint8], name)
            yield from _stretched(frames, low, high)
            return
        yield frame


def _stretched(frames, low, high):
    for number, seconds, image in frames:
        if image.dtype != np.uint8:
            share = (np.nan_to_num(image.astype(np.float32)) - low) / (high - low)
            image = np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)
        yield number, seconds, image


def _range(images, name):
    """Returns (low, high) of the first deep images of a source."""
    step = max(1, math.isqrt(images[0].size // 300_000))  # as much as tells it
    values = np.concatenate([image[::step, ::step].ravel() for image in images])
    values = values[np.isfinite(values)] if values.size else np.zeros(1)
    low, high = np.percentile(values, [0.1, 99.9]) if values.size else (0.0, 1.0)
    whole, span = (1.0, 0.25) if values.dtype.kind == "f" else (65535.0, FULL_SPAN)
    if low >= 0 and high <= whole and high - low > span:
        return 0.0, whole
    low, high = low - MARGIN * (high - low), high + MARGIN * (high - low)
    low, high = (low, high) if high > low else (low - 0.5, low + 0.5)
    print(f"{name} holds more than 8 bits; its values {low:.6g} to {high:.6g} become 0 to 255 "
          "in all frames", file=sys.stderr)  # fmt: skip
    return low, high
