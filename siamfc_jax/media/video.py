"""Frames in and out: every source becomes RGB frames, RGB frames become a video file.

Frames are u8[H, W, 3] in RGB order. The rotation that a phone noted in its file is
applied, so that frames stand as a player shows them.
"""

import collections
import concurrent.futures
import contextlib
import glob
import os
import pathlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import imageio_ffmpeg
import numpy as np

from siamfc_jax.data.sequences import ImageFiles
from siamfc_jax.media.box_files import open_output

IMAGE_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
DEFAULT_FPS = 30.0  # where a source does not say
STREAM_TIMEOUT = 10_000  # ms without a frame until a stream counts as gone
RECONNECTIONS = 3  # in a row, to a stream that drops
PATIENCE = 1.0  # seconds before each of them
STEADY = 60.0  # seconds after which a connection is no longer in a row with the last one


class Source(NamedTuple):
    """Frames, and what is known of them beforehand.

    Attributes:
      frames: iterator of (number in the source from 0, u8[H, W, 3]), all of one size.
      fps: frames a second that remain after `stride`.
      count: how many frames will come, None where nobody knows.
    """

    frames: Iterator
    fps: float
    count: int | None


def open_source(source, *, start=0, stop=None, stride=1, resize=None) -> Source:
    """Opens whatever holds frames.

    A stream that drops is connected to again, three times in a row at most, and then ends.

    Args:
      source: video file, image or animation (GIF, WebP), folder or glob of images in
        natural order, camera number, or URL of a stream (RTSP, HTTP).
      start: number of the first frame.
      stop: number of the frame before which to stop, None for the end.
      stride: take every stride-th frame.
      resize: `WIDTHxHEIGHT` to bring all frames to, None to leave them.

    Returns:
      The source. Its iterator raises ValueError where a frame is damaged, of
      another size than the first, or there is none at all.

    Raises:
      ValueError: there is no such source, or it holds no images.
    """
    if start < 0 or stride < 1 or (stop is not None and stop <= start):
        raise ValueError(
            "frames need 0 <= start < stop and stride >= 1, "
            f"got start {start}, stop {stop}, stride {stride}"
        )
    size = None if resize is None else _parse_size(resize)
    # One clear line of ours instead of a page from the decoders.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    source = str(source)
    numbers = range(start, sys.maxsize if stop is None else stop, stride)
    path = pathlib.Path(source)
    if path.is_file() and cv2.haveImageReader(source):
        images, fps = _read_animation(source)
        frames, total = _indexed(images, numbers), len(images)
    elif path.is_dir() or (glob.has_magic(source) and "://" not in source):
        images, fps = ImageFiles(_image_paths(source)), DEFAULT_FPS
        frames, total = _indexed(images, numbers), len(images)
    else:
        capture, live = _open_capture(source)
        fps = capture.get(cv2.CAP_PROP_FPS)
        total = 0 if live else int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        frames = _captured(capture, numbers, source=source, live=live)
    fps = fps if 0 < fps <= 1000 else DEFAULT_FPS
    known = stop if total <= 0 else min(total, numbers.stop)
    count = None if known is None else len(range(start, known, stride))
    return Source(_uniform(frames, source, start, size), fps / stride, count)


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


def _image_paths(source):
    if os.path.isdir(source):
        paths = [p for p in pathlib.Path(source).iterdir() if p.suffix.lower() in IMAGE_SUFFIXES]
    else:
        paths = [pathlib.Path(name) for name in glob.glob(source, recursive=True)]
    if not paths:
        raise ValueError(f"no images in {source}; expected files such as 00000001.jpg")
    # Natural order: frame 2 before frame 10.
    return sorted(
        paths, key=lambda p: [int(s) if s.isdigit() else s for s in re.split(r"(\d+)", str(p))]
    )


def _read_animation(source):
    found, animation = cv2.imreadanimation(source)
    if not found or not len(animation.frames):
        raise ValueError(f"cannot read image {source}; the file is damaged")
    codes = {3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}
    frames = [cv2.cvtColor(frame, codes[frame.shape[2]]) for frame in animation.frames]
    milliseconds = float(np.mean(animation.durations)) if len(frames) > 1 else 0.0
    return frames, 1000 / milliseconds if milliseconds else DEFAULT_FPS


