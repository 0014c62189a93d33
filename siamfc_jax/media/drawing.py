"""What a person sees: boxes and score maps drawn on frames, and windows.

Frames are u8[H, W, 3] in RGB order. Only `select_boxes` and `show` need a display.
"""

import itertools
import subprocess
import sys

import cv2
import numpy as np

from siamfc_jax.geometry import SEARCH_SIZE, STRIDE

WINDOW = "siamfc_jax"
# RGB, distinct on most footage; with more objects they begin again.
COLORS = (
    (255, 64, 64),
    (64, 200, 255),
    (120, 255, 80),
    (255, 210, 0),
    (255, 90, 255),
    (0, 90, 255),
)


def draw(frame, boxes, scores, lost, names, *, colors=COLORS):
    """Draws boxes, each with its name and score; dark and dashed where the object is lost.

    Args:
      frame: u8[H, W, 3] RGB.
      boxes: f32[N, 4] in frame pixels.
      scores: f32[N]; NaN is not written.
      lost: bool[N].
      names: N names; a single object goes without.
      colors: RGB of each object; with more objects they begin again.

    Returns:
      u8[H, W, 3], a new picture.
    """
    picture = np.ascontiguousarray(frame).copy()
    unit = max(1, min(frame.shape[:2]) / 240)
    thickness = round(unit)
    for index, (box, score, gone) in enumerate(zip(boxes, scores, lost, strict=True)):
        color = colors[index % len(colors)]
        # OpenCV counts from the centre of pixel 0; 3 bits of a fraction.
        low, high = np.rint((np.stack([box[:2], box[:2] + box[2:]]) - 0.5) * 8).astype(int)
        line_color = tuple(value * 2 // 3 for value in color) if gone else color
        for start, end in _dashes(low, high, round(32 * unit)) if gone else [(low, high)]:
            draw_line = cv2.line if gone else cv2.rectangle
            draw_line(picture, start, end, line_color, thickness, cv2.LINE_AA, 3)
        words = [names[index]] * (len(boxes) > 1) + ["lost"] * bool(gone)
        words += [f"{score:.2f}"] * bool(np.isfinite(score))
        at = np.maximum(low // 8 - [0, 2 * thickness], [0, round(10 * unit)])
        cv2.putText(
            picture, " ".join(words), at, cv2.FONT_HERSHEY_SIMPLEX, 0.35 * unit, color, thickness,
            cv2.LINE_AA,
        )  # fmt: skip
    return picture


def _dashes(low, high, length):
    """Yields (start, end) of the dashes of a rectangle's sides."""
    corners = np.array([low, [high[0], low[1]], high, [low[0], high[1]], low])
    for start, end in itertools.pairwise(corners):
        count = 2 * max(1, round(np.abs(end - start).max() / length / 2)) + 1
        points = np.rint(np.linspace(start, end, count + 1)).astype(int)
        yield from zip(points[::2], points[1::2], strict=True)


def blend_responses(frame, logits, sides, centers):
    """Lays score maps over the search squares, blue for the least and red for the greatest.

    Args:
      frame: u8[H, W, 3] RGB.
      logits: f32[N, S, R, R] of N objects; the middle one of S scales is drawn.
      sides: f32[N, S] of the search squares in frame pixels.
      centers: f32[N, 2] of the search squares in frame pixels.

    Returns:
      u8[H, W, 3], a new picture.
    """
    middle = logits.shape[1] // 2
    for index, center in enumerate(np.asarray(centers)):
        response = np.asarray(logits[index, middle])
        cell = STRIDE * float(sides[index, middle]) / SEARCH_SIZE
        left, top = center - 0.5 - cell * (len(response) - 1) / 2
        span = max(float(np.ptp(response)), np.finfo(np.float32).tiny)
        levels = np.uint8((response - response.min()) / span * 255)
        matrix = np.array([[cell, 0, left], [0, cell, top]])
        heat = cv2.warpAffine(levels, matrix, frame.shape[1::-1])
        cover = cv2.warpAffine(np.full_like(levels, 128), matrix, frame.shape[1::-1])
        colors = cv2.cvtColor(cv2.applyColorMap(heat, cv2.COLORMAP_JET), cv2.COLOR_BGR2RGB)
        share = cover[..., None] / np.float32(255)
        frame = np.uint8(frame * (1 - share) + colors * share)
    return frame


def draw_response(exemplar, search, logits):
    """Draws a pair and its response side by side.

    Args:
      exemplar: f32[127, 127, 3].
      search: f32[239, 239, 3] of training, f32[255, 255, 3] of tracking.
      logits: f32[15, 15], f32[17, 17].

    Returns:
      u8[239, 605, 3] or u8[255, 637, 3] RGB: the exemplar, the search, the probability of
      each cell that it lies on the object, where that cell is in the search.
    """
    side = len(search)
    left = np.zeros((side, len(exemplar), 3))
    left[: len(exemplar)] = exemplar
    extent = logits.shape[0] * STRIDE  # in search pixels
    probability = (255 / (1 + np.exp(-logits))).astype(np.uint8)
    heat = cv2.resize(probability, (extent, extent), interpolation=cv2.INTER_NEAREST)
    heat = cv2.cvtColor(cv2.applyColorMap(heat, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)
    right = search / 3
    margin = (side - extent) // 2
    right[margin : margin + extent, margin : margin + extent] = heat
    return np.hstack([left, search, right]).astype(np.uint8)


def select_boxes(frame):
    """Lets a person draw boxes with the mouse: Enter takes one, Esc ends.

    Args:
      frame: u8[H, W, 3] RGB.

    Returns:
      f32[N, 4], N at least 1.

    Raises:
      ValueError: there is no display, or nothing was drawn.
    """
    check_display()
    boxes = cv2.selectROIs(WINDOW, cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), printNotice=False)
    cv2.destroyWindow(WINDOW)
    if not len(boxes):
        raise ValueError("no box was drawn; drag one with the mouse, Enter takes it, Esc ends")
    return np.asarray(boxes, np.float32)


def show(frame) -> bool:
    """Shows a frame u8[H, W, 3]; returns False once the person has pressed q or Esc."""
    cv2.imshow(WINDOW, cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    return cv2.waitKey(1) & 0xFF not in (ord("q"), 27)


def check_display() -> None:
    """Raises ValueError where no window can be opened.

    Tried in a process of its own, as Qt ends the process that tries in vain.
    """
    trial = [sys.executable, "-c", "import cv2; cv2.namedWindow('siamfc_jax')"]
    if subprocess.run(trial, capture_output=True).returncode:
        raise ValueError(
            "no display for a window; give the object with --box X,Y,W,H "
            "and write the result with --output out.mp4"
        )
