"""Hand-counted overlaps, and the toolkit's own where it is installed."""

import numpy as np
import pytest

from siamfc_jax.evaluation import vot_regions

FRAME = (100, 80)
SQUARE = [0, 0, 10, 0, 10, 10, 0, 10]  # covers 11 x 11 pixels


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([0, 0, 10, 10], [0, 0, 10, 10], 1.0),
        ([0, 0, 10, 10], [5, 0, 10, 10], 50 / 150),
        ([0, 0, 10, 10], [10, 0, 10, 10], 0.0),
        ([0.4, 0, 10.4, 10], [0, 0, 10, 10], 1.0),  # rounded first
        ([-5, 0, 10, 10], [0, 0, 10, 10], 50 / 100),  # pixels outside do not count
        ([95, 0, 10, 10], [90, 0, 10, 10], 50 / 100),
        ([200, 200, 10, 10], [300, 200, 10, 10], 0.0),  # both outside
        ([5, 5, 0, 0], [5, 5, 0, 0], 1.0),  # two empty regions are the same
        (SQUARE, SQUARE, 1.0),
        (SQUARE, [0, 0, 10, 10], 100 / 121),
        # A diamond of radius 5 has rows of 1, 3, ... 11 ... 3, 1 pixels: 61.
        ([20, 15, 25, 20, 20, 25, 15, 20], [15, 15, 11, 11], 61 / 121),
    ],
)
def test_overlap_counts_pixels(a, b, expected):
    assert vot_regions.overlap(a, b, FRAME) == pytest.approx(expected)
    assert vot_regions.overlap(b, a, FRAME) == pytest.approx(expected)


def test_overlap_equals_the_toolkit():
    raster = pytest.importorskip(
        "vot.region.raster", reason="vot-toolkit is not installed (extra of the evaluation)"
    )
    shapes = pytest.importorskip("vot.region.shapes")
    rng = np.random.default_rng(0)

    def draw():
        corner, size = rng.uniform(-20, 120, 2), rng.uniform(0.2, 60, 2)
        if rng.random() < 0.5:
            region = np.float32([*corner, *size])
            return region, shapes.Rectangle(*region)
        angle = rng.uniform(0, np.pi)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2 * size
        region = np.float32(corners @ turn.T + corner)
        return region.ravel(), shapes.Polygon([tuple(point) for point in region])

    for _ in range(2000):
        (a, shape_a), (b, shape_b) = draw(), draw()
        assert vot_regions.overlap(a, b, FRAME) == raster.calculate_overlap(shape_a, shape_b, FRAME)
