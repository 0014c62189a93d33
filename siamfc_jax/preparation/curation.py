"""Checks annotated boxes and cuts the patch around each object: the paper's curation.

Training cuts its crops out of these patches, so they are what `pairs.cut_patch`
gives: the search crop of the paper, section 3.4, with a margin for random shifts.
"""

import collections
import functools
from typing import NamedTuple

import cv2
import numpy as np

from siamfc_jax.data.annotations import Track
from siamfc_jax.data.pairs import cut_patch, patch_scale
from siamfc_jax.geometry import PATCH_SIZE

JPEG_QUALITY = 92  # save_crops.m has 90; a little more, as these are decoded from JPEG already
MIN_SIDE = 4  # px: a shorter object would be magnified into a blur
MAX_SHARE = 0.9  # of the frame: such an object has no surroundings to be told from

REASONS = (
    "known bad",
    "crowd",
    "absent",
    "degenerate",
    "missing image",
    "corrupt image",
    "outside",
    "too small",
    "over 90 % of the frame",
)


class Crop(NamedTuple):
    """One frame of one track as it is stored.

    Attributes:
      image: encoded image.
      box: f32[4] in pixels of that image.
    """

    image: bytes
    box: np.ndarray


def box_flaw(box, frame_size) -> str:
    """Says why a box cannot be learned from.

    Args:
      box: f32[4] `[x, y, w, h]` in frame pixels.
      frame_size: width and height of the frame in pixels.

    Returns:
      One of `REASONS`, or "" for a good box. "outside" is a centre beyond the frame.
    """
    x, y, w, h = np.asarray(box, np.float64)
    width, height = frame_size
    if not np.isfinite([x, y, w, h]).all() or w <= 0 or h <= 0:
        return "degenerate"
    if not (0 <= x + w / 2 < width and 0 <= y + h / 2 < height):
        return "outside"
    if min(w, h) < MIN_SIDE:
        return "too small"
    inside_w = min(x + w, width) - max(x, 0)
    inside_h = min(y + h, height) - max(y, 0)
    if inside_w * inside_h > MAX_SHARE * width * height:
        return "over 90 % of the frame"
    return ""


@functools.lru_cache(maxsize=1)  # the objects of one frame come one after another
def _decode(data: bytes):
    """Returns a BGR frame, or None where the bytes are no whole image."""
    # A JPEG without an end (FF D9) after its scan (FF DA): OpenCV 4 makes up the rest in grey.
    if data[:2] == b"\xff\xd8" and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        return None
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # no byte at all, or a header that claims an absurd size
        return None


def _curate_frame(track: Track, index: int, *, as_is: bool):
    """Returns a Crop, or the reason why there is none."""
    sequence = track.sequence
    if track.flaw:
        return track.flaw
    if not sequence.visible[index]:
        return "absent"
    try:
        data = sequence.frames.encoded(index)
    except (OSError, ValueError):  # ValueError: no file can have such a name
        return "missing image"
    frame = _decode(data)
    if frame is None:
        return "corrupt image"
    box = sequence.boxes[index]
    flaw = box_flaw(box, (frame.shape[1], frame.shape[0]))
    if flaw or as_is:
        return flaw or Crop(data, box)
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    _, encoded = cv2.imencode(".jpg", cut_patch(frame, box), quality)
    size = box[2:] * patch_scale(box)
    return Crop(encoded.tobytes(), np.concatenate([PATCH_SIZE / 2 - size / 2, size]))


def curate(tracks: list[Track], *, as_is: bool):
    """Turns the tracks of one video into crops, leaving out what cannot be learned from.

    Args:
      tracks: objects of one video; a frame they share is decoded once.
      as_is: keep the source images and boxes instead of cutting patches.

    Returns:
      For each track a dict of frame index -> `Crop`, in the order of the frames,
      and a Counter of reason -> dropped boxes.
    """
    crops = [{} for _ in tracks]
    dropped = collections.Counter()
    turns = (
        (number, order, index)
        for order, track in enumerate(tracks)
        for index, number in enumerate(track.sequence.frame_numbers)
    )
    for _, order, index in sorted(turns):
        result = _curate_frame(tracks[order], index, as_is=as_is)
        if isinstance(result, Crop):
            crops[order][index] = result
        else:
            dropped[result] += 1
    return crops, dropped
