"""Makes clips whose object is out of sight for a while, from videos in which it is always visible.

A piece of the surroundings slides over the object, or the camera turns away until the object has
left the picture, or another scene is cut in.
"""

from typing import NamedTuple

import cv2
import numpy as np

from siamfc_jax.data.pairs import usable_frames
from siamfc_jax.data.patches import cut_patch, patch_box

KINDS = ("covered", "left", "cut")
SLIDE = 4  # frames that it takes to cover or to leave


class OccludedClip(NamedTuple):
    """A video of one object, T frames.

    Attributes:
      frames: u8[T, H, W, 3] RGB.
      boxes: f32[T, 4] in frame pixels, known also while the object is out of sight.
      visibility: f32[T] share of the box that is visible, [0, 1].
      kind: one of KINDS.
    """

    frames: np.ndarray
    boxes: np.ndarray
    visibility: np.ndarray
    kind: str


def occlude(frames, boxes, kind: str, gap: range, *, scene, walk=0.0, seed=0) -> OccludedClip:
    """Takes the object of a video out of visibility.

    Args:
      frames: T frames u8[H, W, 3].
      boxes: f32[T, 4] in frame pixels, all known.
      kind: one of KINDS.
      gap: frames in which nothing of the object is visible.
      scene: frames u8[any, any, 3] of another place, shown during a cut.
      walk: standard deviation of the random camera motion from frame to frame, in sizes of the
        object; for tracks that hold the object in the middle of each frame.
      seed: of the camera motion.

    Returns:
      The clip. Where a turned camera would show what was not filmed, it has the mean colour.
    """
    times = np.arange(len(frames))
    # -1 before the gap, 0 in it, 1 after it; linear over the SLIDE frames beside it.
    phase = np.interp(times, [gap[0] - SLIDE, gap[0], gap[-1], gap[-1] + SLIDE], [-1, 0, 0, 1])
    boxes, size = np.asarray(boxes, np.float32), np.sqrt(np.prod(boxes[0][2:]))
    steps = np.random.default_rng(seed).normal(0, walk, (len(frames), 2)) * (times > 0)[:, None]
    pan = np.clip(np.cumsum(steps, axis=0), -0.75, 0.75) * size
    if kind == "left":
        pan += (1 - np.abs(phase))[:, None] * _way_out(boxes + _pad(pan), gap, frames[0].shape)
    images = [_shift(frame, by) for frame, by in zip(frames, pan, strict=True)]
    boxes = boxes + _pad(pan)
    visibility = _inside(boxes, images[0].shape)
    if kind == "covered":
        piece = _surroundings(images[gap[0]], boxes[gap[0]])
        for image, box, side in zip(images, boxes, phase, strict=True):
            _paste(image, box, piece, side)
        width = 1.25 * boxes[:, 2]
        free = np.abs(phase) * (width + boxes[:, 2]) / 2 - (width - boxes[:, 2]) / 2
        visibility = visibility * np.clip(free / boxes[:, 2], 0, 1)
    elif kind == "cut":
        for index in gap:
            other = scene[index % len(scene)]
            images[index] = cv2.resize(other, images[0].shape[1::-1], interpolation=cv2.INTER_AREA)
        visibility = np.where((times >= gap[0]) & (times <= gap[-1]), 0, visibility)
    return OccludedClip(
        np.stack(images), boxes.astype(np.float32), visibility.astype(np.float32), kind
    )


def _pad(pan):
    return np.hstack([pan, np.zeros_like(pan)]).astype(np.float32)


