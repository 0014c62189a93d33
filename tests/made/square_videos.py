"""Videos of a bright square on noise, whose true boxes are known, and settings to track them."""

import cv2
import numpy as np

from siamfc_jax.config import TrackerConfig

SETTINGS = TrackerConfig(num_scales=1)


def write_frames(folder, count, *, digits=4):
    """A bright square of 16 px on noise, moving 2 px a frame."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(1, count + 1):
        frame = rng.integers(0, 60, (48, 64, 3), np.uint8)
        frame[16:32, 8 + 2 * number : 24 + 2 * number] = 220
        cv2.imwrite(str(folder / f"{number:0{digits}d}.jpg"), frame)


def truth(count, *, first):
    """Returns lines of the true boxes; `first` is the number of the first pixel."""
    boxes = [(8 + 2 * n + first, 16 + first, 16, 16) for n in range(1, count + 1)]
    return "".join(",".join(map(str, box)) + "\n" for box in boxes)
