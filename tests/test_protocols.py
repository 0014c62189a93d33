"""The runs of TRE, SRE and VOT, driven by trackers whose behaviour is known."""

import numpy as np
import pytest

from siamfc_jax import evaluation, protocols, vot
from siamfc_jax.sequences import Sequence

CODES = vot.STARTED, vot.TRACKED, vot.FAILED, vot.UNKNOWN


def make_sequence(count, *, anchors=None):
    """A square of 10 px that moves 4 px a frame to the right."""
    boxes = np.array([[4 * i, 10, 10, 10] for i in range(count)], np.float32)
    return Sequence(
        "moving",
        np.zeros((count, 40, 200, 3), np.uint8),
        boxes,
        np.ones(count, bool),
        np.arange(count),
        regions=list(boxes.astype(float)),
        anchors=anchors,
    )


def identity(frames, box):
    for _ in frames:
        yield box, 0.5


def test_temporal_starts_are_spread_over_the_usable_frames():
    boxes = np.ones((119, 4))  # frames 0..99 have 20 left, themselves included
    starts = protocols.temporal_starts(boxes)
    assert len(starts) == 20
    assert starts[0] == 0
    assert starts[1] == 5  # floor(1 + 100 / 19) - 1
    assert starts[-1] == 99
    boxes[0] = np.nan
    boxes[1, 0] = -1  # 0 in the kit's 1-based files
    assert protocols.temporal_starts(boxes)[0] == 2
    assert protocols.temporal_starts(np.ones((19, 4))) == [0]


def test_shifted_boxes_by_hand():
    boxes = protocols.shifted_boxes([50, 40, 20, 32], (200, 100))
    np.testing.assert_array_equal(boxes[:4, :2], [[48, 40], [52, 40], [50, 36], [50, 44]])
    np.testing.assert_array_equal(boxes[:4, 2:], [[20, 32]] * 4)
    # Corners move out by 2 and 3.2 px, rounded: 36.8 to 37, 75.2 to 75.
    np.testing.assert_array_equal(
        boxes[4:8], [[48, 37, 22, 35], [50, 37, 22, 35], [48, 40, 22, 35], [50, 40, 22, 35]]
    )
    np.testing.assert_array_equal(boxes[8], [52, 43, 16, 26])  # 43.2, 25.6
    np.testing.assert_array_equal(boxes[11], [48, 37, 24, 38])  # 36.8, 38.4


def test_shifted_boxes_stay_in_the_frame():
    boxes = protocols.shifted_boxes([0, 0, 20, 20], (30, 21))
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 0] + boxes[:, 2] <= 30).all()
    assert (boxes[:, 1] + boxes[:, 3] <= 21).all()
    np.testing.assert_array_equal(boxes[0], [0, 0, 20, 20])  # keeps its size at the left


def test_supervised_restarts_five_frames_after_a_failure():
    # Standing still, the boxes touch for two frames (shift 4 and 8) and part in the third.
    trajectory, seconds = protocols.supervised(identity, make_sequence(13))
    started, tracked, failed, unknown = CODES
    run = [started, tracked, tracked, failed, *[unknown] * 4]
    np.testing.assert_array_equal(trajectory.codes, [*run, started, tracked, tracked, failed, 0])
    np.testing.assert_array_equal(trajectory.boxes[9], [32, 10, 10, 10])
    assert np.isnan(trajectory.boxes[[0, 3, 4, 8, 11]]).all()
    assert np.isnan(seconds[[4, 7, 12]]).all()
    assert (seconds[[0, 3, 8, 11]] >= 0).all()
    values = vot.overlaps(trajectory, make_sequence(13).regions, (200, 40))
    np.testing.assert_allclose(values[:4], [0, 60 / 140, 20 / 180, 0])


def test_a_tracker_is_not_asked_beyond_its_failure():
    seen = []

    def counting(frames, box):
        for frame in frames:
            seen.append(frame)
            yield box, 0.5

    protocols.supervised(counting, make_sequence(8))
    assert len(seen) == 4


def test_multi_start_runs_in_both_directions():
    anchors = np.array([1, 0, 0, -1, 0])
    runs = protocols.multi_start(identity, make_sequence(5, anchors=anchors))
    assert sorted(runs) == [0, 3]
    assert [len(runs[anchor][0].codes) for anchor in (0, 3)] == [5, 4]
    assert runs[3][0].codes[0] == vot.STARTED
    np.testing.assert_array_equal(runs[3][0].boxes[1:], [[12, 10, 10, 10]] * 3)


def test_trajectories_read_back(tmp_path):
    trajectory, seconds = protocols.supervised(identity, make_sequence(10))
    protocols.write_trajectory(tmp_path / "run", "moving_001", trajectory, seconds)
    lines = (tmp_path / "run" / "moving_001.txt").read_text().splitlines()
    assert lines[:5] == ["1", "0.0000,10.0000,10.0000,10.0000", "0.0000,10.0000,10.0000,10.0000",
                         "2", "0"]  # fmt: skip
    back = protocols.read_trajectory(tmp_path / "run" / "moving_001.txt")
    np.testing.assert_array_equal(back.codes, trajectory.codes)
    np.testing.assert_array_equal(back.boxes, trajectory.boxes)
    times = (tmp_path / "run" / "moving_001_time.value").read_text().split()
    assert len(times) == 10
    assert times[4] == "0.000000"


def test_trajectory_errors(tmp_path):
    path = tmp_path / "a.txt"
    with pytest.raises(ValueError, match=r"no .*a.txt; expected a run with one line x,y,w,h or a"):
        protocols.read_trajectory(path)
    for line in ("1,2,3", "7", "x", ""):
        path.write_text(f"1\n{line}\n1,2,3,4\n")
        with pytest.raises(ValueError, match="line 2: expected x,y,w,h or a code 0, 1, 2, got"):
            protocols.read_trajectory(path)


def test_follow_may_be_left_early():
    steps = evaluation.follow(identity, make_sequence(4).frames, [0, 0, 5, 5])
    first = next(steps)
    np.testing.assert_array_equal(first.box, [0, 0, 5, 5])
    steps.close()
