"""Checks annotated boxes and cuts the patch around each object: the paper's curation.

Training cuts its crops out of these patches: the search crop of the paper, section 3.4,
with a margin for random shifts, as `patches.cut_patch` gives it.
"""

import collections
import functools
from typing import NamedTuple

import cv2
import numpy as np

from siamfc_jax.data.annotations import Track
from siamfc_jax.data.patches import cut_patch, patch_box
from siamfc_jax.images import read_rgb

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
    "other size than annotated",
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


def box_flaw(box: np.ndarray, frame_size: tuple[int, int]) -> str:
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


_decode = functools.lru_cache(maxsize=1)(read_rgb)  # objects of one frame follow one another


class _Unreadable(NamedTuple):
    """Why a frame has no crop, and which file is to blame."""

    reason: str
    message: str


def _curate_frame(track: Track, index: int, *, as_is: bool) -> Crop | _Unreadable | str:
    """Returns a Crop, or the reason why there is none."""
    sequence = track.sequence
    if track.flaw:
        return track.flaw
    if not sequence.visible[index]:
        return "absent"
    name = sequence.frames.name(index)
    try:
        data = sequence.frames.encoded(index)
    except (OSError, ValueError) as error:  # ValueError: no file can have such a name
        reason = getattr(error, "strerror", None) or error
        return _Unreadable("missing image", f"cannot read image {name} ({reason})")
    try:
        frame = _decode(data, name=name)
        if track.frame_size not in (None, _size(frame)):
            # Annotated as stored, without the rotation that the camera noted?
            frame = _decode(data, name=name, turn=False)
            if as_is or track.frame_size != _size(frame):
                return _Unreadable("other size than annotated", _contradiction(track, name, frame))
    except ValueError as error:
        return _Unreadable("corrupt image", str(error))
    box = sequence.boxes[index]
    flaw = box_flaw(box, _size(frame))
    if flaw or as_is:
        return flaw or Crop(data, box)
    patch = cv2.cvtColor(cut_patch(frame, box), cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", patch, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return Crop(encoded.tobytes(), patch_box(box))


def _size(frame):
    return frame.shape[1], frame.shape[0]


def _contradiction(track, name, frame):
    sizes = [f"{width} x {height}" for width, height in (_size(frame), track.frame_size)]
    return f"{name} has {sizes[0]} pixels without rotation, its annotation says {sizes[1]}"


def curate(
    tracks: list[Track], *, as_is: bool
) -> tuple[list[dict[int, Crop]], collections.Counter, list[str]]:
    """Turns the tracks of one video into crops, leaving out what cannot be learned from.

    Args:
      tracks: objects of one video; a frame they share is decoded once.
      as_is: keep the source images and boxes instead of cutting patches.

    Returns:
      For each track a dict of frame index -> `Crop`, in the order of the frames; a
      Counter of reason -> dropped boxes; a message on each image that cannot be used.
    """
    crops = [{} for _ in tracks]
    dropped, messages = collections.Counter(), {}  # a dict, as it keeps the order
    turns = (
        (number, order, index)
        for order, track in enumerate(tracks)
        for index, number in enumerate(track.sequence.frame_numbers)
    )
    for _, order, index in sorted(turns):
        result = _curate_frame(tracks[order], index, as_is=as_is)
        if isinstance(result, Crop):
            crops[order][index] = result
        elif isinstance(result, _Unreadable):
            dropped[result.reason] += 1
            messages[result.message] = None
        else:
            dropped[result] += 1
    return crops, dropped, list(messages)
