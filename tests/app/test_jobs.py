"""The queue of clips and what people ask to follow; test_page.py really tracks."""

import concurrent.futures
import json

import numpy as np
import pytest

from siamfc_jax.app import jobs

FRAME = (60, 81, 3)


class Worker:
    """A worker that never comes to anything by itself."""

    def submit(self, work, *args, **settings):
        return concurrent.futures.Future()


def clip(path="/secret/clip"):
    return jobs.Clip("folder", path, np.zeros(FRAME, np.uint8), None, 30.0)


def job():
    return jobs.Job(["a"], np.ones((1, 4), np.float32))


def test_objects():
    text = '[{"name": " car ", "box": [20, 15, 24, 20]}, {"name": 7, "box": [1.5, 2, 3, 4]}]'
    names, boxes = jobs.read_objects(text, FRAME)
    assert names == ["car", "7"]
    assert boxes.dtype == np.float32
    assert boxes.tolist() == [[20, 15, 24, 20], [1.5, 2, 3, 4]]


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "objects are"),
        ("7", "objects are"),
        ('[{"name": "a"}]', "objects are"),
        ("[]", "1 to 20 boxes can be followed, got 0; draw some"),
        (json.dumps([{"name": f"{n}", "box": [1, 1, 2, 2]} for n in range(21)]), "got 21"),
        ('[{"name": " ", "box": [1, 1, 2, 2]}]', "every object needs a name of its own"),
        ('[{"name": "a", "box": []}, {"name": "a", "box": []}]', "a name of its own, got a, a"),
        ('[{"name": "a", "box": [1, 1, 0, 2]}]', "box must have positive width"),
        ('[{"name": "a", "box": ["x"]}]', "box must be four finite numbers"),
    ],
)
def test_bad_objects(text, message):
    with pytest.raises(ValueError) as caught:
        jobs.read_objects(text, FRAME)
    assert message in str(caught.value)


def test_queue():
    clips = [clip() for _ in range(jobs.MAX_WAITING + 1)]
    for one in clips[:-1]:
        jobs.begin(Worker(), one, job(), clips)
    with pytest.raises(ValueError, match="4 videos wait already; try again when one is done"):
        jobs.begin(Worker(), clips[-1], job(), clips)
    with pytest.raises(ValueError, match="this video is being tracked; stop that first"):
        jobs.begin(Worker(), clips[0], job(), clips)
    jobs.cancel(clips[0])
    assert clips[0].job.phase == "stopped"
    jobs.begin(Worker(), clips[-1], job(), clips)
    assert [jobs.active(one) for one in clips] == [False, True, True, True, True]


def test_failure_is_told_without_the_place_of_the_file():
    one = clip()
    jobs.begin(Worker(), one, job(), [one])
    one.job.future.set_exception(ValueError("cannot decode /secret/clip beyond 3\nmore"))
    assert one.job.phase == "failed"
    assert one.job.error == "cannot decode this video beyond 3"


def test_clip_that_cannot_be_opened():
    def open_source(path):
        raise ValueError(f"cannot read {path}; expected a video")

    with pytest.raises(ValueError, match=r"^cannot read this video; expected a video$"):
        jobs.open_clip("folder", "/secret/clip", open_source=open_source)
