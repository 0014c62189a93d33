"""Any frame of a video by its number, as a JPEG, for a page that jumps about in it."""

import collections
import threading
from typing import Any

import cv2
import numpy as np

CACHE_BYTES = 1 << 28  # about 5,000 frames of 640 x 480
BACK = 24  # frames read before the one that is asked for, as people also step backward
QUALITY = 90  # of 100


def encode(frame: np.ndarray) -> bytes:
    """Returns a frame u8[H, W, 3] RGB as a JPEG."""
    picture = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()


class FrameReader:
    """Reads frames by number and keeps those that passed by.

    Seeking in a video file is not exact, so frames are always counted from the beginning.
    """

    def __init__(self, open_frames):
        """Reads nothing yet.

        Args:
          open_frames: start -> iterator of (number, u8[H, W, 3] RGB), ascending.
        """
        self._open_frames, self._next = open_frames, 0
        self._frames: Any = None
        self._kept: collections.OrderedDict[int, bytes] = collections.OrderedDict()
        self._size, self._lock = 0, threading.Lock()

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
            while number not in self._kept:
                # To read on costs more a frame than to skip frames from the beginning does.
                if self._frames is None or not self._next <= number <= self._next * 1.3 + 60:
                    self._begin(max(number - BACK, 0))
                following = next(self._frames, None)
                if following is None:
                    self._frames = None
                    raise ValueError(f"the video has no frame {number}")
                self._next = following[0] + 1
                self._keep(following[0], encode(following[1]))
            self._kept.move_to_end(number)
            return self._kept[number]

    def close(self) -> None:
        """Lets go of the video."""
        with self._lock:
            if self._frames is not None:
                self._frames.close()
            self._frames = None

    def _begin(self, start):
        if self._frames is not None:
            self._frames.close()
        self._frames, self._next = self._open_frames(start), start

    def _keep(self, number, data):
        self._size += len(data) - len(self._kept.pop(number, b""))
        self._kept[number] = data
        while self._size > CACHE_BYTES and len(self._kept) > 1:
            self._size -= len(self._kept.popitem(last=False)[1])
