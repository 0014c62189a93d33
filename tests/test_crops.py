"""Crops against a float64 loop, and the laws that half a pixel would break."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siamfc_jax import crops
from siamfc_jax.crops import mean_color

crop, crop_pyramid = (
    jax.jit(function, static_argnames="size") for function in (crops.crop, crops.crop_pyramid)
)
IMAGE = np.random.default_rng(0).integers(0, 256, (13, 17, 3), np.uint8)
FILL = np.array([10.0, 100, 200], np.float32)


def crop_loop(image, center, side, fill, size):
    """Bilinear between pixel centres at + .5, in float64; outside, pixels of colour `fill`."""
    height, width, _ = image.shape
    side = np.broadcast_to(side, 2)
    result = np.zeros((size, size, 3))
    for row, column in np.ndindex(size, size):
        x = center[0] + ((column + 0.5) / size - 0.5) * side[0] - 0.5
        y = center[1] + ((row + 0.5) / size - 0.5) * side[1] - 0.5
        for r in (int(np.floor(y)), int(np.floor(y)) + 1):
            for c in (int(np.floor(x)), int(np.floor(x)) + 1):
                inside = 0 <= r < height and 0 <= c < width
                color = image[r, c] if inside else fill
                result[row, column] += (1 - abs(x - c)) * (1 - abs(y - r)) * np.float64(color)
    return result


@pytest.mark.parametrize(
    "center, side",
    [
        ((8.5, 6.5), 9.0),
        ((8.3, 6.1), 5.7),
        ((2.0, 12.0), 30.0),  # beyond all four borders
        ((0.0, 0.0), 4.0),
        ((16.9, 3.3), (7.5, 3.25)),  # wider than high
        ((40.0, -20.0), 6.0),  # nothing but fill
    ],
)
def test_crop_is_bilinear(center, side):
    expected = crop_loop(IMAGE, center, side, FILL, 8)
    for image in (IMAGE, IMAGE.astype(np.float32)):
        result = crop(image, jnp.float32(center), jnp.float32(side), FILL, size=8)
        assert result.dtype == jnp.float32
        np.testing.assert_allclose(result, expected, atol=2e-3)


def test_crop_at_its_own_side_returns_the_pixels():
    result = crop(IMAGE, jnp.array([9.5, 5.5]), jnp.float32(7), FILL, size=7)
    np.testing.assert_allclose(result, IMAGE[2:9, 6:13], atol=1e-3)


def test_crop_reads_coordinates():
    # An image that shows at each pixel the x and y of its centre.
    rows, columns = np.mgrid[:20, :30] + 0.5
    image = np.stack([columns, rows, 0 * rows], -1).astype(np.float32)
    result = crop(image, jnp.array([14.2, 9.1]), jnp.array([8.0, 4.0]), FILL, size=16)
    np.testing.assert_allclose(result[5, :, 0], 14.2 + (np.arange(16) - 7.5) * 0.5, atol=1e-5)
    np.testing.assert_allclose(result[:, 5, 1], 9.1 + (np.arange(16) - 7.5) * 0.25, atol=1e-5)


def test_crop_moves_with_the_image():
    moved = np.roll(IMAGE, (3, -2), (0, 1))
    side = jnp.float32(3.3)
    here = crop(IMAGE, jnp.array([9.1, 6.4]), side, FILL, size=5)
    there = crop(moved, jnp.array([7.1, 9.4]), side, FILL, size=5)
    np.testing.assert_allclose(there, here, atol=1e-3)


def test_crop_of_the_fill_colour_has_no_border():
    image = np.broadcast_to(np.uint8([10, 100, 200]), (6, 5, 3))
    result = crop(image, jnp.array([1.0, 5.0]), jnp.float32(20), FILL, size=9)
    np.testing.assert_array_equal(result, np.broadcast_to(FILL, (9, 9, 3)))


def test_crop_has_the_gradient_of_a_ramp():
    image = jnp.tile(2 * jnp.arange(20.0)[None, :, None], (20, 1, 3))  # 2 a pixel, rightwards

    def value(center, side):
        return crop(image, center, side, FILL, size=4)[0, 3, 0]

    by_center, by_side = jax.jit(jax.grad(value, (0, 1)))(jnp.array([10.2, 9.7]), jnp.float32(6))
    np.testing.assert_allclose(by_center, [2, 0], atol=1e-5)
    assert by_side == pytest.approx(2 * 0.375, abs=1e-5)  # the sample lies at .375 sides


def test_pyramid_is_a_loop():
    center, sides = jnp.array([8.2, 7.7]), jnp.array([4.0, 9.0, 31.0])
    pyramid = crop_pyramid(IMAGE, center, sides, FILL, size=6)
    for side, level in zip(sides, pyramid, strict=True):
        np.testing.assert_allclose(level, crop(IMAGE, center, side, FILL, size=6), atol=1e-3)


def test_crop_is_the_same_without_jit():
    window = jnp.array([8.2, 7.7]), jnp.float32(9.5), FILL
    expected = crop(IMAGE, *window, size=6)
    np.testing.assert_allclose(crops.crop(IMAGE, *window, size=6), expected, atol=1e-3)


def test_mean_color_is_exact_on_large_frames():
    # A float32 sum, taken pixel by pixel, would be 3 grey levels off.
    frame = np.broadcast_to(np.uint8([201, 3, 255]), (1080, 1920, 3))
    np.testing.assert_allclose(jax.jit(mean_color)(frame), [201, 3, 255], atol=1e-3)
    np.testing.assert_allclose(mean_color(IMAGE), IMAGE.mean((0, 1)), atol=1e-4)
