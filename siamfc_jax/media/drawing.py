"""What a person sees: boxes, labels and score maps drawn on frames.

Frames are u8[H, W, 3] in RGB order.
"""

import contextlib
import functools
import itertools

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from siamfc_jax.geometry import SEARCH_SIZE, STRIDE

BLACK, WHITE = (0, 0, 0), (255, 255, 255)
# RGB. The palette of Okabe and Ito (Color Universal Design, 2008), whose colours stay apart for
# people with protanopia, deuteranopia and tritanopia. With more objects they begin again.
COLORS = (
    (230, 159, 0),  # orange
    (86, 180, 233),  # sky blue
    (240, 228, 66),  # yellow
    (0, 114, 178),  # blue
    (204, 121, 167),  # reddish purple
    (0, 158, 115),  # bluish green
    (213, 94, 0),  # vermilion
)
# Of Linux, macOS and Windows, those with the most letters first.
FONTS = ("NotoSansCJK-Regular.ttc", "DejaVuSans.ttf", "Arial Unicode.ttf", "msyh.ttc", "arial.ttf")


def draw(frame, boxes, confidences, lost, names, *, colors=COLORS):
    """Draws boxes, each with a plate that has its name and confidence; dashed where it is lost.

    Lines have a black casing, and plates a rim, so that they show on ground of their own colour.

    Args:
      frame: u8[H, W, 3] RGB.
      boxes: f32[N, 4] in frame pixels.
      confidences: f32[N] in [0, 1]; NaN is not written.
      lost: bool[N].
      names: N names.
      colors: RGB of each object; with more objects they begin again.

    Returns:
      u8[H, W, 3], a new picture.
    """
    picture = np.ascontiguousarray(frame).copy()
    height, width = frame.shape[:2]
    thickness = max(1, round(min(height, width) / 240))
    plates = []
    for index, (box, confidence, gone) in enumerate(zip(boxes, confidences, lost, strict=True)):
        color = colors[index % len(colors)]
        _outline(picture, box, color, thickness, dashed=gone)
        details = ["lost"] * bool(gone)
        details += [f"{100 * confidence:.0f} %"] * bool(np.isfinite(confidence))
        ending = ": " * bool(details) + ", ".join(details)
        plates.append(_fitting_plate(names[index], ending, color, text_size(frame.shape), width))
    sizes = [plate.shape[1::-1] for plate in plates]
    for pixels, corner in zip(plates, place_plates(boxes, sizes, (width, height)), strict=True):
        _paste(picture, pixels, corner)
    return picture


def text_size(shape) -> int:
    """Returns the size of text: a thirtieth of the shorter side, but one that can be read.

    Args:
      shape: (H, W, ...) of the picture in pixels.

    Returns:
      Pixels from ascender to descender, at least 11.
    """
    return max(11, round(min(shape[:2]) / 30))


def contrast(first, second) -> float:
    """Computes the contrast of two colours, from 1 (equal) to 21 (black and white).

    Text can be read from 4.5 on (Web Content Accessibility Guidelines 2.2, 1.4.3).

    Args:
      first: RGB in 0 to 255.
      second: the same.

    Returns:
      (lighter + .05) / (darker + .05) of the relative luminances.
    """
    low, high = sorted(map(_luminance, (first, second)))
    return (high + 0.05) / (low + 0.05)


def _luminance(color):
    """Returns the relative luminance of an sRGB colour (WCAG 2.2), in [0, 1]."""
    share = np.asarray(color, np.float64) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@functools.lru_cache(maxsize=256)