def _way_out(boxes, gap, shape):
    """Returns f64[T, 2], the shifts that move the boxes just beyond the nearest edge."""
    height, width = shape[:2]
    x, y, w, h = boxes.T
    ways = -(x + w), width - x, -(y + h), height - y
    nearest = min(range(4), key=lambda way: abs(ways[way][gap[0]]))
    shifts = np.zeros((len(boxes), 2))
    shifts[:, nearest // 2] = ways[nearest]
    return shifts


def _shift(frame, by):
    matrix = np.array([[1, 0, by[0]], [0, 1, by[1]]])
    fill = cv2.mean(frame)[:3]
    return cv2.warpAffine(frame, matrix, frame.shape[1::-1], borderValue=fill)


def _inside(boxes, shape):
    height, width = shape[:2]
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    seen = np.clip(high, 0, [width, height]) - np.clip(low, 0, [width, height])
    return np.prod(seen / boxes[:, 2:], axis=1)


def _surroundings(image, box):
    """Returns a piece beside the box, of 1.25 times its size where there is room."""
    height, width = image.shape[:2]
    left, top = np.clip(np.floor(box[:2]).astype(int), 0, [width, height])
    right, foot = np.clip(np.ceil(box[:2] + box[2:]).astype(int), 0, [width, height])
    w, h = np.maximum(np.ceil(1.25 * box[2:]).astype(int), 1)
    pieces = (
        image[top : top + h, max(left - w, 0) : left],
        image[top : top + h, right : right + w],
        image[max(top - h, 0) : top, left : left + w],
        image[foot : foot + h, left : left + w],
    )
    largest = max(pieces, key=lambda piece: piece.size)
    if not largest.size:
        largest = np.full((1, 1, 3), cv2.mean(image)[:3], np.uint8)
    return cv2.resize(largest, (int(w), int(h)))


def _paste(image, box, piece, side):
    """Lays a piece over the box; at `side` -1 or 1 it only touches the box from that side."""
    if abs(side) == 1:
        return
    size = np.array(piece.shape[1::-1])
    corner = box[:2] + (box[2:] - size) / 2 + [side * (size[0] + box[2]) / 2, 0]
    matrix = np.array([[1, 0, corner[0]], [0, 1, corner[1]]])
    cv2.warpAffine(piece, matrix, image.shape[1::-1], dst=image, borderMode=cv2.BORDER_TRANSPARENT)


def clips_of_tracks(sequences, *, length: int, gap: range):
    """Makes one clip of each track, however short; the kinds take turns.

    The usable frames of a track are played forwards and backwards until the clip is full. Each is
    cut at the scale of a search, so that all clips have one size and one compiled program tracks
    them all; the camera moves at random.

    Args:
      sequences: `data.sequences.Sequence`s.
      length: frames of a clip.
      gap: frames of the clip in which nothing of the object is visible.

    Yields:
      OccludedClip; tracks without a usable frame give none.
    """
    for number, sequence in enumerate(sequences):
        usable = usable_frames(sequence)
        if not len(usable):
            continue
        frames, boxes = [], []
        for index in np.resize([*usable, *usable[-2:0:-1]], length):
            box = sequence.boxes[index]
            frames.append(cut_patch(sequence.frames[int(index)], box))
            boxes.append(patch_box(box))
        scene, kind = _scene(sequences[number - 1], length), KINDS[number % len(KINDS)]
        yield occlude(frames, boxes, kind, gap, scene=scene, walk=0.15, seed=number)


def clips_of_videos(sequences, *, length: int, gap: range):
    """Makes a clip of every kind from each `length` consecutive frames, as they were filmed.

    Args:
      sequences: `data.sequences.Sequence`s.
      length: frames of a clip.
      gap: frames of the clip in which nothing of the object is visible.

    Yields:
      (name of the sequence, OccludedClip).
    """
    for number, sequence in enumerate(sequences):
        scene, usable = _scene(sequences[number - 1], length), usable_frames(sequence)
        for end in range(length, len(usable) + 1, length):
            part = usable[end - length : end]
            frames = [sequence.frames[int(index)] for index in part]
            for kind in KINDS:
                yield sequence.name, occlude(frames, sequence.boxes[part], kind, gap, scene=scene)


def _scene(sequence, length):
    return [sequence.frames[index] for index in range(min(len(sequence.frames), length))]
