"""Times one tracker on two engines, XLA and onnxruntime, beside OpenCV's TrackerNano.

    python benchmarks/engines.py --weights siamfc-small --nano NANO/

NANO/ holds nanotrack_v2_backbone.onnx and nanotrack_v2_head.onnx; without it that tracker is
left out. All trackers take turns over the same frames, frame by frame, so that a machine whose
speed changes slows all of them; the ratios say more than the milliseconds.
"""

import argparse
import dataclasses
import pathlib
import sys
import tempfile
import time

import cv2
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from siamfc_jax.commands import shell
from siamfc_jax.compilation import keep_compiled, keep_memory
from siamfc_jax.export import checks
from siamfc_jax.network.saved_models import load_model
from siamfc_jax.tracking import siamfc_onnx
from siamfc_jax.tracking.tracker import Tracker

WARM_UP = 5  # frames, which compile and fill caches


class Nano:
    """OpenCV's tracker in the form of ours."""

    def __init__(self, folder):
        """Reads both files of the network."""
        params = cv2.TrackerNano_Params()
        params.backbone = str(folder / "nanotrack_v2_backbone.onnx")
        params.neckhead = str(folder / "nanotrack_v2_head.onnx")
        self.tracker = cv2.TrackerNano_create(params)

    def init(self, frame, box):
        """Takes the object of the first frame."""
        self.tracker.init(np.ascontiguousarray(frame[..., ::-1]), np.int32(box).tolist())

    def update(self, frame):
        """Finds the object in the next frame."""
        return self.tracker.update(np.ascontiguousarray(frame[..., ::-1]))


def main(argv=None) -> int:
    """Prints the table; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", metavar="NAME|PATH", default="siamfc-small")
    parser.add_argument("--nano", metavar="FOLDER", type=pathlib.Path, help="files of TrackerNano")
    parser.add_argument("--frames", type=int, default=60, help="how many (default: 60)")
    args = parser.parse_args(argv)
    keep_compiled()
    keep_memory()
    clip, box = checks.make_clip(args.frames + WARM_UP, height=480, width=640)
    with tempfile.TemporaryDirectory() as folder:
        trackers = dict(make_trackers(args.weights, args.nano, pathlib.Path(folder)))
    seconds = take_turns(trackers, clip, box)
    first = np.median(next(iter(seconds.values())))
    print("| tracker | ms a frame, median | least | of the first |\n|---|---:|---:|---:|")
    for name, times in seconds.items():
        median = np.median(times)
        print(f"| {name} | {1e3 * median:.1f} | {1e3 * min(times):.1f} | {median / first:.2f} |")
    return 0


def take_turns(trackers, clip, box):
    """Lets all trackers follow a clip, frame by frame in turns.

    Args:
      trackers: name -> tracker with `init` and `update`.
      clip: u8[T, H, W, 3] RGB, the first WARM_UP frames of which do not count.
      box: `[x, y, w, h]` in frame 0.

    Returns:
      name -> seconds of each frame.
    """
    seconds = {name: [] for name in trackers}
    for tracker in trackers.values():
        tracker.init(clip[0], box)
    for number, frame in enumerate(clip[1:], start=1):
        for name, tracker in trackers.items():
            began = time.perf_counter()
            tracker.update(frame)
            if number >= WARM_UP:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def make_trackers(weights, nano, folder):
    """Yields (name, tracker) of every engine and mode.

    Args:
      weights: as `saved_models.load_model` takes them.
      nano: folder of TrackerNano's files, or None.
      folder: where the exported models go.
    """
    loaded = load_model(weights)
    for mode in ("search", "peak"):
        place = folder / mode
        if shell.main(["export", weights, str(place), "--scales-on", mode]):
            raise SystemExit(2)
        settings = dataclasses.replace(loaded.tracker_config, scales_on=mode)
        yield f"XLA, scales on {mode}", Tracker(loaded, settings)
        yield f"onnxruntime, scales on {mode}", siamfc_onnx.Tracker(place)
    if nano:
        yield "OpenCV's TrackerNano", Nano(nano)


if __name__ == "__main__":
    sys.exit(main())
