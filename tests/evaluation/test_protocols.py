"""The protocols: the runs of TRE and SRE, and results on disk, by trackers that are known."""

import time

import numpy as np
import pytest

from siamfc_jax.data.sequences import Sequence
from siamfc_jax.evaluation import protocols
from siamfc_jax.evaluation.protocols import MULTISTART, OPE, SRE, SUPERVISED, TRE


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


@pytest.mark.parametrize(
    ("protocol", "count"),
    [(OPE, 1), (TRE, 19), (SRE, 12), (SUPERVISED, 1), (MULTISTART, 2)],  # 11 frames have 20 left
    ids=["ope", "tre", "sre", "supervised", "multistart"],
)
def test_results_are_written_once_and_read_back(tmp_path, protocol, count):
    sequence = make_sequence(30, anchors=np.array([1] + [0] * 28 + [-1]))
    protocols.run_sequence(protocol, identity, sequence, tmp_path, one_based=True)
    runs = protocols.read_runs(protocol, sequence, tmp_path, one_based=True)
    assert len(runs) == count
    assert [len(result.boxes) for result, _ in runs] == [len(run.boxes) for _, run in runs]
    stamps = [path.stat().st_mtime_ns for path in sorted(tmp_path.rglob("moving*.txt"))]
    assert protocols.pending_runs(protocol, [sequence], tmp_path) == []
    protocols.run_sequence(protocol, None, sequence, tmp_path, one_based=True)
    assert stamps == [path.stat().st_mtime_ns for path in sorted(tmp_path.rglob("moving*.txt"))]


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path):
    sequence = make_sequence(30)
    protocols.run_sequence(SRE, identity, sequence, tmp_path, one_based=False)
    whole = {path: path.read_text() for path in tmp_path.rglob("moving_??.txt")}
    lost = tmp_path / "sre" / "moving_07.txt"
    lost.unlink()
    with pytest.raises(ValueError, match=r"no .*moving_07.txt; expected a result file"):
        protocols.read_runs(SRE, sequence, tmp_path, one_based=False)
    protocols.run_sequence(SRE, identity, sequence, tmp_path, one_based=False)
    assert {path: path.read_text() for path in tmp_path.rglob("moving_??.txt")} == whole


def test_temporal_runs_end_with_the_sequence(tmp_path):
    runs = TRE.list_runs(make_sequence(30))
    assert [run.name for run in runs[:2]] == ["tre/moving_01", "tre/moving_02"]
    assert len(runs[0].sequence.frames) == 30 and len(runs[-1].sequence.frames) == 20
    np.testing.assert_array_equal(runs[-1].sequence.boxes[0], [40, 10, 10, 10])
