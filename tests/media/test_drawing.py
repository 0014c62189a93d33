"""Drawn labels, boxes and score maps: what must be readable, and where it must lie."""

import itertools

import cv2
import numpy as np
import pytest

from siamfc_jax.media import drawing

# Matrices for linear RGB of severity 1 (Machado, Oliveira and Fernandes 2009, table 1).
BLINDNESS = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def grounds(height, width):
    """Sky, night, and squares of all colours."""
    rng = np.random.default_rng(0)
    squares = rng.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return (
        np.full((height, width, 3), (135, 206, 235), np.uint8),
        np.full((height, width, 3), 5, np.uint8),
        cv2.resize(squares, (width, height), interpolation=cv2.INTER_NEAREST),
    )


def changed(picture, ground):
    """Returns (top, bottom, left, right) of the pixels that differ."""
    rows, columns = np.nonzero((picture != ground).any(axis=2))
    return rows.min(), rows.max(), columns.min(), columns.max()


def test_contrast_of_known_colours():
    assert drawing.contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert drawing.contrast((9, 99, 199), (9, 99, 199)) == 1
    # The darkest grey that passes 4.5 on white is #767676 (WebAIM).
    assert drawing.contrast((0x76,) * 3, (255, 255, 255)) == pytest.approx(4.54, abs=0.005)
    assert drawing.contrast((255, 0, 0), (255, 255, 255)) == pytest.approx(4.00, abs=0.005)


@pytest.mark.parametrize("size", [11, 16, 36])
@pytest.mark.parametrize("color", drawing.COLORS)
def test_text_can_be_read_on_its_plate(color, size):
    pixels = drawing.plate("anna: 87 %", color, size).reshape(-1, 3)
    colors, counts = np.unique(pixels, axis=0, return_counts=True)
    assert tuple(colors[counts.argmax()]) == color  # most of a plate is its ground
    contrasts = [drawing.contrast(other, color) for other in colors]
    assert max(contrasts) >= 4.5
    # The letters are thick enough to have pixels of full ink, beside the rim.
    inside = drawing.plate("anna: 87 %", color, size)[3:-3, 3:-3].reshape(-1, 3)
    assert max(drawing.contrast(other, color) for other in inside) >= 4.5


def test_plates_hide_the_ground():
    """What lies behind a label changes none of its pixels."""
    for shape in ((144, 176), (480, 640)):
        size = drawing.text_size(shape)
        plate = drawing.plate("anna: 87 %", drawing.COLORS[0], size)
        box = np.array([[40, 60, 50, 40]], np.float32)
        for ground in grounds(*shape):
            drawn = drawing.draw(ground, box, np.array([0.87]), [False], ["anna"])
            top = 60 - plate.shape[0]
            np.testing.assert_array_equal(drawn[top:60, 40 : 40 + plate.shape[1]], plate)


def test_colours_differ_for_everybody():
    def seen(color, matrix):
        share = np.array(color) / 255
        linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
        linear = np.clip(np.array(matrix) @ linear, 0, 1)
        srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        return cv2.cvtColor(np.float32(srgb)[None, None], cv2.COLOR_RGB2Lab)[0, 0]

    for matrix in (np.eye(3), *BLINDNESS.values()):
        pairs = itertools.combinations([seen(color, matrix) for color in drawing.COLORS], 2)
        # CIE 1976: 2.3 is just noticeable.
        assert min(np.linalg.norm(first - second) for first, second in pairs) > 15


@pytest.mark.parametrize("shape", [(144, 176), (480, 640), (1080, 1920)])
def test_labels_grow_with_the_frame(shape):
    ground = grounds(*shape)[1]
    box = np.array([[0.3 * shape[1], 0.4 * shape[0], 0.2 * shape[1], 0.2 * shape[0]]])
    drawn = drawing.draw(ground, box, np.array([0.87]), [False], ["anna"])
    above = int(box[0, 1]) - 5  # without the line of the box
    top, bottom, left, right = changed(drawn[:above], ground[:above])
    assert 11 <= bottom - top + 5 <= max(18, 0.06 * shape[0])
    assert right - left < 0.45 * shape[1]


def test_a_label_says_name_confidence_and_lost():
    ground = grounds(240, 320)[0]
    box = np.array([[40, 60, 200, 120]], np.float32)

    def label(name, confidence, lost):
        drawn = drawing.draw(ground, box, np.array([confidence]), [lost], [name])
        return drawn[:58].tobytes()

    assert label("a", 0.874, False) == label("a", 0.866, False) != label("a", 0.85, False)
    assert label("a", 0.5, False) != label("b", 0.5, False)
    assert label("a", 0.5, True) != label("a", 0.5, False)
    text = drawing.plate("a: lost, 20 %", drawing.COLORS[0], drawing.text_size(ground.shape))
    drawn = drawing.draw(ground, box, np.array([0.2]), [True], ["a"])
    at = np.s_[60 - text.shape[0] : 60, 40 : 40 + text.shape[1]]
    np.testing.assert_array_equal(drawn[at], text)


def test_the_box_of_a_lost_object_is_dashed():
    ground, box = np.zeros((240, 320, 3), np.uint8), np.array([[40, 60, 200, 120]], np.float32)
    here, lost = (
        drawing.draw(ground, box, np.array([0.5]), [gone], [""])[:, :, 0] for gone in (False, True)
    )
    for line in (np.s_[60:180, 39], np.s_[180, 40:240], np.s_[60:180, 240]):
        assert here[line].all()
        assert 0.3 < np.mean(lost[line] > 0) < 0.8


