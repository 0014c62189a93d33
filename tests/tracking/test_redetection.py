"""The search of the whole frame for a lost object, on frames of which the answer is known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from mirrored_scene import BOX, PARAMS

from siamfc_jax import geometry
from siamfc_jax.config import TrackerConfig
from siamfc_jax.tracking import tracker

# Found where 7 tenths of the object lie on it.
CONFIG = TrackerConfig(
    confidence_share=40.0, confidence_bias=-28.0, window_influence=0.0, num_scales=1
)
WIDE = dataclasses.replace(CONFIG, redetect=True)


def frame_with(x, y):
    """A frame whose features are zero but for a hill about a point."""
    rows, columns = np.mgrid[:608, :640] + 0.5
    hill = 85 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * 14**2))
    return np.repeat(np.uint8(170 + hill)[..., None], 3, axis=2)


NEAR, FAR, NOWHERE = frame_with(160, 152), frame_with(480, 456), frame_with(-99, -99)


def init(boxes=BOX):
    return tracker.init(PARAMS, NEAR, boxes, config=CONFIG)


def follow(config, frames, state=None):
    state, boxes = state or init(), []
    for frame in frames:
        state, box, _ = tracker.step(PARAMS, state, frame, config=config)
        boxes.append(box)
    return state, np.stack(boxes)


def test_a_lost_object_is_found_far_away():
    frames = [NOWHERE, NOWHERE, *[FAR] * 8]
    plain, _ = follow(CONFIG, frames)
    assert plain.lost
    state, boxes = follow(WIDE, frames)
    assert not state.lost and state.confidence > 0.99 and state.low_frames == 0
    np.testing.assert_allclose(boxes[-1], BOX + [320, 304, 0, 0], atol=2)
    assert state.exemplar.shape == plain.exemplar.shape


def test_an_object_that_is_not_lost_stays():
    np.testing.assert_array_equal(follow(WIDE, [NEAR] * 3)[1], follow(CONFIG, [NEAR] * 3)[1])
    np.testing.assert_array_equal(follow(WIDE, [NOWHERE])[1], follow(CONFIG, [NOWHERE])[1])


def test_where_nothing_is_like_it_the_box_stays_with_the_tracker():
    frames = [NOWHERE] * 4
    state, boxes = follow(WIDE, frames)
    assert state.lost
    np.testing.assert_array_equal(boxes, follow(CONFIG, frames)[1])


def test_several_objects_and_several_videos_search_alike():
    gone = follow(WIDE, [NOWHERE, NOWHERE])[0]
    here = init()
    both = jax.tree.map(lambda *parts: jnp.stack(parts), gone, here)
    expected, expected_box, _ = tracker.step(PARAMS, gone, FAR, config=WIDE)
    states, boxes, _ = tracker.step(PARAMS, both, FAR, config=WIDE)
    np.testing.assert_allclose(boxes[0], expected_box, atol=1e-2)
    np.testing.assert_allclose(states.center[0], expected.center, atol=1e-2)
    videos = jax.tree.map(lambda array: jnp.stack([array, array]), both)
    sizes = np.int32([[640, 608]] * 2)
    many, boxes, _ = tracker.step_videos(PARAMS, videos, np.stack([FAR, NEAR]), sizes, config=WIDE)
    np.testing.assert_allclose(boxes[0, 0], expected_box, atol=1e-2)
    assert many.lost.shape == (2, 2)
    assert np.abs(geometry.center_of(boxes[1, 1]) - geometry.center_of(BOX)).max() < 1
