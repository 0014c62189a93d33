"""Times track.py from its command to its end after two frames.

    python benchmarks/start.py --weights siamfc-small

The first start compiles everything. Later starts use the compiled programs of those before
them: for the same frames, for frames of another size, for an object of another size.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import cv2
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import figures  # noqa: E402

# (what is new, width and height of the frames, box)
STARTS = (
    ("everything", (640, 480), "280,200,80,80"),
    ("nothing", (640, 480), "280,200,80,80"),
    ("the size of the frames", (720, 576), "280,200,80,80"),
    ("that, three times as large", (1920, 1080), "280,200,80,80"),
    ("the object, twice as large", (1920, 1080), "280,200,160,160"),
    ("nothing", (1920, 1080), "280,200,160,160"),
)


def main(argv=None) -> int:
    """Prints the table; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", metavar="NAME|PATH", default="siamfc-small")
    figures.add_flags(parser)
    args = parser.parse_args(argv)
    milliseconds = {}
    print("| what is new | frames | seconds |\n|---|---|---:|")
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": os.path.join(folder, "cache")}
        for new, (width, height), box in STARTS:
            frames = pathlib.Path(folder, f"{width}x{height}")
            frames.mkdir(exist_ok=True)
            image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
            for number in range(2):
                cv2.imwrite(str(frames / f"{number}.png"), image)
            command = [
                sys.executable, str(ROOT / "track.py"), "--video", str(frames), "--box", box,
                "--weights", args.weights, "--boxes", os.path.join(folder, "boxes.csv"),
            ]  # fmt: skip
            began = time.perf_counter()
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
            seconds = time.perf_counter() - began
            milliseconds[f"{new}, {width} x {height}"] = 1e3 * seconds
            print(f"| {new} | {width} x {height} | {seconds:.1f} |", flush=True)
    figures.finish(args, milliseconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
