"""A frame of random squares, mirrored about its centre, and a network that matches its pixels."""

import numpy as np
import tiny_networks

from siamfc_jax.config import TrackerConfig
from siamfc_jax.tracking import tracker

CONFIG = TrackerConfig()
PARAMS = tiny_networks.pixels(170.0)  # most of a maximum over uniform values of 0..255
# A side of 127 frame pixels, so that crop pixels are frame pixels; the centre is (160, 152).
BOX = np.float32([128.25, 120.25, 63.5, 63.5])


def scene(shift_x=0, shift_y=0, *, noise=0):
    """A frame of 304 x 320, mirrored about its centre, all of which has moved."""
    quarter = np.kron(np.random.default_rng(0).integers(0, 256, (19, 20, 3)), np.ones((8, 8, 1)))
    half = np.concatenate([quarter, quarter[::-1]])
    frame = np.concatenate([half, half[:, ::-1]], axis=1)
    frame = np.roll(frame, (shift_y, shift_x), (0, 1))
    noise = np.random.default_rng(1).integers(-noise, noise + 1, frame.shape)
    return np.uint8(np.clip(frame + noise, 0, 255))


def init(frame=None, box=BOX, config=CONFIG):
    """Returns the first state, by default for BOX in a still scene."""
    return tracker.init(PARAMS, scene() if frame is None else frame, box, config=config)


def step(state, frame, config=CONFIG):
    """Tracks one frame with PARAMS."""
    return tracker.step(PARAMS, state, frame, config=config)