def test_a_line_shows_on_ground_of_its_own_colour():
    for color in drawing.COLORS:
        ground = np.full((240, 320, 3), color, np.uint8)
        box = np.array([[100, 60, 100, 120]], np.float32)
        drawn = drawing.draw(ground, box, np.array([np.nan]), [False], ["a"])
        beside = drawn[120, 96:104]
        assert max(drawing.contrast(pixel, color) for pixel in beside) > 3


def overlap(first, second):
    (x, y), (w, h) = first
    (other_x, other_y), (other_w, other_h) = second
    return max(0, min(x + w, other_x + other_w) - max(x, other_x)) * max(
        0, min(y + h, other_y + other_h) - max(y, other_y)
    )


@pytest.mark.parametrize("frame", [(176, 144), (640, 480), (1920, 1080)])
def test_plates_stay_in_the_frame_and_apart(frame):
    rng = np.random.default_rng(1)
    size = (frame[0] // 5, frame[1] // 12)
    for _ in range(100):
        # Half of the boxes begin at the same place; some reach out of the frame.
        corners = rng.uniform(-0.2, 1.1, (6, 2)) * frame
        corners[3:] = corners[0] + rng.uniform(-3, 3, (3, 2))
        boxes = np.hstack([corners, rng.uniform(0.02, 0.5, (6, 2)) * frame])
        places = drawing.place_plates(boxes, [size] * 6, frame)
        for x, y in places:
            assert 0 <= x <= frame[0] - size[0] and 0 <= y <= frame[1] - size[1]
        for first, second in itertools.combinations(places, 2):
            assert overlap((first, size), (second, size)) == 0


def test_the_usual_place_of_a_plate_is_above_its_box():
    boxes = np.array([[40, 60, 100, 50], [300, 0, 100, 50]])
    assert drawing.place_plates(boxes, [(50, 20)] * 2, (640, 480)) == [(40, 40), (300, 0)]
    # Two in the same place: the second goes below.
    assert drawing.place_plates(boxes[[0, 0]], [(50, 20)] * 2, (640, 480))[1] == (40, 110)


def test_a_name_that_is_too_long_is_cut_but_not_what_follows():
    ground = np.zeros((144, 176, 3), np.uint8)
    box = np.array([[10, 60, 50, 50]], np.float32)
    drawn = drawing.draw(ground, box, np.array([0.5]), [True], ["name " * 30])
    short = drawing.draw(ground, box, np.array([0.5]), [True], ["n"])
    # Both end with the same words: the right ends of the plates are equal.
    rows = slice(60 - 15, 58)
    _, _, _, right = changed(drawn[rows], ground[rows])
    _, _, _, short_right = changed(short[rows], ground[rows])
    assert right < 176
    np.testing.assert_array_equal(
        drawn[rows, right - 30 : right + 1], short[rows, short_right - 30 : short_right + 1]
    )


def test_drawn_box_covers_the_edge_pixels():
    frame = np.zeros((60, 80, 3), np.uint8)
    boxes = np.array([[10, 20, 31, 25], [50, 30, 11, 11]], np.float32)
    drawn = drawing.draw(frame, boxes, np.array([np.nan, 0.5]), [False, False], ["a", "b"])
    assert not frame.any()
    # The box spans [10, 41] x [20, 45]: its edges run between pixels 9 and 10, 40 and 41.
    for column in (9, 10, 40, 41):
        assert drawn[30, column].any()
    for column in (7, 12, 38, 43):
        assert not drawn[30, column].any()
    first, second = drawn[30, 10].astype(float), drawn[35, 50].astype(float)
    assert np.argmax(first) != np.argmax(second)  # two colours


def test_response_lies_where_it_was_measured():
    frame = np.zeros((100, 200, 3), np.uint8)
    logits = np.zeros((1, 3, 17, 17), np.float32)
    logits[0, 1, 4, 12] = 1  # row 4, column 12: 4 cells up, 4 to the right
    sides = np.full((1, 3), 255 / 2, np.float32)  # a cell is 4 pixels
    drawn = drawing.blend_responses(frame, logits, sides, np.array([[100, 50]], np.float32))
    row, column = np.unravel_index(np.argmax(drawn[..., 0]), drawn.shape[:2])
    assert abs(column + 0.5 - 116) <= 1
    assert abs(row + 0.5 - 34) <= 1
    assert not drawn[:, :60].any()


def test_pictures_show_the_probability_at_its_place():
    exemplar, search = np.full((127, 127, 3), 9.0), np.full((239, 239, 3), 90.0)
    logits = np.full((15, 15), -20.0)
    logits[2, 11] = 20.0
    drawn = drawing.draw_response(exemplar, search, logits)
    assert drawn.shape == (239, 605, 3) and drawn.dtype == np.uint8
    assert (drawn[:127, :127] == 9).all() and (drawn[127:, :127] == 0).all()
    assert (drawn[:, 127:366] == 90).all()
    right = drawn[:, 366:].astype(int)
    yellow = np.argwhere(right[..., 0] > 200)  # the top of the colour map
    # Cell (2, 11) lies 5 cells of 8 px above the centre and 4 to its right.
    np.testing.assert_allclose(yellow.mean(0), [119 - 40, 119 + 32], atol=1)
    assert len(yellow) == 64
