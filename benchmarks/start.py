"""Times track.py from its command to its end after two frames.

    python benchmarks/start.py --weights siamfc-small

The first start compiles everything. Later starts use the compiled programs of those before
them: for the same frames, for frames of another size, for an object of another size. The last
rows start with an export in place of the model (needs requirements-export.txt): by track.py, and
by the tracker of one file. Seconds of the processor, over all cores, move less than those of the
clock where a machine is shared.
"""

import argparse
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import cv2
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import figures  # noqa: E402
from siamfc_jax.commands import shell  # noqa: E402

# (what is new, width and height of the frames, box)
STARTS = (
    ("everything", (640, 480), "280,200,80,80"),
    ("nothing", (640, 480), "280,200,80,80"),
    ("the size of the frames", (720, 576), "280,200,80,80"),
    ("that, three times as large", (1920, 1080), "280,200,80,80"),
    ("the object, twice as large", (1920, 1080), "280,200,160,160"),
    ("nothing", (1920, 1080), "280,200,160,160"),
)
SIZE, BOX = STARTS[1][1:]  # of the rows with an export


def main(argv=None) -> int:
    """Prints the table; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", metavar="NAME|PATH", default="siamfc-small")
    parser.add_argument(
        "--times", type=int, default=5, help="starts with nothing new, for a median (default: 5)"
    )
    figures.add_flags(parser)
    args = parser.parse_args(argv)
    milliseconds = {}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        exported = folder / "exported"
        if shell.main(["export", args.weights, exported]):
            return 2
        print("| what is new | frames | seconds | of the processor |\n|---|---|---:|---:|")
        for new, command, size in commands(args.weights, exported, folder):
            times = args.times if new.startswith("nothing") else 1
            seconds, processor = median_start(command, folder / "cache", times)
            name = f"{new}, {size[0]} x {size[1]}"
            milliseconds[name] = 1e3 * seconds
            print(
                f"| {new} | {size[0]} x {size[1]} | {seconds:.2f} | {processor:.2f} |", flush=True
            )
    figures.finish(args, milliseconds)
    return 0


def commands(weights, exported, folder):
    """Yields (what is new, command, width and height) of each row.

    Args:
      weights: of the model.
      exported: folder of its export.
      folder: where frames and boxes go.
    """
    results = ["--boxes", str(folder / "boxes.csv")]
    track = [sys.executable, str(ROOT / "track.py"), *results]
    for new, size, box in STARTS:
        frames = write_frames(folder, size)
        yield new, [*track, "--video", str(frames), "--box", box, "--weights", weights], size
    frames = write_frames(folder, SIZE)
    place = ["--video", str(frames / "%04d.png"), "--box", BOX]
    command = [*track, "--video", str(frames), "--box", BOX, "--weights", str(exported)]
    yield "nothing, an export by track.py", command, SIZE
    program = str(ROOT / "siamfc_jax/tracking/siamfc_onnx.py")
    command = [sys.executable, program, str(exported), *place, *results]
    yield "nothing, an export by siamfc_onnx.py", command, SIZE


def write_frames(folder, size):
    """Writes two frames of noise; returns their folder."""
    width, height = size
    frames = folder / f"{width}x{height}"
    frames.mkdir(exist_ok=True)
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    for number in range(2):
        cv2.imwrite(str(frames / f"{number:04d}.png"), image)
    return frames


def median_start(command, cache, times):
    """Runs a command; returns the medians of its seconds and of those of the processor."""
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache)}
    # Python's own compiled files are kept, as they are where nobody forbids it.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    seconds, processor = [], []
    for _ in range(times):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
        seconds.append(time.perf_counter() - began)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(seconds), statistics.median(processor)


if __name__ == "__main__":
    sys.exit(main())
