"""The runs of VOT, with restarts and from anchors, by trackers whose behaviour is known."""

import numpy as np
import pytest
from test_protocols import identity, make_sequence

from siamfc_jax.evaluation import protocols, vot_runs
from siamfc_jax.evaluation.vot_files import FAILED, STARTED, TRACKED, UNKNOWN


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
