"""Boxes and scales, by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from siamfc_jax import geometry


def test_centre_and_box_are_inverse():
    boxes = jnp.array([[10.0, 20, 40, 60], [-5, 0, 1, 3]])
    np.testing.assert_array_equal(geometry.center_of(boxes), [[30, 50], [-4.5, 1.5]])
    np.testing.assert_array_equal(geometry.make_box(geometry.center_of(boxes), boxes[:, 2:]), boxes)


def test_exemplar_side_adds_a_quarter_of_the_perimeter():
    # 40 + 50 by 60 + 50; a square of side s gets 2 s.
    sides = geometry.exemplar_side(jnp.array([[40.0, 60], [31, 31]]), context=0.5)
    np.testing.assert_allclose(sides, [np.sqrt(90 * 110), 62], rtol=1e-6)
    assert geometry.exemplar_side(jnp.array([9.0, 4]), context=0.0) == 6


def test_scale_factors_are_geometric_around_1():
    np.testing.assert_allclose(geometry.scale_factors(1, step=1.1), [1])
    factors = geometry.scale_factors(5, step=1.1)
    np.testing.assert_allclose(factors, [1 / 1.21, 1 / 1.1, 1, 1.1, 1.21], rtol=1e-6)
    assert factors.dtype == jnp.float32
    assert factors[2] == 1


def test_a_cell_is_eight_crop_pixels():
    offset = jnp.array([1.0, -0.5])
    np.testing.assert_array_equal(geometry.cells_to_frame(offset, jnp.float32(255)), [8, -4])
    many = geometry.cells_to_frame(jnp.stack([offset, offset]), jnp.array([510.0, 127.5]))
    np.testing.assert_array_equal(many, [[16, -8], [4, -2]])


def test_sizes_fit_each_other():
    assert geometry.SEARCH_SIZE - geometry.TRAIN_SEARCH_SIZE == 2 * geometry.STRIDE
    # A validation search crop, moved by 32 px, still lies in the stored patch.
    assert (geometry.PATCH_SIZE - geometry.SEARCH_SIZE) // 2 == 32


def test_a_sound_box_comes_back_as_float32():
    box = geometry.check_box([600, 400, 80, 160], (480, 640, 3))  # centre on the corner
    assert box.dtype == np.float32
    np.testing.assert_array_equal(box, [600, 400, 80, 160])


@pytest.mark.parametrize(
    "box, text",
    [
        ([10, 20, 30], r"four finite numbers x,y,w,h, got \[10, 20, 30\]"),
        ([[10, 20, 30, 40]], "four finite numbers x,y,w,h, got"),
        ([10, 20, 10**400, 40], "four finite numbers x,y,w,h, got"),
        ([10, 20, np.nan, 40], "four finite numbers x,y,w,h, got"),
        ([10, 20, np.inf, 40], "four finite numbers x,y,w,h, got"),
        ("face", "four finite numbers x,y,w,h, got face"),
        (None, "four finite numbers x,y,w,h, got None"),
        ([10, 20, 0, 30], "positive width and height in pixels, got 10,20,0,30"),
        ([10, 20, 5, -30], "positive width and height in pixels, got 10,20,5,-30"),
        ([50, 50, 1e-38, 1e-38], r"sides of 0.01 to 64000 pixels .*, got 50,50,1e-38,1e-38"),
        ([-5e29, 50, 1e30, 9], r"sides of 0.01 to 64000 pixels .*, got -5e\+29,50,1e\+30,9"),
        ([630, 20, 40, 30], "inside the frame of 640 x 480 pixels, got 630,20,40,30"),
        ([10, -40, 40, 30], "inside the frame of 640 x 480 pixels, got 10,-40,40,30"),
    ],
)
def test_a_wrong_box_is_refused(box, text):
    with pytest.raises(ValueError, match=f"box must (be|have) .*{text}"):
        geometry.check_box(box, (480, 640, 3))
