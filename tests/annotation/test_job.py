"""What a person drew becomes spans of one object each; what makes no sense is refused."""

import pytest

from siamfc_jax.annotation.job import End, KeyBox, Span, make_job, spans

BOX = (10.0, 20.0, 30.0, 40.0)


def key(frame, name="a", box=BOX):
    return KeyBox(frame, name, box)


def test_an_object_goes_from_key_box_to_key_box_and_then_to_the_end():
    job = make_job([key(5), key(0), key(9)])
    assert spans(job) == [
        Span("a", key(0), key(5), None),
        Span("a", key(5), key(9), None),
        Span("a", key(9), None, None),
    ]


def test_an_end_divides_what_two_key_boxes_would_join():
    job = make_job([key(0), key(9)], [End(4, "a"), End(6, "a")])
    assert spans(job) == [Span("a", key(0), None, 4), Span("a", key(9), None, None)]
    assert spans(job, backward=True) == [
        Span("a", None, key(0), None),
        Span("a", key(0), None, 4),
        Span("a", None, key(9), 6),
        Span("a", key(9), None, None),
    ]


def test_objects_keep_apart():
    job = make_job([key(3, "b"), key(0), key(7)], [End(5, "b")])
    assert job.names == ["a", "b"]
    assert spans(job)[-1] == Span("b", key(3, "b"), None, 5)


@pytest.mark.parametrize(
    "keys, ends, message",
    [
        ([], [], "there is no box to begin from; give at least one"),
        ([key(-1)], [], "frames count from 0, got a box of 'a' in -1"),
        ([key(0, box=(1, 2, 0, 4))], [], "frame 0 must have positive width and height .* 1,2,0,4"),
        ([key(0, box=(1, float("nan"), 3, 4))], [], "frame 0 must have positive .* 1,nan,3,4"),
        ([key(2), key(2)], [], "frame 2 has two boxes of 'a'"),
        ([key(2)], [End(2, "a")], "'a' ends at frame 2, but has no box before it"),
        ([key(2)], [End(9, "b")], "'b' ends at frame 9, but has no box before it"),
        ([key(2), key(9)], [End(9, "a")], "'a' has a box in frame 9, where it ends"),
    ],
)
def test_what_makes_no_sense_is_refused(keys, ends, message):
    with pytest.raises(ValueError, match=message):
        make_job(keys, ends)
