"""Forward and backward through a video with objects that come and go."""

import numpy as np
import pytest
import tiny_networks
from mirrored_scene import BOX, scene

from siamfc_jax.annotation import passes
from siamfc_jax.annotation.blend import blend
from siamfc_jax.annotation.job import End, KeyBox, make_job, spans
from siamfc_jax.annotation.places import Estimate
from siamfc_jax.config import TrackerConfig
from siamfc_jax.network.saved_models import Model
from siamfc_jax.tracking import tracker

CONFIG = TrackerConfig(num_scales=1, window_influence=0.0)
PARAMS = tracker.prepare(Model(tiny_networks.pixels(170.0), tiny_networks.CONFIG, CONFIG))
FRAMES = [scene(8 * t, -8 * t) for t in range(8)]


def true_box(number):
    return tuple(map(float, BOX + [8 * number, -8 * number, 0, 0]))


def estimates(numbers, events, **options):
    frames = ((number, FRAMES[number]) for number in numbers)
    return {
        number: estimates
        for number, _, estimates in passes.run(PARAMS, frames, events, config=CONFIG, **options)
    }


def test_an_object_is_there_from_its_key_box_to_its_end():
    job = make_job([KeyBox(2, "a", true_box(2))], [End(6, "a")])
    by_frame = estimates(range(8), passes.forward_events(spans(job)), count=1)
    assert [number for number, found in by_frame.items() if found] == [2, 3, 4, 5]
    for number in (3, 4, 5):
        np.testing.assert_allclose(by_frame[number]["a"].box, true_box(number), atol=0.6)


def test_backward_goes_to_the_begin_and_to_the_key_box_before():
    job = make_job([KeyBox(3, "a", true_box(3)), KeyBox(6, "a", true_box(6))])
    events = passes.backward_events(spans(job, backward=True))
    by_frame = estimates(range(7, -1, -1), events, count=1)
    assert [number for number, found in by_frame.items() if found] == [6, 5, 4, 3, 2, 1, 0]
    for number in range(7):
        np.testing.assert_allclose(by_frame[number]["a"].box, true_box(number), atol=0.6)


def test_backward_stops_where_the_object_is_gone():
    job = make_job([KeyBox(0, "a", true_box(0)), KeyBox(6, "a", true_box(6))], [End(3, "a")])
    events = passes.backward_events(spans(job, backward=True))
    by_frame = estimates(range(7, -1, -1), events, count=1)
    assert [number for number, found in by_frame.items() if found] == [6, 5, 4, 3, 0]


def test_places_suffice_for_all_that_are_under_way_at_once():
    keys = [KeyBox(0, "a", BOX), KeyBox(2, "b", BOX), KeyBox(5, "c", BOX), KeyBox(6, "c", BOX)]
    events = passes.forward_events(spans(make_job(keys, [End(5, "a"), End(7, "b")])))
    assert passes.most_at_once(events) == 2


def test_a_key_box_in_a_frame_that_is_left_out_is_an_error():
    events = passes.forward_events(spans(make_job([KeyBox(3, "a", true_box(3))])))
    with pytest.raises(ValueError, match="frame 3 has a box of 'a', but is not among the frames"):
        estimates(range(0, 8, 2), events, count=1)


@pytest.mark.parametrize("size", [1, 3, 100])
def test_frames_come_backward_whatever_the_memory_holds(monkeypatch, size):
    monkeypatch.setattr(passes, "FRAME_BYTES", size * FRAMES[0].nbytes)
    held = []

    def open_frames(start, stop):
        held.append(stop - start)
        return ((number, FRAMES[number]) for number in range(start, stop))

    numbers = [number for number, _ in passes.reversed_frames(open_frames, 2, 8)]
    assert numbers == [7, 6, 5, 4, 3, 2]
    assert max(held) <= size


def estimate(x, confidence, *, lost=False):
    return Estimate(np.float32([x, 0, 10, 10]), 0.0, confidence, lost)


def test_two_passes_meet_both_key_boxes_by_equal_confidence():
    joined = blend([estimate(0, 0.8)] * 3, [estimate(8, 0.8)] * 3)
    np.testing.assert_allclose([e.box[0] for e in joined], [2, 4, 6], atol=1e-3)
    assert joined[0].confidence == pytest.approx(0.8)


def test_a_pass_that_lost_the_object_has_no_say():
    (joined,) = blend([estimate(0, 0.0, lost=True)], [estimate(8, 0.9)])
    assert joined.box[0] == pytest.approx(8, abs=1e-3) and not joined.lost
    (joined,) = blend([estimate(0, 0.0, lost=True)], [estimate(8, 0.0, lost=True)])
    assert joined.lost


def test_a_pass_that_was_wrong_once_is_not_believed_again():
    forward = [estimate(0, 0.8), estimate(0, 0.1), estimate(0, 0.8)]
    joined = blend(forward, [estimate(8, 0.8)] * 3)
    # Shares 1/4, 1/2, 3/4; trusts .8, .1, .1 and .8.
    wanted = [8 * 0.25, 8 * 0.4 / 0.45, 8 * 0.6 / 0.625]
    np.testing.assert_allclose([e.box[0] for e in joined], wanted, atol=1e-3)
    backward = [estimate(8, 0.8), estimate(8, 0.1), estimate(8, 0.8)]
    joined = blend([estimate(0, 0.8)] * 3, backward)
    wanted = [8 * 0.025 / 0.625, 8 * 0.05 / 0.45, 8 * 0.75]
    np.testing.assert_allclose([e.box[0] for e in joined], wanted, atol=1e-3)
