"""Other people's trackers in our harness: those of OpenCV.

KCF and TLD are trackers that the paper's introduction compares itself with. The classic
ones come from `cv2.legacy`, which only the contrib builds of OpenCV have; `make contrib`
puts one beside the project's own OpenCV, see docs/evaluation.md. The networks are in every
build, and need files of weights that OpenCV does not bring.
"""

import ctypes
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import cv2
import numpy as np

CLASSIC = {
    "boosting": "TrackerBoosting",
    "csrt": "TrackerCSRT",
    "kcf": "TrackerKCF",
    "medianflow": "TrackerMedianFlow",
    "mil": "TrackerMIL",
    "mosse": "TrackerMOSSE",
    "tld": "TrackerTLD",
}


class Network(NamedTuple):
    """A tracker of OpenCV that runs a network.

    Attributes:
      name: of its class.
      files: its parameters that take a path, in the order of `--tracker-files`.
    """

    name: str
    files: tuple[str, ...]


NETWORKS = {
    "dasiamrpn": Network("TrackerDaSiamRPN", ("model", "kernel_cls1", "kernel_r1")),
    "nano": Network("TrackerNano", ("backbone", "neckhead")),
    "vit": Network("TrackerVit", ("net",)),
}
NAMES = sorted([*CLASSIC, *NETWORKS])


def opencv(name: str, files: tuple[str, ...] = ()) -> Callable:
    """Makes one of OpenCV's trackers a generator function.

    When the tracker says that it lost the object, its last box is repeated with a score of
    0. Random numbers begin anew with each sequence, so that the boxes are always the same.

    Args:
      name: of NAMES.
      files: paths of the network's files, in the order of `NETWORKS[name].files`; none for
        a classic tracker.

    Returns:
      `track(frames, box)`, see runner.py. The score is the network's own, or 1.

    Raises:
      ValueError: this OpenCV lacks the tracker, or a file is missing or unusable.
    """
    create = _network_maker(name, files) if name in NETWORKS else _classic_maker(name, files)

    def track(frames, box):
        # TLD and MIL draw from C's rand(), the others from OpenCV's own numbers.
        ctypes.CDLL("ucrtbase" if os.name == "nt" else None).srand(1)
        cv2.setRNGSeed(0)
        return _follow(create(), iter(frames), box, whole_pixels=name in NETWORKS)

    return track


def _follow(tracker, frames, box, *, whole_pixels: bool) -> Iterator[tuple]:
    """Yields box and score of each frame; `whole_pixels` says what `init` of a tracker takes."""
    number = round if whole_pixels else float
    tracker.init(_bgr(next(frames)), tuple(number(float(value)) for value in box))
    score_of = getattr(tracker, "getTrackingScore", lambda: 1.0)
    yield box, 1.0
    for frame in frames:
        found, moved = tracker.update(_bgr(frame))
        box = np.asarray(moved, np.float32) if found else box
        yield box, float(score_of()) if found else 0.0


def _classic_maker(name, files):
    if files:
        raise ValueError(
            f"the tracker {name} takes no files, got {' '.join(files)}; leave out --tracker-files"
        )
    create = getattr(getattr(cv2, "legacy", None), f"{CLASSIC[name]}_create", None)
    if create is None:
        raise ValueError(
            f"OpenCV {cv2.__version__} lacks the tracker {name}, it is in opencv-contrib; "
            "run `make contrib` and put build/contrib on PYTHONPATH"
        )
    return create


def _network_maker(name, files):
    network = NETWORKS[name]
    if len(files) != len(network.files):
        raise ValueError(
            f"the tracker {name} needs {len(network.files)} model files, "
            f"--tracker-files {' '.join(part.upper() for part in network.files)}; "
            f"got {len(files)}"
        )
    for path in files:
        if not pathlib.Path(path).is_file():
            raise ValueError(f"no file {path}; the tracker {name} needs it, see docs/evaluation.md")
    create = getattr(cv2, f"{network.name}_create", None)
    make_params = getattr(cv2, f"{network.name}_Params", None)
    if create is None or make_params is None:
        raise ValueError(
            f"OpenCV {cv2.__version__} lacks the tracker {name}: it has no {network.name}; "
            "install a newer opencv-python-headless"
        )
    # OpenCV 5 warns at each start that its new engine ignores the default target.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)

    def make():
        params = make_params()
        for field, path in zip(network.files, files, strict=True):
            setattr(params, field, str(path))
        try:
            return create(params)
        except cv2.error as error:
            raise ValueError(
                f"OpenCV cannot read {' '.join(files)} as the tracker {name}: "
                f"{' '.join(str(error).split())}"
            ) from None

    make()  # so that a bad file is an error before the first sequence
    return make


def _bgr(frame):
    return np.ascontiguousarray(frame[..., ::-1])
