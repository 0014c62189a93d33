"""Several sequences at once: what each alone gives, whatever their sizes and lengths."""

import numpy as np
import pytest
import tiny_networks

from siamfc_jax.config import TrackerConfig
from siamfc_jax.data.sequences import Sequence
from siamfc_jax.evaluation import batched, runner
from siamfc_jax.network.saved_models import Model
from siamfc_jax.tracking import tracker

CONFIG = TrackerConfig(num_scales=1)
PARAMS = tracker.prepare(Model(tiny_networks.pixels(30), tiny_networks.CONFIG, CONFIG))


def make_run(name, count, shape, step):
    """A bright square of 16 px on noise, moving `step` px a frame."""
    rng = np.random.default_rng(count)
    frames = [rng.integers(0, 60, (*shape, 3), np.uint8) for _ in range(count)]
    for number, frame in enumerate(frames):
        frame[16:32, 8 + step * number : 24 + step * number] = 220
    boxes = np.float32([[8 + step * number, 16, 16, 16] for number in range(count)])
    sequence = Sequence(name, frames, boxes, np.ones(count, bool), np.arange(count))
    return runner.Run(name, sequence)


def test_sequences_at_once_give_what_each_gives():
    runs = [make_run("long", 7, (48, 64), 2), make_run("tall", 4, (140, 60), 1)]
    runs += [make_run("short", 1, (48, 64), 0), make_run("last", 5, (40, 80), 3)]
    runs[3] = runner.Run("shifted", runs[3].sequence, np.float32([9, 15, 16, 16]))
    found = dict(batched.track_all(PARAMS, runs, config=CONFIG, count=2))
    assert list(found) == ["tall", "short", "long", "shifted"]
    track = runner.siamfc(PARAMS, config=CONFIG)
    for name, sequence, box in runs:
        alone = runner.one_pass(track, sequence, box=box)
        np.testing.assert_allclose(found[name].boxes, alone.boxes, atol=1e-3)
        np.testing.assert_allclose(found[name].scores, alone.scores, atol=1e-3)
        assert (found[name].seconds > 0).all() and (found[name].read_seconds > 0).all()
    assert np.ptp(found["long"].boxes[:, 0]) > 8  # it does follow


def test_a_first_frame_without_a_box_is_an_error():
    run = make_run("a", 3, (48, 64), 2)._replace(box=[1, 2, 0, 4])
    with pytest.raises(ValueError, match=r"first frame needs a box of positive size, got \["):
        list(batched.track_all(PARAMS, [run], config=CONFIG, count=2))
