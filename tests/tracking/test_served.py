"""Videos that share the device of one process: each has what it would find alone."""

import concurrent.futures
import re
import threading

import jax
import numpy as np
import pytest
import tiny_networks
from square_videos import SETTINGS, write_frames

from siamfc_jax import images
from siamfc_jax.network import model
from siamfc_jax.tracking import loop, served

BOX = np.array([10, 16, 16, 16], np.float32)
# Objects of each video: one, two, and one that needs another region.
BOXES = [BOX[None], np.array([BOX, [9, 15, 18, 18]], np.float32), BOX[None] * [1, 1, 40, 3]]


@pytest.fixture(scope="module")
def params():
    return jax.jit(model.fold_batch_norm)(tiny_networks.pixels(30))


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Three videos of 5, 4 and 3 frames, the last one of another size."""
    folder = tmp_path_factory.mktemp("videos") / "frames"
    write_frames(folder, 5)
    frames = [images.read_rgb(path) for path in sorted(folder.iterdir())]
    return [frames, frames[1:], [np.tile(frame, (12, 12, 1)) for frame in frames[2:]]]


def follow(device, frames, boxes):
    return list(served.follow(device, iter(enumerate(frames)), boxes, config=SETTINGS))


def test_each_video_has_what_it_finds_alone(params, videos):
    """Each place is taken twice, by videos with other numbers of objects."""
    jobs = [*zip(videos, BOXES, strict=True)]
    with (
        served.serving(params, 3, config=SETTINGS) as connect,
        concurrent.futures.ThreadPoolExecutor(3) as threads,
    ):
        devices = [connect(place) for place in range(3)]
        runs = [
            threads.submit(follow, device, *job) for device, job in zip(devices, jobs, strict=True)
        ]
        found = [run.result(timeout=120) for run in runs]
        turned = [*jobs[1:], jobs[0]]
        runs = [
            threads.submit(follow, device, *job)
            for device, job in zip(devices, turned, strict=True)
        ]
        found += [run.result(timeout=120) for run in runs]
    alone = [
        list(loop.follow(params, iter(enumerate(frames)), boxes, config=SETTINGS))
        for frames, boxes in jobs
    ]
    for results, expected in zip(found, [*alone, *alone[1:], alone[0]], strict=True):
        for here, there in zip(results, expected, strict=True):
            assert here.number == there.number and here.frame is there.frame
            np.testing.assert_allclose(here.boxes, there.boxes, atol=1e-3)
            np.testing.assert_allclose(here.scores, there.scores, rtol=1e-4)
            np.testing.assert_allclose(here.confidences, there.confidences, atol=1e-5)
            np.testing.assert_array_equal(here.lost, there.lost)


def test_all_that_wait_are_stepped_in_one_call(params, videos, monkeypatch):
    calls, step, free = [], served._step, threading.Event()

    def counted(params, states, places, rois, **config):
        calls.append(places.tolist())
        free.wait(60)  # the device is at work until all others wait
        return step(params, states, places, rois, **config)

    monkeypatch.setattr(served, "_step", counted)
    with (
        served.serving(params, 4, config=SETTINGS) as connect,
        concurrent.futures.ThreadPoolExecutor(4) as threads,
    ):
        begun = []
        for place in range(4):
            device = connect(place)
            roi = served.crop_roi(videos[0][0], BOX[None], config=SETTINGS)
            assert served._ask(device, served.Request(roi, BOX[None])).scores.shape == (1,)
            begun.append((device, served.Request(roi._replace(color=None), None)))
        first = threads.submit(served._ask, *begun[0])
        while not calls:
            pass
        for device, request in begun[1:]:
            device.send(request)
        free.set()
        first.result(timeout=60)
        for device, _ in begun[1:]:
            assert device.recv().boxes.shape == (1, 4)
    assert calls == [[0], [1, 2, 3, 4]]  # three videos and the spare place


@pytest.mark.parametrize(
    "error, told",
    [
        (RuntimeError("RESOURCE_EXHAUSTED: no memory"), "RESOURCE_EXHAUSTED: no memory"),
        (KeyError(), "KeyError()"),  # a mistake of ours: nobody waits for ever
    ],
)
def test_what_the_device_says_costs_its_videos_alone(error, told, params, videos, monkeypatch):
    step = served._step

    def full(params, states, places, rois, **config):
        if 1 in places:
            raise error
        return step(params, states, places, rois, **config)

    monkeypatch.setattr(served, "_step", full)
    with served.serving(params, 2, config=SETTINGS) as connect:
        devices = [connect(0), connect(1)]
        with pytest.raises(RuntimeError, match=f"^{re.escape(told)}$"):
            follow(devices[1], videos[0], BOX[None])
        devices[1].close()  # as where its process ends
        assert len(follow(devices[0], videos[0], BOX[None])) == 5
        assert len(follow(connect(1), [videos[0][0]], BOX[None])) == 1