def _open_capture(source):
    timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, STREAM_TIMEOUT]
    timeouts += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, STREAM_TIMEOUT]
    live = "://" in source or (source.isdecimal() and not os.path.exists(source))
    if "://" in source:
        capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, timeouts)
    elif live:
        capture = cv2.VideoCapture(int(source))
    elif os.path.exists(source):
        capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG)
    else:
        raise ValueError(
            f"no file {source}; expected a video, an image, a folder or glob of images, "
            "a camera number or a URL"
        )
    if not capture.isOpened():
        if live:
            raise ValueError(f"cannot reach {source}; expected a camera number or a running stream")
        raise ValueError(f"cannot read {source}; expected a video that FFmpeg can decode")
    return capture, live


def _captured(capture, numbers, *, source, live):
    """Yields (number, frame); frames between are decoded, as seeking is not exact."""
    position, seconds = 0, 0.0
    # A file behind a URL knows its length, and would begin anew.
    endless = "://" in source and capture.get(cv2.CAP_PROP_FRAME_COUNT) <= 0
    opened, tries = time.monotonic(), 0
    try:
        for number in numbers:
            while position <= number:
                while not capture.grab():
                    if not live:
                        _check_end(capture, position, seconds, source)
                    tries = 1 if time.monotonic() - opened > STEADY else tries + 1
                    if not endless or tries > RECONNECTIONS:
                        return
                    capture = _reconnect(capture, source, position, tries)
                    opened = time.monotonic()
                seconds = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                position += 1
            found, frame = capture.retrieve()
            if not found:
                raise ValueError(f"cannot decode frame {number} of {source}; the file is damaged")
            yield number, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    finally:
        capture.release()


def _reconnect(capture, source, position, tries):
    """Returns a new capture of a stream, the old one where it cannot be reached."""
    print(
        f"{source} dropped after {position} frames; connecting again ({tries} of {RECONNECTIONS})",
        file=sys.stderr,
    )
    time.sleep(PATIENCE)
    try:
        new, _ = _open_capture(source)
    except ValueError:
        return capture
    capture.release()
    return new


def _check_end(capture, position, seconds, source):
    """Tells the end of a video from damage, which OpenCV reports in the same way.

    Seconds are compared, as many containers know their duration but not their frames.
    """
    count, fps = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
    if position and count > 0 and fps > 0 and seconds < 0.95 * count / fps - 0.5:
        raise ValueError(
            f"cannot decode {source} beyond frame {position - 1} of {count:.0f}; "
            "the file is damaged or cut off"
        )


def _indexed(images, numbers):
    for number in numbers[: len(range(numbers.start, len(images), numbers.step))]:
        yield number, images[number]


def _uniform(frames, source, start, size):
    shape = None
    for number, frame in frames:
        if size:
            frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
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
def video_writer(path, shape, *, fps):
    """Writes H.264 video that browsers play, readable up to the last second if killed.

    Odd sizes get one row or column of black, as H.264 shares colour among 2 x 2 pixels.

    Args:
      path: file to write, `.mp4`.
      shape: (H, W, 3) of every frame.
      fps: frames a second.

    Yields:
      write(frame u8[H, W, 3]).

    Raises:
      ValueError: the place cannot be written, or the encoder fails.
    """
    if pathlib.Path(path).suffix.lower() != ".mp4":
        raise ValueError(f"{path} must end in .mp4; video is written as H.264")
    open_output(path).close()
    height, width = shape[:2]
    # fmt: off
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error",
        "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps:.6f}",
        "-i", "pipe:", "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-c:v", "libx264",
        "-pix_fmt", "yuv420p", "-crf", "20", "-g", "30",
        # The second, as the first frame would be shown two frames late otherwise.
        "-movflags", "+hybrid_fragmented+negative_cts_offsets",
        os.path.abspath(path),
    ]
    # fmt: on
    # In a session of its own, so that Ctrl-C reaches only us and the video is finished.
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    broken = False

    def write(frame):
        nonlocal broken
        try:
            process.stdin.write(np.ascontiguousarray(frame))
        except BrokenPipeError:
            broken = True
            raise ValueError(f"cannot write {path}: the encoder stopped") from None

    try:
        yield write
    finally:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        complaint = process.stderr.read().decode(errors="replace").strip()
        process.stderr.close()
        if process.wait() or broken:
            last = complaint.splitlines()[-1] if complaint else "the encoder stopped"
            raise ValueError(f"cannot write {path}: {last}")
