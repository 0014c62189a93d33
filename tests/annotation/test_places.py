"""Objects come and go, and the others do not notice: laws of the places."""

import numpy as np
import pytest
import tiny_networks
from compilations import compilations
from mirrored_scene import BOX, scene

from siamfc_jax.annotation import places
from siamfc_jax.annotation.places import MultiTracker
from siamfc_jax.config import TrackerConfig
from siamfc_jax.network.saved_models import Model
from siamfc_jax.tracking.tracker import Tracker

MODEL = Model(tiny_networks.pixels(170.0), tiny_networks.CONFIG, TrackerConfig(num_scales=1))
OTHER = np.float32([100, 90, 50, 60])
FRAMES = [scene(3 * t, -2 * t, noise=20) for t in range(6)]


def alone(box, frames):
    """Boxes that a tracker of one object finds in all frames but the first."""
    tracker = Tracker(MODEL)
    tracker.init(frames[0], box)
    return np.stack([tracker.update(frame)[0] for frame in frames[1:]])


def test_an_object_that_is_added_later_is_tracked_as_if_alone():
    tracker = MultiTracker(MODEL, places=2)
    tracker.add(FRAMES[0], BOX, "a")
    boxes = {"a": [], "b": []}
    for number, frame in enumerate(FRAMES[1:], start=1):
        for name, estimate in tracker.update(frame).items():
            boxes[name].append(estimate.box)
        if number == 2:
            tracker.add(frame, OTHER, "b")
    np.testing.assert_allclose(boxes["a"], alone(BOX, FRAMES), atol=1e-3)
    np.testing.assert_allclose(boxes["b"], alone(OTHER, FRAMES[2:]), atol=1e-3)


def test_coming_and_going_compiles_nothing():
    tracker = MultiTracker(MODEL, places=2)
    tracker.add(FRAMES[0], BOX, "a")
    with compilations("step", "init", "_put") as compiled:
        tracker.update(FRAMES[1])
        tracker.add(FRAMES[1], OTHER, "b")
        tracker.update(FRAMES[2])
        tracker.remove("a")
        assert list(tracker.update(FRAMES[3])) == ["b"]
        tracker.add(FRAMES[3], BOX, "c")
        tracker.correct(FRAMES[3], BOX + 4, "b")
        assert sorted(tracker.update(FRAMES[4])) == ["b", "c"]
    assert compiled == []


def test_more_objects_than_places_double_them():
    tracker = MultiTracker(MODEL, places=1)
    tracker.add(FRAMES[0], BOX, "a")
    tracker.add(FRAMES[0], OTHER, "b")
    tracker.add(FRAMES[0], BOX + 8, "c")
    estimates = tracker.update(FRAMES[1])
    assert tracker.names == ["a", "b", "c"] == list(estimates)
    np.testing.assert_allclose(estimates["a"].box, alone(BOX, FRAMES[:2])[0], atol=1e-3)
    np.testing.assert_allclose(estimates["b"].box, alone(OTHER, FRAMES[:2])[0], atol=1e-3)


def test_a_correction_takes_the_place_and_the_appearance_of_the_new_box():
    tracker = MultiTracker(MODEL, places=1)
    tracker.add(FRAMES[0], BOX, "a")
    tracker.update(FRAMES[1])
    tracker.correct(FRAMES[1], OTHER, "a")
    box = tracker.update(FRAMES[2])["a"].box
    np.testing.assert_allclose(box, alone(OTHER, FRAMES[1:3])[0], atol=1e-3)


def test_a_given_box_is_certain():
    estimate = places.given(BOX)
    np.testing.assert_array_equal(estimate.box, BOX)
    assert np.isnan(estimate.score) and estimate.confidence == 1 and not estimate.lost


def test_no_object_no_estimate():
    assert MultiTracker(MODEL).update(FRAMES[0]) == {}


def test_names_are_checked():
    tracker = MultiTracker(MODEL, places=1)
    with pytest.raises(ValueError, match="no object 'a'; under way are: none"):
        tracker.remove("a")
    tracker.add(FRAMES[0], BOX, "a")
    with pytest.raises(ValueError, match="an object 'a' already; correct or remove it"):
        tracker.add(FRAMES[0], BOX, "a")
    with pytest.raises(ValueError, match="no object 'b'; under way are: a"):
        tracker.correct(FRAMES[0], BOX, "b")
    with pytest.raises(ValueError, match="places must be at least 1, got 0"):
        MultiTracker(MODEL, places=0)
