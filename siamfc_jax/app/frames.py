"""Any frame of a video by its number, as a JPEG, for a page that jumps about in it."""

import collections
import threading
from typing import Any

import cv2
import numpy as np

CACHE_BYTES = 1 << 28  # of all videos together: about 5,000 frames of 640 x 480
BACK = 24  # frames read before the one that is asked for, as people also step backward
QUALITY = 90  # of 100


def encode(frame: np.ndarray) -> bytes:
    """Returns a frame u8[H, W, 3] RGB as a JPEG."""
    picture = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()


class Kept:
    """The JPEGs that passed by last, of all videos together, so that many take no more memory."""

    def __init__(self):
        """Holds nothing yet."""
        self._frames: collections.OrderedDict[tuple, bytes] = collections.OrderedDict()
        self._size, self._lock = 0, threading.Lock()

    def find(self, reader, number: int) -> bytes | None:
        """Returns a frame of a `FrameReader`, None where it is not kept."""
        with self._lock:
            data = self._frames.get((reader, number))
            if data is not None:
                self._frames.move_to_end((reader, number))
            return data

    def keep(self, reader, number: int, data: bytes) -> None:
        """Keeps a frame; those that were asked for longest ago go where there is no room."""
        with self._lock:
            self._size += len(data) - len(self._frames.pop((reader, number), b""))
            self._frames[reader, number] = data
            while self._size > CACHE_BYTES and len(self._frames) > 1:
                self._size -= len(self._frames.popitem(last=False)[1])

    def forget(self, reader) -> None:
        """Lets go of all frames of a reader."""
        with self._lock:
            for key in [key for key in self._frames if key[0] is reader]:
                self._size -= len(self._frames.pop(key))


KEPT = Kept()  # one, as the memory of a process is one


class FrameReader:
    """Reads frames by number, and keeps those that passed by in `KEPT`.

    Seeking in a video file is not exact, so frames are always counted from the beginning.
    """

    def __init__(self, open_frames):
        """Reads nothing yet.

        Args:
          open_frames: start -> iterator of (number, u8[H, W, 3] RGB), ascending.
        """
        self._open_frames, self._next = open_frames, 0
        self._frames: Any = None
        self._lock = threading.Lock()

    def jpeg(self, number: int) -> bytes:
        """Returns a frame.

        Args:
          number: of the frame, from 0.

        Returns:
          The JPEG.

        Raises:
          ValueError: there is no such frame, or it cannot be decoded.
        """
        with self._lock:
            while (data := KEPT.find(self, number)) is None:
                # To read on costs more a frame than to skip frames from the beginning does.
                if self._frames is None or not self._next <= number <= self._next * 1.3 + 60:
                    self._begin(max(number - BACK, 0))
                following = next(self._frames, None)
                if following is None:
                    self._frames = None
                    raise ValueError(f"the video has no frame {number}")
                self._next = following[0] + 1
                data = encode(following[1])
                KEPT.keep(self, following[0], data)
                if following[0] == number:  # it may be gone again, where other videos are read
                    break
            return data

    def close(self) -> None:
        """Lets go of the video and its frames."""
        with self._lock:
            if self._frames is not None:
                self._frames.close()
            self._frames = None
        KEPT.forget(self)

    def _begin(self, start):
        if self._frames is not None:
            self._frames.close()
        self._frames, self._next = self._open_frames(start), start
