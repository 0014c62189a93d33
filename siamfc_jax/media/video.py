"""Frames in and out: every source becomes RGB frames, RGB frames become a video file.

Frames are u8[H, W, 3] in RGB order. The rotation that a phone noted in its file is
applied, so that frames stand as a player shows them.
"""

import array
import collections
import concurrent.futures
import contextlib
import fractions
import glob
import math
import os
import pathlib
import re
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import av
import av.error
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from siamfc_jax import memory
from siamfc_jax.images import SUFFIXES
from siamfc_jax.media import decoding, image_sources, outputs, sound

DEFAULT_FPS = 30.0  # where a source does not say
TICKS = 360_000  # a second of videos that are written; whole at 24000/1001 frames, too
# What players take for granted at the sizes of today, ITU-R BT.709.
COLORS = {"dst_colorspace": Colorspace.ITU709, "dst_color_range": ColorRange.MPEG}


class Source(NamedTuple):
    """Frames, and what is known of them beforehand.

    Attributes:
      frames: iterator of (number in the source from 0, u8[H, W, 3]), all of one size.
      fps: frames a second that remain after `stride`.
      length: about how many frames will come, None where nobody knows.
      gaps: grows by a line for each part of the source that could not be decoded.
      time_of: function of the number of a frame that came; the seconds at which the source
        shows it, NaN where it has no clock of its own.
      sound: file or URL whose sound belongs to the frames, None where there is none.
      pixel_shape: width of a pixel in heights, where it is not 1; else None.
    """

    frames: Iterator
    fps: float
    length: int | None
    gaps: list[str]
    time_of: Callable[[int], float]
    sound: str | None
    pixel_shape: fractions.Fraction | None


