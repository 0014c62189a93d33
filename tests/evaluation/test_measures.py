"""Numbers of siamfc_jax.evaluation.measures, computed by hand."""

import numpy as np
import pytest
from still_tracker import BOXES, make_run

from siamfc_jax.evaluation import measures


def test_numbers_of_the_identity_tracker():
    # Overlaps 1, 15/25 = .6, 10/30, 0; centre errors 0, 5, 10, 20; normalised 0, .25, .5, 1.
    times = np.array([9, 0.1, 0.2, 0.6])
    report = measures.summarize(
        {"moving": [make_run(seconds=times, reading=np.array([0, 0.1] * 2))]}
    )
    # Above 0, .05, ... 1: the first frame 20 times, the second 12, the third 7.
    assert report["success_auc"] == pytest.approx((20 + 12 + 7) / 4 / 21)
    assert report["success_50"] == pytest.approx(0.5)
    assert report["precision_20"] == pytest.approx(1)
    assert report["normalized_precision_20"] == pytest.approx(0.25)
    assert report["normalized_precision_auc"] == pytest.approx((51 + 26 + 1) / 4 / 51)
    assert report["fps"] == pytest.approx(3 / 0.9)  # the start is no frame time
    assert report["fps_median"] == pytest.approx(5)
    assert report["fps_with_reading"] == pytest.approx(3 / 1.1)
    assert report["fps_median_with_reading"] == pytest.approx(5)
    assert report["sequences"]["moving"]["success_auc"] == report["success_auc"]
    assert np.mean(report["curves"]["success"]) == pytest.approx(report["success_auc"])
    assert len(report["curves"]["precision"]) == 51


def test_sequences_weigh_the_same_whatever_their_length():
    report = measures.summarize({"long": [make_run()], "short": [make_run(BOXES[:1])]})
    by_sequence = [found["success_auc"] for found in report["sequences"].values()]
    assert by_sequence == pytest.approx([39 / 4 / 21, 20 / 21])
    assert report["success_auc"] == pytest.approx(np.mean(by_sequence))


def test_runs_of_one_sequence_are_pooled():
    report = measures.summarize({"moving": [make_run(), make_run(BOXES[:1])]})
    assert report["success_auc"] == pytest.approx((20 + 12 + 7 + 20) / 5 / 21)


def test_frames_without_a_true_box_do_not_count():
    boxes = BOXES.copy()
    boxes[2:] = np.nan
    report = measures.summarize({"moving": [make_run(boxes)]})
    assert report["success_auc"] == pytest.approx((20 + 12) / 2 / 21)


def test_the_first_frame_counts_as_given():
    result, sequence = make_run(BOXES[:1])
    result.boxes[0] = np.nan
    assert measures.summarize({"a": [(result, sequence)]})["success_auc"] == pytest.approx(20 / 21)


def test_absent_frames_may_count_as_missed():
    run = make_run(visible=[True, True, False, False])
    curves = measures.sequence_curves([run], absent_counts=True)
    assert curves["success"].mean() == pytest.approx((20 + 12) / 4 / 21)
    assert curves["precision"][20] == pytest.approx(0.5)
    assert measures.sequence_curves([run])["precision"][20] == pytest.approx(1)


def test_attributes_average_their_sequences():
    report = measures.summarize(
        {
            "a": [make_run(attributes=("OCC", "IV"))],
            "b": [make_run(BOXES[:1], attributes=("OCC", "own"))],
        }
    )
    assert list(report["attributes"]) == ["IV", "OCC", "own"]  # the order of the OTB papers
    assert [found["count"] for found in report["attributes"].values()] == [1, 2, 1]
    assert report["attributes"]["OCC"]["success_auc"] == pytest.approx(report["success_auc"])
    assert report["attributes"]["own"]["success_auc"] == pytest.approx(20 / 21)


def test_got10k_pools_frames():
    runs = {"a": [make_run()], "b": [make_run(BOXES[:2])]}
    report = measures.summarize(runs, extra=measures.got10k)
    assert report["ao"] == pytest.approx(np.mean([0.6, 1 / 3, 0, 0.6]))
    assert report["sr50"] == pytest.approx(0.5)
    assert report["sr75"] == 0
    assert report["sequences"]["b"]["ao"] == pytest.approx(0.6)
    hidden = make_run(visible=[True, True, False, False])
    assert measures.got10k({"a": [hidden]})["ao"] == pytest.approx(0.6)


def test_alov_scores_the_annotated_frames():
    boxes = BOXES.copy()
    boxes[2] = np.nan  # hits, hit, not annotated, wrong box
    runs = {"a": [make_run(boxes)], "b": [make_run(BOXES[:2])]}
    assert measures.alov(runs)["f_score"] == pytest.approx((2 / 3 + 1) / 2)
