"""The harness of siamfc_jax.evaluation.runner, driven by trackers whose numbers are known."""

import numpy as np
import pytest

from siamfc_jax.data.sequences import Sequence
from siamfc_jax.evaluation import runner

BOXES = np.array([[10, 10, 20, 20], [15, 10, 20, 20], [20, 10, 20, 20], [30, 10, 20, 20]], "f4")
FRAMES = np.zeros((4, 60, 80, 3), np.uint8)


def make_sequence(name="moving", boxes=BOXES):
    visible = np.isfinite(boxes).all(1)
    return Sequence(name, FRAMES[: len(boxes)], boxes, visible, np.arange(len(boxes)))


def identity(frames, box):
    """Stays where it was put."""
    for _ in frames:
        yield box, 0.5


def test_one_pass_of_the_identity_tracker():
    result = runner.one_pass(identity, make_sequence())
    np.testing.assert_array_equal(result.boxes, np.tile(BOXES[0], (4, 1)))
    np.testing.assert_array_equal(result.scores, [0.5] * 4)
    assert np.isnan(result.lost).all()
    assert (result.seconds >= 0).all() and (result.read_seconds > 0).all()


def test_one_pass_can_start_from_another_box():
    result = runner.one_pass(identity, make_sequence(), box=[0, 0, 5, 5])
    np.testing.assert_array_equal(result.boxes, [[0, 0, 5, 5]] * 4)


def test_reading_time_is_not_the_trackers():
    class Slow:
        def __len__(self):
            return 3

        def __getitem__(self, index):
            import time

            time.sleep(0.02)
            return FRAMES[0]

    sequence = make_sequence(boxes=BOXES[:3])._replace(frames=Slow())
    result = runner.one_pass(identity, sequence)
    assert (result.read_seconds >= 0.02).all()
    assert (result.seconds < 0.02).all()


def test_a_tracker_that_stops_early_is_an_error():
    def short(frames, box):
        yield box, 1.0

    with pytest.raises(ValueError, match="the tracker stopped after 1 of 4 frames"):
        runner.one_pass(short, make_sequence())


@pytest.mark.parametrize("box", [[np.nan] * 4, [1, 2, 0, 4]])
def test_a_sequence_must_begin_with_a_box(box):
    with pytest.raises(ValueError, match=r"first frame needs a box of positive size, got \["):
        runner.one_pass(identity, make_sequence(), box=box)


def test_follow_may_be_left_early():
    steps = runner.follow(identity, FRAMES, [0, 0, 5, 5])
    first = next(steps)
    np.testing.assert_array_equal(first.box, [0, 0, 5, 5])
    steps.close()
