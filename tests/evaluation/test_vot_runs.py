"""The runs of VOT, with restarts and from anchors, by trackers whose behaviour is known."""

import numpy as np
import pytest
from test_protocols import identity, make_sequence

from siamfc_jax.evaluation import protocols, vot_runs
from siamfc_jax.evaluation.vot_files import FAILED, STARTED, TRACKED, UNKNOWN, Trajectory


def supervise(track, count):
    (run,) = vot_runs.list_supervised(make_sequence(count))
    return vot_runs.run_supervised(track, run)


def test_supervised_restarts_five_frames_after_a_failure():
    # Standing still, the boxes touch for two frames (shift 4 and 8) and part in the third.
    trajectory = supervise(identity, 13)
    first = [STARTED, TRACKED, TRACKED, FAILED, *[UNKNOWN] * 4]
    second = [STARTED, TRACKED, TRACKED, FAILED, UNKNOWN]
    np.testing.assert_array_equal(trajectory.codes, first + second)
    np.testing.assert_array_equal(trajectory.boxes[9], [32, 10, 10, 10])
    assert np.isnan(trajectory.boxes[[0, 3, 4, 8, 11]]).all()
    assert np.isnan(trajectory.seconds[[4, 7, 12]]).all()
    assert (trajectory.seconds[[0, 3, 8, 11]] >= 0).all()
    values = vot_runs.overlaps_of(trajectory, make_sequence(13))
    np.testing.assert_allclose(values[:4], [0, 60 / 140, 20 / 180, 0])


def test_a_tracker_is_not_asked_beyond_its_failure():
    seen = []

    def counting(frames, box):
        for frame in frames:
            seen.append(frame)
            yield box, 0.5

    supervise(counting, 8)
    assert len(seen) == 4


def test_multi_start_runs_in_both_directions():
    sequence = make_sequence(5, anchors=np.array([1, 0, 0, -1, 0]))
    forwards, backwards = vot_runs.list_anchored(sequence)
    assert forwards.name == "baseline/moving/moving_00000000"
    assert backwards.name == "baseline/moving/moving_00000003"
    assert len(vot_runs.run_anchored(identity, forwards).codes) == 5
    back = vot_runs.run_anchored(identity, backwards)
    assert len(back.codes) == len(back.seconds) == 4
    assert back.codes[0] == STARTED
    np.testing.assert_array_equal(back.boxes[1:], [[12, 10, 10, 10]] * 3)
    with pytest.raises(ValueError, match=r"moving has no anchors; expected a file anchor.value"):
        vot_runs.list_anchored(make_sequence(5))


def test_results_are_written_and_summarized(tmp_path):
    sequence = make_sequence(13, anchors=np.array([1] + [0] * 11 + [-1]))

    def summarize(protocol):
        protocols.run_sequence(protocol, identity, sequence, tmp_path, one_based=False)
        runs = protocols.read_runs(protocol, sequence, tmp_path, one_based=False)
        return protocol.summarize({"moving": runs}, eao=(1, 2))

    summary = summarize(protocols.SUPERVISED)
    assert summary["failures"] == 2
    # Two runs that fail after two frames, one that is only begun.
    assert summary["curve"][2] == pytest.approx((60 / 140 + 20 / 180) / 2)
    assert summary["fps"] > 0
    assert summary["eao_range"] == [1, 2]
    summary = summarize(protocols.MULTISTART)
    assert summary["robustness"] == pytest.approx(3 / 13)
    names = sorted(path.stem for path in (tmp_path / "baseline" / "moving").glob("*.txt"))
    assert names == ["moving_00000000", "moving_00000012", "moving_001"]
    (tmp_path / "baseline" / "moving" / "moving_00000012.txt").unlink()
    with pytest.raises(ValueError, match=r"no .*moving_00000012.txt; expected a run"):
        protocols.read_runs(protocols.MULTISTART, sequence, tmp_path, one_based=False)


def hide_regions(sequence, frames):
    """Returns the sequence without a true region in some frames."""
    boxes = sequence.boxes.copy()
    boxes[frames] = np.nan
    return sequence._replace(boxes=boxes, regions=list(boxes.astype(float)))


def test_frames_without_a_region_are_no_failure_no_start_and_count_nowhere():
    # Standing still, the box parts from the truth in the third frame after a start. Frame 3 would
    # be the first failure, frame 9 the next start, 13 a failure, and nothing starts in the end.
    sequence = hide_regions(make_sequence(20), [3, 9, 13, 19])
    (run,) = vot_runs.list_supervised(sequence)
    trajectory = vot_runs.run_supervised(identity, run)
    first = [STARTED, TRACKED, TRACKED, TRACKED, FAILED, *[UNKNOWN] * 5]
    second = [STARTED, TRACKED, TRACKED, TRACKED, FAILED, *[UNKNOWN] * 4]
    np.testing.assert_array_equal(trajectory.codes, [*first, *second, UNKNOWN])
    np.testing.assert_array_equal(trajectory.boxes[3], [0, 10, 10, 10])
    np.testing.assert_array_equal(trajectory.boxes[11], [40, 10, 10, 10])
    summary = vot_runs.summarize_supervised({"moving": [(trajectory, sequence)]}, eao=(1, 2))
    assert summary["failures"] == 2
    assert summary["failure_rate"] == pytest.approx(100 * 2 / 16)  # 16 frames have a region
    near, far = 60 / 140, 20 / 180
    np.testing.assert_allclose(summary["curve"], [0, near, (near + far) / 2])
    assert summary["eao"] == pytest.approx((near + (near + far) / 2) / 2)


def test_accuracy_leaves_out_frames_without_a_region():
    still = make_sequence(30)._replace(boxes=np.tile(np.float32([0, 10, 10, 10]), (30, 1)))
    sequence = hide_regions(still, [20, 21])
    (run,) = vot_runs.list_supervised(sequence)
    trajectory = vot_runs.run_supervised(identity, run)
    summary = vot_runs.summarize_supervised({"still": [(trajectory, sequence)]}, eao=(1, 20))
    assert summary["accuracy"] == 1
    assert summary["failures"] == 0
    assert summary["eao"] == 1


def test_a_run_starts_at_the_first_region_and_needs_one():
    (run,) = vot_runs.list_supervised(hide_regions(make_sequence(4), [0, 1]))
    codes = vot_runs.run_supervised(identity, run).codes
    np.testing.assert_array_equal(codes, [UNKNOWN, UNKNOWN, STARTED, TRACKED])
    (run,) = vot_runs.list_supervised(hide_regions(make_sequence(4), slice(None)))
    with pytest.raises(ValueError, match="moving has no frame with a true region"):
        vot_runs.run_supervised(identity, run)


def test_a_failure_that_the_toolkit_saw_without_a_region_ends_its_fragment():
    sequence = hide_regions(make_sequence(4), [2])
    codes = np.array([STARTED, TRACKED, FAILED, STARTED])
    boxes = np.array([[np.nan] * 4, sequence.boxes[1], [np.nan] * 4, [np.nan] * 4])
    trajectory = Trajectory(codes, boxes, np.ones(4))
    summary = vot_runs.summarize_supervised({"moving": [(trajectory, sequence)]}, eao=(1, 1))
    assert summary["failures"] == 1
    assert summary["eao"] == 1
