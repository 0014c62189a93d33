"""The runs of TRE, SRE and VOT, driven by trackers whose behaviour is known."""

import time

import numpy as np
import pytest

from siamfc_jax.data.sequences import Sequence
from siamfc_jax.evaluation import protocols, runner, vot_files

CODES = vot_files.STARTED, vot_files.TRACKED, vot_files.FAILED, vot_files.UNKNOWN


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
        time.sleep(1e-4)  # files hold microseconds; in none at all there is no rate
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
    values = vot_files.overlaps(trajectory, make_sequence(13).regions, (200, 40))
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
    sequence = make_sequence(5, anchors=anchors)
    assert protocols.anchors_of(sequence) == [0, 3]
    assert len(protocols.from_anchor(identity, sequence, 0)[0].codes) == 5
    back, seconds = protocols.from_anchor(identity, sequence, 3)
    assert len(back.codes) == len(seconds) == 4
    assert back.codes[0] == vot_files.STARTED
    np.testing.assert_array_equal(back.boxes[1:], [[12, 10, 10, 10]] * 3)
    with pytest.raises(ValueError, match=r"moving has no anchors; expected a file anchor.value"):
        protocols.anchors_of(make_sequence(5))


def test_follow_may_be_left_early():
    steps = runner.follow(identity, make_sequence(4).frames, [0, 0, 5, 5])
    first = next(steps)
    np.testing.assert_array_equal(first.box, [0, 0, 5, 5])
    steps.close()


@pytest.mark.parametrize("protocol", ["ope", "tre", "sre"])
def test_results_are_written_once_and_read_back(tmp_path, protocol):
    sequence = make_sequence(30)
    protocols.perform(identity, sequence, protocol, tmp_path, one_based=True)
    count = {"ope": 1, "tre": 19, "sre": 12}[protocol]  # 11 frames have 20 left
    runs = protocols.collect(sequence, protocol, tmp_path, one_based=True)
    assert len(runs) == count
    assert [len(result.boxes) for result, _ in runs] == [len(run.boxes) for _, run in runs]
    stamps = [path.stat().st_mtime_ns for path in sorted(tmp_path.rglob("moving*.txt"))]
    protocols.perform(None, sequence, protocol, tmp_path, one_based=True)  # nothing left to do
    assert stamps == [path.stat().st_mtime_ns for path in sorted(tmp_path.rglob("moving*.txt"))]


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path):
    sequence = make_sequence(30)
    protocols.perform(identity, sequence, "sre", tmp_path, one_based=False)
    whole = {path: path.read_text() for path in tmp_path.rglob("moving_??.txt")}
    lost = tmp_path / "sre" / "moving_07.txt"
    lost.unlink()
    with pytest.raises(ValueError, match=r"no .*moving_07.txt; expected a result file"):
        protocols.collect(sequence, "sre", tmp_path, one_based=False)
    protocols.perform(identity, sequence, "sre", tmp_path, one_based=False)
    assert {path: path.read_text() for path in tmp_path.rglob("moving_??.txt")} == whole


def test_vot_results_are_written_and_reported(tmp_path):
    sequence = make_sequence(13, anchors=np.array([1] + [0] * 11 + [-1]))
    for protocol in ("supervised", "multistart"):
        protocols.perform(identity, sequence, protocol, tmp_path, one_based=False)
    names = sorted(path.stem for path in (tmp_path / "baseline" / "moving").glob("*.txt"))
    assert names == ["moving_00000000", "moving_00000012", "moving_001"]
    report = protocols.report([sequence], "supervised", tmp_path, low=1, high=2)
    assert report["failures"] == 2
    # Two runs that fail after two frames, one that is only begun.
    assert report["curve"][2] == pytest.approx((60 / 140 + 20 / 180) / 2)
    assert report["fps"] > 0
    report = protocols.report([sequence], "multistart", tmp_path, low=1, high=2)
    assert report["robustness"] == pytest.approx(3 / 13)
    (tmp_path / "baseline" / "moving" / "moving_00000012.txt").unlink()
    with pytest.raises(ValueError, match=r"no .*moving_00000012.txt; expected a run"):
        protocols.report([sequence], "multistart", tmp_path, low=1, high=2)


def test_unknown_protocol():
    with pytest.raises(ValueError, match=r"protocol must be ope, tre, sre, .*, got 'rpe'"):
        protocols.planned(make_sequence(3), "rpe")
