"""Other people's trackers in our harness: those of OpenCV.

KCF and TLD are trackers the paper's introduction measures itself by. All seven
come from `cv2.legacy`, which only the contrib builds of OpenCV have; `make
contrib` puts one beside the project's own OpenCV, see docs/evaluation.md.
"""

import ctypes
import os

import cv2
import numpy as np

NAMES = {
    "boosting": "TrackerBoosting",
    "csrt": "TrackerCSRT",
    "kcf": "TrackerKCF",
    "medianflow": "TrackerMedianFlow",
    "mil": "TrackerMIL",
    "mosse": "TrackerMOSSE",
    "tld": "TrackerTLD",
}


def opencv(name: str):
    """Makes one of OpenCV's trackers a generator function.

    When it says that it lost the object, the last box is repeated with a score of 0.
    Random numbers begin anew with each sequence, so that it gives the same boxes always.

    Args:
      name: of NAMES.

    Returns:
      `track(frames, box)`, see evaluation.py; the score is 1 or 0.

    Raises:
      ValueError: this OpenCV lacks it.
    """
    create = getattr(getattr(cv2, "legacy", None), f"{NAMES[name]}_create", None)
    if create is None:
        raise ValueError(
            f"OpenCV {cv2.__version__} lacks the tracker {name}, it is in opencv-contrib; "
            "run `make contrib` and put build/contrib on PYTHONPATH"
        )

    def track(frames, box):
        # TLD and MIL draw from C's rand(), the others from OpenCV's own numbers.
        ctypes.CDLL("ucrtbase" if os.name == "nt" else None).srand(1)
        cv2.setRNGSeed(0)
        frames, tracker = iter(frames), create()
        tracker.init(_bgr(next(frames)), tuple(float(value) for value in box))
        yield box, 1.0
        for frame in frames:
            found, moved = tracker.update(_bgr(frame))
            box = np.asarray(moved, np.float32) if found else box
            yield box, float(found)

    return track


def _bgr(frame):
    return np.ascontiguousarray(frame[..., ::-1])
