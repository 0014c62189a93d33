"""Confidence and the lost state, on numbers worked out by hand and on made frames."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mirrored_scene import BOX, PARAMS, init, scene

from siamfc_jax.config import TrackerConfig
from siamfc_jax.tracking import confidence, tracker

# The relative score of a peak alone: confident over .6, not under .4.
CONFIG = TrackerConfig(confidence_share=40.0, confidence_bias=-20.0, window_influence=0.0)
EMPTY = np.full((304, 320, 3), 170, np.uint8)  # features of zero


def follow(frames, config=CONFIG, state=None):
    """Returns (confidence, lost) of each frame, and the last state."""
    state, certainties = state or init(config=config), []
    for frame in frames:
        state, _, _ = tracker.step(PARAMS, state, frame, config=config)
        certainties.append((float(state.confidence), bool(state.lost)))
    return certainties, state


def test_the_relative_score_leaves_out_the_bias():
    params = {"params": {"adjust": {"gain": np.float32(0.5), "bias": np.float32(-3)}}}
    exemplar = jnp.zeros((2, 3, 6, 6, 4)).at[:, 1, 0, 0].set(jnp.array([[1.0], [2.0]]))
    exemplar = exemplar.at[:, 0].set(9.0)  # only the middle scale counts
    ratio = confidence.relative_score(params, exemplar, jnp.array([-3.0, 5.0]))
    np.testing.assert_allclose(ratio, [0, 8 / (0.5 * 16)])


def lost_flags(values, *, after):
    """Runs confidences through the state machine, with a logit that is the score."""
    config = TrackerConfig(
        confidence_score=1.0, confidence_share=0.0, confidence_bias=0.0,
        lost_below=0.3, found_above=0.5, lost_after=after,
    )  # fmt: skip
    params = {"params": {"adjust": {"gain": np.float32(1), "bias": np.float32(0)}}}
    state, flags = init()._replace(exemplar=jnp.ones((1, 6, 6, 1))), []
    for value in values:
        score = jnp.float32(np.log(value / (1 - value)))
        state = confidence.update_confidence(params, state, score, config=config)
        assert float(state.confidence) == pytest.approx(value, abs=1e-6)
        flags.append("L" if state.lost else ".")
    return "".join(flags)


@pytest.mark.parametrize(
    ("values", "after", "expected"),
    [
        ([0.2, 0.9, 0.2, 0.4, 0.2, 0.9], 2, "......"),  # never twice in a row
        ([0.9, 0.2, 0.1, 0.4, 0.45, 0.6, 0.4], 2, "..LLL.."),  # found only over .5
        ([0.2, 0.9], 1, "L."),
        ([0.2, 0.2, 0.2, 0.2, 0.9, 0.2], 4, "...L.."),
    ],
)
def test_lost_with_patience_and_found_above_another_threshold(values, after, expected):
    assert lost_flags(values, after=after) == expected


def test_an_object_that_is_gone_is_lost_and_found_again():
    certainties, _ = follow([scene(), EMPTY, EMPTY, EMPTY, scene(), scene()])
    confidences, lost = zip(*certainties, strict=True)
    assert lost == (False, False, True, True, False, False)
    assert min(confidences[0], *confidences[4:]) > 0.99 and max(confidences[1:4]) < 0.01


def test_the_first_frame_is_certain():
    state = init(config=CONFIG)
    assert (float(state.confidence), bool(state.lost), int(state.low_frames)) == (1, False, 0)
    assert init(box=np.stack([BOX, BOX])).lost.shape == (2,)


def test_the_state_goes_through_scan_several_objects_and_several_videos():
    frames = np.stack([scene(), EMPTY, EMPTY, EMPTY, scene()])
    expected, last = follow(frames)
    after, states, _, _ = tracker.scan_frames(PARAMS, init(config=CONFIG), frames, config=CONFIG)
    confidences, lost = np.array(expected).T
    np.testing.assert_allclose(states.confidence, confidences, atol=1e-5)
    np.testing.assert_array_equal(states.lost, lost)
    assert states.exemplar is None and states.center.shape == (5, 2)
    assert (float(after.confidence), bool(after.lost)) == (confidences[-1], False)

    both = init(box=np.stack([BOX, BOX + 3]), config=CONFIG)
    videos = jax.tree.map(lambda array: jnp.stack([array, array]), both)
    sizes = np.int32([[320, 304]] * 2)
    for frame in frames[:3]:
        pair = np.stack([scene(), frame])
        videos, _, _ = tracker.step_videos(PARAMS, videos, pair, sizes, config=CONFIG)
    np.testing.assert_array_equal(videos.lost, [[False, False], [True, True]])
    assert last.lost == after.lost


def test_boxes_do_not_depend_on_it():
    other = TrackerConfig(confidence_share=1.0, lost_after=1, window_influence=0.0)
    state = init(config=CONFIG)
    for outcome, expected in zip(
        tracker.step(PARAMS, state, scene(8, 8), config=other)[1:],
        tracker.step(PARAMS, state, scene(8, 8), config=CONFIG)[1:],
        strict=True,
    ):
        np.testing.assert_array_equal(outcome, expected)
