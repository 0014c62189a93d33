"""Shows that memory stays constant while objects come and go for 20,000 frames.

    python benchmarks/long_run.py --frames 20000 --output runs/long_run

Frames of 320 x 240 are made one by one: two squares of noise that move over noise. Each is an
object of 300 frames, after which another begins in its place, 150 frames after the other one.
One scale is searched. Prints the resident memory every 1,000 frames, the frames a second and
what was compiled after the first frame.
"""

import argparse
import dataclasses
import logging
import pathlib
import sys
import time

import jax
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from siamfc_jax.annotation import annotator, formats  # noqa: E402
from siamfc_jax.annotation.job import End, KeyBox, make_job, spans  # noqa: E402
from siamfc_jax.annotation.tracks import Clip  # noqa: E402
from siamfc_jax.compilation import keep_memory  # noqa: E402
from siamfc_jax.network.saved_models import load_model  # noqa: E402
from siamfc_jax.tracking import tracker  # noqa: E402

WIDTH, HEIGHT, SIDE, LIFE, ROWS = 320, 240, 32, 300, (50, 150)


def place(row: int, number: int) -> int:
    """Returns where the object in a row is, from left to right and back."""
    room = WIDTH - SIDE
    along = (2 * number + 97 * row) % (2 * room)
    return min(along, 2 * room - along)


def make_frames(count: int):
    """Yields (number, u8[H, W, 3])."""
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 120, (HEIGHT, WIDTH, 3), np.uint8)
    looks = rng.integers(60, 255, (len(ROWS), SIDE, SIDE, 3), np.uint8)
    for number in range(count):
        frame = ground.copy()
        for row, top in enumerate(ROWS):
            left = place(row, number)
            frame[top : top + SIDE, left : left + SIDE] = looks[row]
        yield number, frame


def make_long_job(count: int):
    """Returns a job in which, in each row, another object begins every 300 frames."""
    keys, ends = [], []
    for row, top in enumerate(ROWS):
        for begin in range(LIFE // 2 * row, count, LIFE):
            name = f"{row}.{begin // LIFE}"
            keys.append(KeyBox(begin, name, (place(row, begin), top, SIDE, SIDE)))
            if begin + LIFE < count:
                ends.append(End(begin + LIFE, name))
    return make_job(keys, ends)


def resident() -> float:
    """Returns the memory of this process in MiB (Linux)."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


class Compiled(logging.Handler):
    """Counts what is compiled."""

    count = 0

    def emit(self, record):
        """Notes a message of JAX."""
        self.count += "Finished XLA compilation" in record.getMessage()


def draw(curve, path) -> None:
    """Draws the memory of the process against the frame."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    numbers, memory = np.transpose(curve)
    axes.plot(numbers, memory, color="#1f5fa8", marker="o", ms=3)
    axes.set(xlabel="frame", ylabel="memory of the process, MiB")
    axes.set(xlim=(0, None), ylim=(0, 1.2 * memory.max()))
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def main(argv=None) -> int:
    """Runs the command; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--output", type=pathlib.Path, required=True, help="folder for results")
    parser.add_argument("--weights", metavar="NAME|PATH", default="siamfc-small")
    args = parser.parse_args(argv)
    args.output.mkdir(parents=True, exist_ok=True)
    keep_memory()
    compiled = Compiled()
    jax.config.update("jax_log_compiles", True)
    logger = logging.getLogger("jax")
    logger.addHandler(compiled)
    logger.propagate = False
    model = load_model(args.weights)
    params, settings = (
        tracker.prepare(model),
        dataclasses.replace(model.tracker_config, num_scales=1),
    )
    job = make_long_job(args.frames)
    rows = annotator.annotate(params, make_frames(args.frames), spans(job), {}, config=settings)
    clip = Clip("made", WIDTH, HEIGHT, 30.0, ())
    curve, errors, after_first = [], [], 0
    began = time.perf_counter()
    with formats.row_writer(args.output / "boxes.csv", job.names, clip) as write:
        for row in rows:
            write(row)
            for name, estimate in row.estimates.items():
                errors.append(abs(estimate.box[0] - place(int(name[0]), row.number)) < SIDE / 2)
            if row.number == 0:
                after_first, began = compiled.count, time.perf_counter()
            if row.number % 1000 == 0 or row.number == args.frames - 1:
                curve.append((row.number, resident()))
                new = compiled.count - after_first
                print(f"frame {row.number:6d}: {resident():7.1f} MiB, {new} compiled", flush=True)
    seconds = time.perf_counter() - began
    print(f"{len(job.names)} objects, {args.frames / seconds:.1f} frames a second, "
          f"{100 * np.mean(errors):.1f} % of boxes on their object, "
          f"{compiled.count - after_first} programs compiled after the first frame")  # fmt: skip
    lines = [f"{number},{memory:.1f}" for number, memory in curve]
    (args.output / "memory.csv").write_text("frame,MiB\n" + "\n".join(lines) + "\n")
    draw(curve, args.output / "memory.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
