"""Patches: the square around an object, and where the object lies in it."""

import jax
import numpy as np
import pytest

from siamfc_jax.crops import crop, mean_color
from siamfc_jax.data import patches
from siamfc_jax.geometry import EXEMPLAR_SIZE, PATCH_SIZE, exemplar_side


def test_patch_scale_gives_the_exemplar_127_pixels():
    # sqrt((40 + 50) (60 + 50)) pixels of the image become 127: paper, section 3.4
    scale = patches.patch_scale(np.float32([10, 20, 40, 60]))
    assert scale == pytest.approx(127 / np.sqrt(9900), rel=1e-6)


def test_patch_box_by_hand():
    box = patches.patch_box(np.float32([10, 20, 40, 60]))
    size = np.array([40, 60]) * 127 / np.sqrt(9900)
    np.testing.assert_allclose(box, [*(159.5 - size / 2), *size], rtol=1e-6)
    assert box.dtype == np.float32


def test_patch_box_is_where_the_object_lies_in_its_patch():
    image = np.zeros((200, 300, 3), np.uint8)
    image[70:110, 140:170] = 255
    box = np.float32([140, 70, 30, 40])
    bright = patches.cut_patch(image, box)[..., 0] > 127
    rows, columns = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
    x, y, width, height = patches.patch_box(box)
    np.testing.assert_allclose([columns[0], rows[0]], [x, y], atol=1)
    np.testing.assert_allclose([len(columns), len(rows)], [width, height], atol=1)


@pytest.mark.parametrize(
    "box", [(100.3, 70.8, 41, 63), (-20, -15, 60, 44), (10, 20, 190, 150)], ids=str
)
def test_patch_is_a_crop(box):
    smooth = np.random.default_rng(0).uniform(0, 255, (12, 16, 3))
    image = np.uint8(np.kron(smooth, np.ones((16, 16, 1))))
    box = np.float32(box)
    side = exemplar_side(box[2:], context=patches.CONTEXT) * (PATCH_SIZE / EXEMPLAR_SIZE)
    expected = jax.jit(crop, static_argnames="size")(
        image, box[:2] + box[2:] / 2, side, mean_color(image), size=PATCH_SIZE
    )
    error = np.abs(patches.cut_patch(image, box) - np.asarray(expected))
    # Rounded to whole grey levels; older OpenCV rounds positions to 1/32 pixel as well.
    assert error.mean() < 0.5
    assert error.max() < 10


def test_patch_has_the_object_in_its_middle():
    image = np.zeros((200, 300, 3), np.uint8)
    image[90:94, 150:158] = 255  # centre (154, 92)
    patch = patches.cut_patch(image, np.float32([144, 72, 20, 40])).astype(float).sum(-1)
    positions = np.arange(PATCH_SIZE) + 0.5 - PATCH_SIZE / 2
    assert patch.sum(0) @ positions / patch.sum() == pytest.approx(0, abs=0.05)
    assert patch.sum(1) @ positions / patch.sum() == pytest.approx(0, abs=0.05)


def test_patch_is_rgb_and_the_mean_colour_outside():
    image = np.full((50, 60, 3), (200, 100, 50), np.uint8)
    np.testing.assert_array_equal(
        patches.cut_patch(image, np.float32([0, 0, 20, 20])),
        np.broadcast_to(np.uint8([200, 100, 50]), (PATCH_SIZE, PATCH_SIZE, 3)),
    )
