"""Hand-computed values of vot_measures, and the toolkit's own where it is installed."""

import numpy as np
import pytest

from siamfc_jax.evaluation import vot_measures
from siamfc_jax.evaluation.vot_files import FAILED, STARTED, TRACKED, UNKNOWN, Trajectory

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
    assert vot_measures.region_overlap(a, b, FRAME) == pytest.approx(expected)
    assert vot_measures.region_overlap(b, a, FRAME) == pytest.approx(expected)


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
        assert vot_measures.region_overlap(a, b, FRAME) == raster.calculate_overlap(
            shape_a, shape_b, FRAME
        )


def test_overlaps_are_zero_without_a_box_or_a_region():
    trajectory = Trajectory(
        np.array([STARTED, TRACKED, TRACKED, FAILED]),
        np.array([[np.nan] * 4, [0, 0, 10, 10], [0, 0, 10, 10], [np.nan] * 4]),
        np.full(4, np.nan),
    )
    regions = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [np.nan] * 4, [0, 0, 10, 10]])
    np.testing.assert_array_equal(
        vot_measures.overlaps(trajectory, regions, (100, 80)), [0, 1, 0, 0]
    )
    with pytest.raises(ValueError, match="4 frames were tracked, 3 have a true region"):
        vot_measures.overlaps(trajectory, regions[:3], (100, 80))


def test_accuracy_leaves_out_ten_frames_from_each_start():
    codes = np.array([STARTED] + [TRACKED] * 11 + [FAILED] + [UNKNOWN] * 4 + [STARTED, TRACKED])
    values = np.zeros(len(codes))
    values[1:10], values[10], values[11], values[-1] = 0.9, 0.2, 0.4, 1.0
    assert vot_measures.accuracy(codes, values) == pytest.approx(0.3)
    assert vot_measures.accuracy(codes[:5], values[:5]) == 0.0


def test_fragments_end_at_failures():
    codes = [STARTED, TRACKED, FAILED, UNKNOWN, STARTED, FAILED, STARTED, TRACKED]
    values = np.arange(8) / 10
    pieces = vot_measures.fragments(codes, values)
    assert [complete for _, complete in pieces] == [False, False, True]
    np.testing.assert_array_equal(pieces[0][0], [0, 0.1])
    np.testing.assert_array_equal(pieces[1][0], [0.4])
    np.testing.assert_array_equal(pieces[2][0], [0.6, 0.7])


def test_expected_overlap_curve_by_hand():
    # A whole run of 4 frames, and one of 2 that failed: it goes on as zeros.
    pieces = [(np.array([0, 0.8, 0.6, 0.4]), True), (np.array([0, 0.4]), False)]
    curve = vot_measures.expected_overlap_curve(pieces)
    np.testing.assert_allclose(curve, [0, (0.8 + 0.4) / 2, (0.7 + 0.2) / 2, (0.6 + 0.4 / 3) / 2])
    # A short whole run says nothing about longer ones.
    curve = vot_measures.expected_overlap_curve(
        [(np.array([0, 0.8, 0.6]), True), (np.array([0, 0]), True)]
    )
    np.testing.assert_allclose(curve, [0, 0.4, 0.7])


def test_expected_average_overlap_includes_both_ends():
    assert vot_measures.expected_average_overlap([0, 0.1, 0.2, 0.3, 0.9], 1, 3) == pytest.approx(
        0.2
    )
    with pytest.raises(ValueError, match="run lengths 5 to 9, but the longest run has 3 frames"):
        vot_measures.expected_average_overlap([0, 0, 0], 5, 9)


def test_supervised_report_by_hand():
    long = np.array([STARTED] + [TRACKED] * 19)
    short = np.array([STARTED, TRACKED, FAILED, UNKNOWN, UNKNOWN])
    runs = {
        "long": [(long, np.where(long == TRACKED, 0.5, 0))],
        "short": [(short, np.where(short == TRACKED, 1.0, 0))],
    }
    report = vot_measures.supervised_report(runs, low=1, high=2)
    assert report["failures"] == 1
    assert report["failures_weighted"] == pytest.approx(5 / 25)
    assert report["failure_rate"] == pytest.approx(4)
    assert report["reliability"] == pytest.approx(np.exp(-30 * 0.2 / 12.5))
    assert report["accuracy"] == pytest.approx(0.5 * 20 / 25)  # the short run is all burn-in
    assert report["eao"] == pytest.approx(((0.5 + 1) / 2 + (0.5 + 0.5) / 2) / 2)
    assert len(report["curve"]) == 20
    assert report["sequences"] == {
        "long": {"accuracy": 0.5, "failures": 0},
        "short": {"accuracy": 0, "failures": 1},
    }


def test_progress_ends_where_ten_lost_frames_begin():
    values = np.array([0.0] + [0.5] * 4 + [0.1] * 9 + [0.5] + [0.1] * 12)
    present = np.ones(len(values), bool)
    assert vot_measures.progress(values, present) == 15
    present[16] = False  # a frame without the object is no loss and breaks the row
    assert vot_measures.progress(values, present) == 17
    assert vot_measures.progress(np.zeros(12), np.ones(12, bool)) == 0
    assert vot_measures.progress(np.zeros(9), np.ones(9, bool)) == 9


def test_multi_start_report_by_hand():
    whole = np.array([0, 0.6, 0.6, 0.6])
    lost = np.array([0, 0.8] + [0.0] * 10)
    runs = {"a": [(whole, np.ones(4, bool)), (lost, np.ones(12, bool))]}
    report = vot_measures.multi_start_report(runs, lengths={"a": 12}, low=1, high=3)
    assert report["accuracy"] == pytest.approx((3 * 0.6 + 0.8) / (4 + 2))
    assert report["robustness"] == pytest.approx((4 + 2) / (4 + 12))
    np.testing.assert_allclose(report["curve"], [0, 0.7, 0.5])
    assert report["eao"] == pytest.approx(0.6)
    assert report["sequences"]["a"] == {"accuracy": report["accuracy"], "robustness": 6 / 16}


def test_a_lost_run_counts_beyond_its_end():
    lost = np.array([0, 0.8] + [0.0] * 10)
    sums, numbers = vot_measures.multi_start_curve([(lost, False)], 15)
    np.testing.assert_array_equal(numbers[1:], 1)
    np.testing.assert_allclose(sums[[1, 2, 11, 12, 14]], [0.8, 0.4, 0.8 / 11, 0.8 / 11, 0.8 / 13])
    sums, numbers = vot_measures.multi_start_curve([(lost, True)], 15)
    np.testing.assert_array_equal(numbers[12:], 0)
