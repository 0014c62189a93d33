"""Times calls that track several objects, several videos or several frames at once.

python benchmarks/throughput.py --weights siamfc-small --height 480
"""

import argparse
import functools
import pathlib
import sys
import time

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import jax

from benchmarks import figures
from siamfc_jax.compilation import keep_memory
from siamfc_jax.network import saved_models
from siamfc_jax.tracking import tracker

COUNTS = (1, 2, 4, 8, 16)


def modes(model, height, counts):
    """Yields (name, function of one call, boxes that the call finds)."""
    width, side = height * 16 // 9, height / 6
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (height, width, 3), np.uint8)
    params, settings = tracker.prepare(model), model.tracker_config
    init, step, step_videos, scan_frames = (
        functools.partial(function, params, config=settings)
        for function in (tracker.init, tracker.step, tracker.step_videos, tracker.scan_frames)
    )
    corners = rng.uniform(side, [width - 2 * side, height - 2 * side], (max(counts), 2))
    boxes = np.hstack([corners, np.full_like(corners, side)]).astype(np.float32)
    one = init(frame, boxes[0])
    for count in counts:
        objects = init(frame, boxes[:count])
        yield f"{count} objects of a frame", functools.partial(step, objects, frame), count
    for count in counts:
        states = jax.tree.map(lambda array, count=count: np.stack([array] * count), one)
        frames, sizes = np.stack([frame] * count), np.full((count, 2), (width, height), np.int32)
        yield f"{count} videos", functools.partial(step_videos, states, frames, sizes), count
    for count in counts:
        frames = np.stack([frame] * count)
        yield f"{count} frames of a video", functools.partial(scan_frames, one, frames), count


def main(argv=None) -> int:
    """Prints the table; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", metavar="NAME|PATH", default="siamfc-small")
    parser.add_argument("--height", type=int, default=480, help="of the frames, 16:9")
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--rounds", type=int, default=15)
    figures.add_flags(parser)
    args = parser.parse_args(argv)
    keep_memory()  # as track.py does
    model = saved_models.load_model(args.weights)
    print(f"{jax.devices()[0].device_kind}, {args.height} lines\n")
    print("| a call for | ms | ms a box | boxes a second |\n|---|---:|---:|---:|")
    milliseconds = {}
    for name, call, boxes in modes(model, args.height, args.counts):
        seconds = []
        for _ in range(args.rounds + 1):
            began = time.perf_counter()
            jax.block_until_ready(call())
            seconds.append(time.perf_counter() - began)
        median = float(np.median(seconds[1:]))
        milliseconds[name] = 1e3 * median
        print(
            f"| {name} | {1e3 * median:.1f} | {1e3 * median / boxes:.2f} | {boxes / median:.0f} |",
            flush=True,
        )
    figures.finish(args, milliseconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
