"""Confidence and the lost state, on numbers worked out by hand and on made frames."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mirrored_scene import BOX, PARAMS, init, scene

from siamfc_jax.config import TrackerConfig
from siamfc_jax.tracking import confidence, tracker

# The share of a peak alone: sure over .6, unsure under .4.
CONFIG = TrackerConfig(confidence_share=40.0, confidence_bias=-20.0, window_influence=0.0)
EMPTY = np.full((304, 320, 3), 170, np.uint8)  # features of zero


def follow(frames, config=CONFIG, state=None):
    """Returns (confidence, lost) of each frame, and the last state."""
    state, found = state or init(config=config), []
    for frame in frames:
        state, _, _ = tracker.step(PARAMS, state, frame, config=config)
        found.append((float(state.confidence), bool(state.lost)))
    return found, state


def test_the_share_of_the_own_response_leaves_out_the_bias():
    params = {"params": {"adjust": {"gain": np.float32(0.5), "bias": np.float32(-3)}}}
    exemplar = jnp.zeros((2, 3, 6, 6, 4)).at[:, 1, 0, 0].set(jnp.array([[1.0], [2.0]]))
    exemplar = exemplar.at[:, 0].set(9.0)  # only the middle scale counts
    share = confidence.share_of_own(params, exemplar, jnp.array([-3.0, 5.0]))
    np.testing.assert_allclose(share, [0, 8 / (0.5 * 16)])


def judge(values, *, after=2):
    """Runs confidences through the state machine, with a logit that is the score."""
    config = TrackerConfig(
        confidence_score=1.0, confidence_share=0.0, confidence_bias=0.0,
        lost_below=0.3, found_above=0.5, lost_after=after,
    )  # fmt: skip
    params = {"params": {"adjust": {"gain": np.float32(1), "bias": np.float32(0)}}}
    state = types.SimpleNamespace(exemplar=jnp.ones((1, 6, 6, 1)), lost=False, doubts=0)
    state._replace = lambda **changes: types.SimpleNamespace(**{**vars(state), **changes})
    found = []
    for value in values:
        score = jnp.float32(np.log(value / (1 - value)))
        state = confidence.judge(params, state, score, config=config)
        state._replace = functools.partial(lambda old, **new: types.SimpleNamespace(
            **{**vars(old), **new}), state)  # fmt: skip
        assert float(state.confidence) == pytest.approx(value, abs=1e-6)
        found.append("L" if state.lost else ".")
    return "".join(found)


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
    assert judge(values, after=after) == expected


def test_an_object_that_is_gone_is_lost_and_found_again():
    found, _ = follow([scene(), EMPTY, EMPTY, EMPTY, scene(), scene()])
    sure, lost = zip(*found, strict=True)
    assert lost == (False, False, True, True, False, False)
    assert min(sure[0], *sure[4:]) > 0.99 and max(sure[1:4]) < 0.01


def test_the_first_frame_is_certain():
    state = init(config=CONFIG)
    assert (float(state.confidence), bool(state.lost), int(state.doubts)) == (1, False, 0)
    assert init(box=np.stack([BOX, BOX])).lost.shape == (2,)


def test_the_state_goes_through_scan_several_objects_and_several_videos():
    frames = np.stack([scene(), EMPTY, EMPTY, EMPTY, scene()])
    found, last = follow(frames)
    before, after, _, _ = tracker.step_through(PARAMS, init(config=CONFIG), frames, config=CONFIG)
    sure, lost = np.array(found).T
    np.testing.assert_allclose([*before.confidence[1:], after.confidence], sure, atol=1e-5)
    np.testing.assert_array_equal([*before.lost[1:], after.lost], lost)

    both = init(box=np.stack([BOX, BOX + 3]), config=CONFIG)
    videos = jax.tree.map(lambda array: jnp.stack([array, array]), both)
    sizes = np.int32([[320, 304]] * 2)
    for frame in frames[:3]:
        pair = np.stack([scene(), frame])
        videos, _, _ = tracker.step_many(PARAMS, videos, pair, sizes, config=CONFIG)
    np.testing.assert_array_equal(videos.lost, [[False, False], [True, True]])
    assert last.lost == after.lost


def test_boxes_do_not_depend_on_it():
    other = TrackerConfig(confidence_share=1.0, lost_after=1, window_influence=0.0)
    state = init(config=CONFIG)
    for found, expected in zip(
        tracker.step(PARAMS, state, scene(8, 8), config=other)[1:],
        tracker.step(PARAMS, state, scene(8, 8), config=CONFIG)[1:],
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)