def plate(text: str, color, size: int):
    """Writes a line of text on a ground of one colour, in black or white, whichever reads better.

    One of the two always has a contrast of at least 4.58 (the square root of 21) with the ground.

    Args:
      text: one line.
      color: RGB of the ground.
      size: of the text in pixels.

    Returns:
      u8[h, w, 3], with a rim in the colour of the text. It is shared, so it must not be changed.
    """
    ink = max(BLACK, WHITE, key=lambda ink: contrast(ink, color))
    font = _font(text, size)
    rim, margin = max(1, size // 16), round(size / 3)
    width = round(font.getlength(text)) + 2 * margin
    height = sum(font.getmetrics()) + margin // 2
    image = Image.new("RGB", (width, height), color)
    pen = ImageDraw.Draw(image)
    pen.rectangle([0, 0, width - 1, height - 1], outline=ink, width=rim)
    pen.text((margin, height / 2), text, font=font, fill=ink, anchor="lm")
    return np.asarray(image)


def write(picture, text, corner, color, size) -> None:
    """Writes a line of text on a plate into a picture, cut at the picture's edge.

    Args:
      picture: u8[H, W, 3], which is changed.
      text: one line.
      corner: (x, y) of the plate's left top corner in whole pixels, from 0.
      color: RGB of the plate.
      size: of the text in pixels.
    """
    _paste(picture, plate(text, color, size), corner)


def _paste(picture, pixels, corner):
    x, y = corner
    part = picture[y : y + pixels.shape[0], x : x + pixels.shape[1]]
    part[:] = pixels[: part.shape[0], : part.shape[1]]


def _font(text, size):
    """Returns Pillow's own font, or one of the system where the text has other letters."""
    if not text.isascii():
        for name in FONTS:
            with contextlib.suppress(OSError):
                return ImageFont.truetype(name, size)
    return ImageFont.load_default(size)


def _fitting_plate(name, ending, color, size, width):
    """Returns the plate of a name and what follows it, the name cut where that is too wide."""
    whole, length = plate(name + ending, color, size), len(name)
    while whole.shape[1] > width and length > 1:
        length -= 1
        whole = plate(f"{name[:length]}...{ending}", color, size)
    return whole


def place_plates(boxes, sizes, frame_size):
    """Finds places for plates: in the frame, near their boxes, not over each other if possible.

    The usual place is above the left end of the box. Where that is taken, the plate goes below,
    to the right end, into the box, and at last further away.

    Args:
      boxes: f32[N, 4] in frame pixels.
      sizes: N (width, height) in pixels.
      frame_size: (width, height) in pixels.

    Returns:
      N left top corners (x, y), in whole pixels.
    """
    taken: list[tuple] = []
    for (x, y, w, h), (width, height) in zip(np.asarray(boxes), sizes, strict=True):
        right, bottom = x + w - width, y + h
        wished = [(x, y - height), (x, bottom), (right, y - height), (right, bottom)]
        wished += [(x, y), (x, bottom - height), (x + w, y), (x - width, y)]
        # Right above or below the other plates, the nearest first.
        rows = [top + step for (_, top), (_, tall) in taken for step in (-height, tall)]
        wished += [(x, row) for row in sorted(rows, key=lambda row: abs(row - y))]
        room = np.maximum(np.subtract(frame_size, (width, height)), 0)
        places = np.clip(np.rint(wished), 0, room).astype(int).tolist()
        hidden = [
            sum(_shared_area(at, (width, height), *other) for other in taken) for at in places
        ]
        taken.append((places[int(np.argmin(hidden))], (width, height)))  # the first of the best
    return [tuple(corner) for corner, _ in taken]


def _shared_area(corner, size, other_corner, other_size):
    sides = [
        max(0, min(a + b, c + d) - max(a, c))
        for a, b, c, d in zip(corner, size, other_corner, other_size, strict=True)
    ]
    return sides[0] * sides[1]


def _outline(picture, box, color, thickness, *, dashed):
    """Draws a box in place, or its dashes, on a black casing."""
    # OpenCV counts from the centre of pixel 0; 3 bits of a fraction.
    low, high = np.rint((np.stack([box[:2], box[:2] + box[2:]]) - 0.5) * 8).astype(int)
    casing = thickness + 2 * max(1, thickness // 2)
    for line_color, width in ((BLACK, casing), (color, thickness)):
        if dashed:
            for start, end in _dashes(low, high, 32 * thickness):
                cv2.line(picture, start, end, line_color, width, cv2.LINE_AA, 3)
        else:
            cv2.rectangle(picture, low, high, line_color, width, cv2.LINE_AA, 3)


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
        levels = ((response - response.min()) / span * 255).astype(np.uint8)
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