def open_source(source, *, start=0, stop=None, stride=1, resize=None, landmarks=None) -> Source:
    """Opens whatever holds frames.

    What is damaged in a file is left out and told on stderr and in `gaps`; the numbers of the
    frames behind it stay those of the source. A stream that drops is connected to again, three
    times in a row at most, and then ends.

    Args:
      source: video file, image, pages of a TIFF, animation (GIF, WebP, PNG), folder or glob of
        images in natural order, camera number, or URL of a stream (RTSP, HTTP).
      start: number of the first frame.
      stop: number of the frame before which to stop, None for the end.
      stride: take every stride-th frame.
      resize: `WIDTHxHEIGHT` to bring all frames to, None to leave them.
      landmarks: a dictionary that who opens a video file several times gives each time, empty at
        first; then what was passed once need not be decoded from the begin of the file again.

    Returns:
      The source. Its iterator raises ValueError where an image is damaged, a frame is of
      another size than the first, or the frame `start` is not there.

    Raises:
      ValueError: there is no such source, or it holds no images.
    """
    if start < 0 or stride < 1 or (stop is not None and stop <= start):
        raise ValueError(
            "frames need 0 <= start < stop and stride >= 1, "
            f"got start {start}, stop {stop}, stride {stride}"
        )
    size = None if resize is None else _parse_size(resize)
    if size:  # some frames are on their way at once
        memory.check(8 * 3 * size[0] * size[1], f"--resize {resize}")
    source = str(source)
    numbers = range(start, sys.maxsize if stop is None else stop, stride)
    gaps: list[str] = []
    voice = pixel_shape = None
    # One clear line of ours instead of several of the decoders'.
    # OpenCV 5 has renamed the function.
    silence = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
    silence(0)
    suffix = pathlib.Path(source).suffix.lower()
    pattern = glob.has_magic(source) and "://" not in source and not os.path.exists(source)
    if os.path.isdir(source) or pattern or (suffix in SUFFIXES and os.path.isfile(source)):
        frames_of, fps, total = image_sources.open_images(source)
        frames = frames_of(numbers)
    elif source.isdecimal() and not os.path.exists(source):
        frames, fps, total = _open_camera(source, numbers)
    else:
        clip = _open_clip(source)
        fps, total, voice = clip.fps, clip.length, source if clip.has_sound else None
        pixel_shape = None if size else clip.pixel_shape
        frames = decoding.decode(clip, numbers, gaps, landmarks)
    fps = fps if 0 < fps <= 1000 else DEFAULT_FPS
    known = stop if total is None else min(total, numbers.stop)
    length = None if known is None else len(range(start, known, stride))
    times = array.array("d")  # of the frames that came; NaN for those that did not

    def time_of(number):
        return times[(number - start) // stride]

    frames = image_sources.to_eight_bits(frames, source)
    frames = _uniform(_timed(frames, times, numbers), source, start, size)
    return Source(frames, fps / stride, length, gaps, time_of, voice, pixel_shape)


def read_ahead(frames, count: int = 2) -> Iterator:
    """Reads frames in a thread, ahead of who uses them.

    Args:
      frames: any iterator.
      count: how many to hold at most.

    Yields:
      What `frames` yields, and raises what it raises, in its order.
    """
    end = object()
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        pending = collections.deque(thread.submit(next, frames, end) for _ in range(count))
        while (frame := pending.popleft().result()) is not end:
            pending.append(thread.submit(next, frames, end))
            yield frame


def _parse_size(text):
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if not match:
        raise ValueError(f"a size is WIDTHxHEIGHT in pixels such as 640x360, got {text!r}")
    return int(match[1]), int(match[2])


def _open_clip(source):
    if "://" not in source and not os.path.exists(source):
        raise ValueError(
            f"no file {source}; expected a video, an image, a folder or glob of images, "
            "a camera number or a URL"
        )
    return decoding.open_clip(source)


def _open_camera(source, numbers):
    camera = cv2.VideoCapture(int(source))
    if not camera.isOpened():
        raise ValueError(f"cannot reach {source}; expected a camera number or a running stream")
    return _photographed(camera, numbers), camera.get(cv2.CAP_PROP_FPS), None


def _photographed(camera, numbers):
    try:
        for number in range(numbers.stop):
            found, frame = camera.read()
            if not found:
                return
            if number in numbers:
                yield number, math.nan, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    finally:
        camera.release()


def _timed(frames, times, numbers):
    """Yields (number, image), and notes the seconds of each in `times`."""
    for number, seconds, image in frames:
        index = (number - numbers.start) // numbers.step
        times.extend([math.nan] * (index - len(times)))
        times.append(math.nan if seconds is None else seconds)
        yield number, image


def _uniform(frames, source, start, size):
    shape = None
    for number, frame in frames:
        if size:
            frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        if shape is None and number != start:
            raise ValueError(f"frame {start} of {source} is damaged; start with frame {number}")
        shape = shape or frame.shape
        if frame.shape != shape:
            raise ValueError(
                f"frame {number} of {source} has {frame.shape[1]} x {frame.shape[0]} pixels, "
                f"those before it {shape[1]} x {shape[0]}; bring them to one size with --resize"
            )
        yield number, frame
    if shape is None:
        raise ValueError(f"{source} has no frame {start}; it has fewer, or cannot be decoded")


@contextlib.contextmanager
def video_writer(path, shape, *, fps, source=None):
    """Writes H.264 video that browsers play, readable up to the last second if killed.

    Odd sizes get one row or column of black, as H.264 shares colour among 2 x 2 pixels. A new
    video grows where it shall stand; one that replaces another does so when it is done.

    Args:
      path: file to write, `.mp4`.
      shape: (H, W, 3) of every frame.
      fps: frames a second.
      source: Source whose sound, times and shape of pixels the video takes over; None for none.

    Yields:
      write(frame u8[H, W, 3], number=None), with the number of the frame in its source, whose
      time it then takes; else frames follow each other by `fps`.

    Raises:
      ValueError: the place cannot be written, or the encoder fails.
    """
    check_ending(path)
    with outputs.whole(path) as place, _encoder(path, place, shape, fps, source) as write:
        yield write


def check_ending(path) -> None:
    """Raises ValueError where a video that is to be written does not end in `.mp4`."""
    if pathlib.Path(path).suffix.lower() != ".mp4":
        raise ValueError(f"{path} must end in .mp4; video is written as H.264")


@contextlib.contextmanager
def _encoder(path, place, shape, fps, source):
    height, width = shape[:2]
    # Fragments of a second, so that a kill costs no more; the second flag, as the first frame
    # would be shown two frames late otherwise.
    flags = "+hybrid_fragmented+negative_cts_offsets"
    options = {"movflags": flags, "flush_packets": "1", "max_interleave_delta": "1000000"}
    begin, last, count, failed = None, -1, 0, False
    try:
        container = av.open(f"file:{place}", "w", format="mp4", options=options)
        pictures = _add_pictures(container, width, height, fps)
        if source is not None and source.pixel_shape:
            pictures.codec_context.sample_aspect_ratio = source.pixel_shape
        advance = _add_sound(container, source)
    except (av.error.FFmpegError, OSError) as error:
        raise _refusal(path, error) from error

    def write(frame, number=None):
        nonlocal begin, last, count, failed
        seconds = math.nan if number is None or source is None else source.time_of(number)
        if math.isnan(seconds):
            seconds = (0.0 if begin is None else begin) + count / fps
        begin = seconds if begin is None else begin
        count += 1
        last = max(last + 1, round((seconds - begin) * TICKS))  # clocks may stand still
        picture = av.VideoFrame.from_ndarray(_even(frame), format="rgb24")
        picture = picture.reformat(format="yuv420p", **COLORS)
        picture.pts, picture.time_base = last, fractions.Fraction(1, TICKS)
        try:
            for packet in pictures.encode(picture):
                container.mux(packet)
            if advance:
                advance(begin, begin + last / TICKS + 1 / fps)
        except (av.error.FFmpegError, OSError) as error:
            failed = True
            raise _refusal(path, error) from error

    try:
        yield write
    finally:
        try:
            if count and not failed:
                for packet in pictures.encode(None):
                    container.mux(packet)
            container.close()
        except (av.error.FFmpegError, OSError) as error:
            if not failed:
                raise _refusal(path, error) from error


def _add_pictures(container, width, height, fps):
    rate = fractions.Fraction(fps).limit_denominator(1_001_000)
    pictures = container.add_stream("libx264", rate=rate, options={"crf": "20", "g": "30"})
    pictures.width, pictures.height = width + width % 2, height + height % 2
    pictures.pix_fmt = "yuv420p"
    encoder = pictures.codec_context
    encoder.time_base = fractions.Fraction(1, TICKS)
    encoder.color_range, encoder.colorspace = ColorRange.MPEG, Colorspace.ITU709
    encoder.color_primaries = encoder.color_trc = 1  # BT.709, ITU-T H.273
    return pictures


def _add_sound(container, source):
    """Returns `advance` of `sound.copy_sound`, None where there is no sound to keep."""
    if source is None or source.sound is None:
        return None
    if "://" in source.sound:
        print(f"the sound of {source.sound} is left out: a stream is read once", file=sys.stderr)
        return None
    return sound.copy_sound(source.sound, container)


def _even(frame):
    """Adds a black row or column to odd sizes."""
    height, width = frame.shape[:2]
    if height % 2 or width % 2:
        return cv2.copyMakeBorder(frame, 0, height % 2, 0, width % 2, cv2.BORDER_CONSTANT)
    return np.ascontiguousarray(frame)


def _refusal(path, error):
    return ValueError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}")
