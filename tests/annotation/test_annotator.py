"""A whole job over a video: both passes joined, rows in order."""

import numpy as np
import tiny_networks
from mirrored_scene import BOX, scene

from siamfc_jax.annotation import annotator, places
from siamfc_jax.annotation.blend import blend
from siamfc_jax.annotation.job import End, KeyBox, make_job, spans
from siamfc_jax.config import TrackerConfig
from siamfc_jax.network.saved_models import Model
from siamfc_jax.tracking import tracker

CONFIG = TrackerConfig(num_scales=1, window_influence=0.0)
PARAMS = tracker.prepare(Model(tiny_networks.pixels(170.0), tiny_networks.CONFIG, CONFIG))
FRAMES = [scene(8 * t, -8 * t) for t in range(8)]


def true_box(number):
    return tuple(map(float, BOX + [8 * number, -8 * number, 0, 0]))


def open_frames(start=0, stop=8):
    return ((number, FRAMES[number]) for number in range(start, min(stop, 8)))


def look_back(parts):
    rows = annotator.look_back(PARAMS, open_frames, parts, config=CONFIG)
    return {row.number: row.estimates for row in rows}


def annotate(job, *, backward=False, once=False):
    parts = spans(job, backward=backward)
    if once:
        parts = annotator.forward_only(parts)
    behind = look_back(parts)
    return list(annotator.annotate(PARAMS, open_frames(), parts, behind, config=CONFIG))


def test_rows_come_in_order_and_tell_what_a_person_drew():
    job = make_job([KeyBox(2, "a", true_box(2)), KeyBox(5, "a", true_box(5))], [End(7, "a")])
    rows = annotate(job)
    assert [row.number for row in rows] == list(range(8))
    assert [row.number for row in rows if row.keys] == [2, 5]
    assert [row.number for row in rows if row.estimates] == [2, 3, 4, 5, 6]
    for row in rows[2:7]:
        np.testing.assert_allclose(row.estimates["a"].box, true_box(row.number), atol=0.6)
    np.testing.assert_array_equal(rows[5].estimates["a"].box, np.float32(true_box(5)))


def test_backward_reaches_the_begin_of_the_video():
    rows = annotate(make_job([KeyBox(5, "a", true_box(5))]), backward=True)
    for row in rows:
        np.testing.assert_allclose(row.estimates["a"].box, true_box(row.number), atol=0.6)
    assert [row.number for row in rows if row.keys] == [5]


def test_boxes_near_a_key_box_are_near_what_its_pass_found():
    wrong = tuple(np.add(true_box(6), [20, 20, 0, 0]).tolist())  # of something else
    rows = annotate(make_job([KeyBox(0, "a", true_box(0)), KeyBox(6, "a", wrong)]))
    away = [np.abs(rows[n].estimates["a"].box - true_box(n)).max() for n in range(7)]
    assert away[0] == 0 and away[6] == 20 and away[1] < 10 < away[5]


def test_rows_are_what_blend_gives():
    wrong = tuple(np.add(true_box(6), [20, 20, 0, 0]).tolist())
    parts = spans(make_job([KeyBox(0, "a", true_box(0)), KeyBox(6, "a", wrong)]))
    behind = look_back(parts)
    alone = list(annotator.annotate(PARAMS, open_frames(), parts, {}, config=CONFIG))
    rows = list(annotator.annotate(PARAMS, open_frames(), parts, behind, config=CONFIG))
    wanted = blend(
        [alone[n].estimates["a"] for n in range(1, 6)], [behind[n]["a"] for n in range(1, 6)]
    )
    for number, estimate in enumerate(wanted, start=1):
        np.testing.assert_allclose(rows[number].estimates["a"].box, estimate.box, rtol=1e-5)


def test_a_source_that_is_read_once_is_tracked_forward_alone(monkeypatch):
    job = make_job([KeyBox(3, "a", true_box(3)), KeyBox(6, "a", true_box(6))])
    monkeypatch.setattr(annotator.passes, "reversed_frames", None)  # nobody may go back
    rows = annotate(job, backward=True, once=True)
    assert [row.number for row in rows if row.estimates] == [3, 4, 5, 6, 7]


def test_two_objects_of_which_one_goes_and_comes_back():
    keys = [KeyBox(0, "a", true_box(0)), KeyBox(1, "b", true_box(1)), KeyBox(6, "b", true_box(6))]
    rows = annotate(make_job(keys, [End(3, "b")]))
    assert ["b" in row.estimates for row in rows] == [n in (1, 2, 6, 7) for n in range(8)]
    assert all("a" in row.estimates for row in rows)


def test_the_places_needed_are_those_at_once(monkeypatch):
    counts, make = [], places.make_places
    monkeypatch.setattr(places, "make_places", lambda p, f, count, **o: counts.append(count)
                        or make(p, f, count, **o))  # fmt: skip
    keys = [KeyBox(0, "a", true_box(0)), KeyBox(4, "b", true_box(4))]
    annotate(make_job(keys, [End(4, "a")]))
    assert counts == [1]


def test_a_part_of_a_job_gives_what_the_whole_gives():
    keys = [KeyBox(n, "a", true_box(n)) for n in (1, 4, 6)]
    parts = spans(make_job(keys), backward=True)
    whole = annotate(make_job(keys), backward=True)
    for part in parts:
        behind = look_back([part])
        needed = annotator.forward_range([part], len(FRAMES))
        frames = open_frames(needed.start, needed.stop)
        rows = list(annotator.annotate(PARAMS, frames, [part], behind, config=CONFIG))
        assert [row.number for row in rows] == list(needed)
        for row in rows:
            np.testing.assert_array_equal(
                row.estimates["a"].box, whole[row.number].estimates["a"].box
            )
    # The first one goes back from the first key box to the beginning, and nowhere else.
    assert list(annotator.forward_range(parts[:1], 8)) == []
    assert list(annotator.backward_range(parts[:1])) == [0, 1]


def test_a_part_ends_at_its_last_key_box():
    first, _ = spans(make_job([KeyBox(1, "a", true_box(1)), KeyBox(4, "a", true_box(4))]))
    rows = list(annotator.annotate(PARAMS, open_frames(), [first], {}, config=CONFIG))
    assert [row.number for row in rows if row.estimates] == [1, 2, 3]
