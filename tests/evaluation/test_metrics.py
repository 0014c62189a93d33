"""Hand-computed values and laws of siamfc_jax.evaluation.metrics."""

import numpy as np
import pytest

from siamfc_jax.evaluation import metrics


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([0, 0, 10, 10], [0, 0, 10, 10], 1.0),
        ([0, 0, 10, 10], [10, 0, 10, 10], 0.0),  # touching edges
        ([0, 0, 10, 10], [2, 2, 5, 5], 0.25),  # nested
        ([0, 0, 10, 10], [5, 5, 10, 10], 25 / 175),
        ([-5, -5, 10, 10], [0, 0, 10, 10], 25 / 175),  # negative corner
        ([0, 0, 0, 10], [0, 0, 10, 10], 0.0),  # no width
        ([0, 0, -4, 10], [-2, 0, 10, 10], 0.0),  # negative width
        ([np.nan] * 4, [0, 0, 10, 10], 0.0),
    ],
)
def test_iou_of_hand_drawn_pairs(a, b, expected):
    assert metrics.iou(a, b) == pytest.approx(expected, abs=1e-15)
    assert metrics.iou(b, a) == metrics.iou(a, b)


def test_iou_broadcasts_and_does_not_change_its_input():
    boxes = np.array([[0, 0, 10, 10], [5, 0, 10, 10]], np.float32)
    before = boxes.copy()
    np.testing.assert_allclose(metrics.iou(boxes, [0, 0, 10, 10]), [1, 1 / 3])
    np.testing.assert_array_equal(boxes, before)


def test_iou_is_invariant_to_shift_and_scale():
    a, b = np.array([3.0, 4, 10, 20]), np.array([7.0, 1, 12, 15])
    expected = metrics.iou(a, b)
    shift = np.array([100, -50, 0, 0])
    assert metrics.iou(a + shift, b + shift) == pytest.approx(expected)
    assert metrics.iou(a * 3, b * 3) == pytest.approx(expected)


def test_center_error_is_the_distance_of_centres():
    assert metrics.center_error([0, 0, 10, 10], [3, 4, 10, 10]) == pytest.approx(5)
    # Same centre, other size.
    assert metrics.center_error([0, 0, 10, 10], [2, 2, 6, 6]) == pytest.approx(0)


def test_normalized_error_divides_by_the_true_size():
    predicted, truth = [3, 8, 10, 20], [0, 0, 10, 20]
    assert metrics.normalized_error(predicted, truth) == pytest.approx(0.5)  # (.3, .4)
    # A side below one pixel counts as one.
    assert metrics.normalized_error([2, 0, 0.5, 10], [0, 0, 0.5, 10]) == pytest.approx(2)


def test_success_is_strictly_above_the_threshold():
    perfect = metrics.success_curve(np.ones(7))
    assert perfect.shape == (21,)
    assert perfect.mean() == pytest.approx(20 / 21)
    curve = metrics.success_curve([0.5, 0.0, 1.0, 0.52])
    assert curve[0] == 0.75  # an overlap of 0 is not above 0
    assert curve[10] == 0.5  # nor is .5 above .5
    assert curve[20] == 0.0


def test_precision_is_within_the_threshold():
    curve = metrics.precision_curve([0, 20, 20.001, np.nan])
    assert curve.shape == (51,)
    assert curve[0] == 0.25
    assert curve[20] == 0.5
    assert curve[50] == 0.75  # a frame without a prediction never counts


def test_normalized_precision_uses_its_own_thresholds():
    curve = metrics.precision_curve([0.2, 0.5, 0.51], metrics.NORMALIZED_THRESHOLDS)
    assert curve[20] == pytest.approx(1 / 3)
    assert curve[50] == pytest.approx(2 / 3)


def test_curves_are_monotone():
    rng = np.random.default_rng(0)
    assert (np.diff(metrics.success_curve(rng.random(50))) <= 0).all()
    assert (np.diff(metrics.precision_curve(rng.random(50) * 60)) >= 0).all()


def test_average_overlap_and_success_rate():
    overlaps = [0.2, 0.5, 0.8]
    assert metrics.average_overlap(overlaps) == pytest.approx(0.5)
    assert metrics.success_rate(overlaps, 0.5) == pytest.approx(1 / 3)
    assert metrics.success_rate(overlaps, 0.75) == pytest.approx(1 / 3)


def test_got10k_leaves_out_first_and_hidden_frames():
    truth = np.array([[0, 0, 10, 10]] * 4, float)
    predicted = truth + [[0, 0, 0, 0], [5, 0, 0, 0], [0, 0, 0, 0], [10, 0, 0, 0]]
    overlaps = metrics.got10k_overlaps(predicted, truth, (100, 100))
    np.testing.assert_allclose(overlaps, [1 / 3, 1, 0])
    visible = [True, False, True, True]
    overlaps = metrics.got10k_overlaps(predicted, truth, (100, 100), visible=visible)
    np.testing.assert_allclose(overlaps, [1, 0])
    assert visible == [True, False, True, True]


def test_got10k_clips_to_the_frame_like_the_kit():
    # Right of the frame the extent is cut: [90, 0, 20, 10] becomes [90, 0, 10, 10].
    truth = np.array([[90, 0, 10, 10]] * 2, float)
    predicted = np.array([[90, 0, 20, 10]] * 2, float)
    assert metrics.got10k_overlaps(predicted, truth, (100, 50))[0] == pytest.approx(1)
    # Left of it the corner moves and the extent stays: [-5, 0, 10, 10] becomes [0, 0, 10, 10].
    truth = np.array([[0, 0, 10, 10]] * 2, float)
    predicted = np.array([[-5, 0, 10, 10]] * 2, float)
    assert metrics.got10k_overlaps(predicted, truth, (100, 50))[0] == pytest.approx(1)


def test_f_score_counts_a_wrong_box_twice():
    # Two hits, one wrong box on a visible object (FP and FN), one box without an object (FP),
    # one missed object (FN): P = 2/4, R = 2/4.
    overlaps = [0.9, 0.5, 0.49, 0.0, 0.0]
    predicted = [True, True, True, True, False]
    present = [True, True, True, False, True]
    assert metrics.f_score(overlaps, predicted, present) == pytest.approx(0.5)
    assert metrics.f_score([0.0], [False], [True]) == 0.0
    assert metrics.f_score([0.0], [False], [False]) == 0.0


def test_no_frames_is_an_error():
    with pytest.raises(ValueError, match=r"one number a frame, at least one, got shape \(0,\)"):
        metrics.success_curve([])
    with pytest.raises(ValueError, match=r"got shape \(2, 1\)"):
        metrics.average_overlap([[1.0], [1.0]])
