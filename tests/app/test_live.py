"""Objects that are added or drawn anew while others are tracked."""

import functools

import numpy as np
import pytest
import tiny_networks

from siamfc_jax.app import live
from siamfc_jax.config import TrackerConfig
from siamfc_jax.tracking import loop

COUNT = 7
CONFIG = TrackerConfig(num_scales=1)
FIRST = np.array([[20, 15, 24, 20]], np.float32)
SECOND = np.array([[50, 30, 16, 20]], np.float32)
NOTHING = live.Orders(True, False, np.zeros((0, 4), np.float32))


@pytest.fixture(scope="module")
def params():
    return tiny_networks.pixels(128)


@pytest.fixture(scope="module")
def frames():
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 256, (60, 82, 3), np.uint8)
    return [(10 + number, np.roll(scene, number, axis=1)) for number in range(COUNT)]


def run(params, frames, orders, *, chunk=1):
    """Follows FIRST with the orders of some frames; returns all results."""

    def watch(found):
        return orders.get(found.number, NOTHING)

    follow = functools.partial(loop.follow, params, config=CONFIG, chunk=chunk)
    steps = live.follow(follow, iter(frames), FIRST, watch=watch)
    return list(steps)


def alone(params, frames, box):
    return list(loop.follow(params, iter(frames), box, config=CONFIG))


@pytest.mark.parametrize("chunk", [1, 3])
def test_added_objects_leave_the_others_as_they_are(params, frames, chunk):
    orders = {13: live.Orders(True, True, SECOND)}
    results = run(params, frames, orders, chunk=chunk)
    first, second = alone(params, frames, FIRST), alone(params, frames[3:], SECOND)
    assert [found.number for found in results] == [*range(10, 17)]
    for found, expected in zip(results, first, strict=True):
        np.testing.assert_allclose(found.boxes[0], expected.boxes[0], atol=1e-3)
        np.testing.assert_array_equal(found.frame, expected.frame)
    assert [len(found.boxes) for found in results] == [1, 1, 1, 2, 2, 2, 2]
    for found, expected in zip(results[3:], second, strict=True):
        np.testing.assert_allclose(found.boxes[1], expected.boxes[0], atol=1e-3)
        np.testing.assert_allclose(found.scores[1], expected.scores[0], atol=1e-3)
        assert found.states.center.shape == (2, 2)
    np.testing.assert_array_equal(results[3].boxes[1], SECOND[0])
    assert np.isnan(results[3].scores[1]) and not np.isnan(results[3].scores[0])


def test_objects_drawn_anew_take_the_place_of_the_others(params, frames):
    results = run(params, frames, {12: live.Orders(True, False, SECOND)})
    expected = alone(params, frames[2:], SECOND)
    assert [found.number for found in results] == [*range(10, 17)]
    for found, other in zip(results[2:], expected, strict=True):
        np.testing.assert_allclose(found.boxes, other.boxes, atol=1e-3)


def test_the_last_frame_is_given_back(params, frames):
    results = run(params, frames, {12: NOTHING._replace(goes_on=False)})
    assert [found.number for found in results] == [10, 11, 12]


def test_without_orders_it_is_the_loop(params, frames):
    for found, expected in zip(run(params, frames, {}), alone(params, frames, FIRST), strict=True):
        np.testing.assert_array_equal(found.boxes, expected.boxes)
