"""Measures tracking and training on one device: calls of many boxes, batches, layers, memory.

    python benchmarks/accelerator.py --json accelerator.json
    python benchmarks/accelerator.py --paper

The first command prints its tables as it goes and writes the figures again after each of them, so
that a run that is cut short leaves what it has. It ends after `--minutes`: what is not reached by
then, or does not fit the memory, has no row. On a CPU it takes a small form, unless `--counts` and
the like say otherwise. Where PyTorch is installed, it makes the same training step beside ours.
The second command measures nothing: it says what devices should reach by their data sheets.
"""

import argparse
import functools
import importlib.util
import pathlib
import sys
import time

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import jax
import jax.numpy as jnp

from benchmarks import figures, train_step
from siamfc_jax.compilation import keep_memory
from siamfc_jax.config import ModelConfig, TrainConfig
from siamfc_jax.geometry import EXEMPLAR_SIZE, SEARCH_SIZE, TRAIN_SEARCH_SIZE
from siamfc_jax.network import model, saved_models
from siamfc_jax.tracking import tracker
from siamfc_jax.training import sgd

SMALL_FORM = {"counts": (1, 2, 4), "batches": (8,), "calls": (1, 2)}  # on a CPU
FULL_FORM = {"counts": (1, 4, 16, 64, 256, 1024), "batches": (8, 32, 128, 512), "calls": (1, 8)}
MOST_VIDEOS, MOST_FRAMES = 256, 64  # in a call; a frame of 480 lines takes 1.2 MB
# Dense multiply-adds count as two operations. TERA of float32 inputs (which JAX multiplies as
# TF32 or bfloat16 where a device can), of 16-bit inputs, GIGABYTES a second of memory.
# NVIDIA's data sheets of T4 and H100 SXM, Google's of the TPU v5e.
DATA_SHEETS = {"T4": (8.1, 65, 320), "H100": (494, 989, 3350), "TPU v5e": (197, 197, 819)}


class Clock:
    """Times calls until the time is up, and keeps the figures.

    Attributes:
      milliseconds: name -> median of a call.
    """

    def __init__(self, args):
        self.args, self.milliseconds = args, {}
        self.end = time.monotonic() + 60 * args.minutes

    def time(self, name, call):
        """Returns the median seconds of a call; None if it did not fit the time or the memory."""
        if time.monotonic() > self.end:
            return None
        try:
            jax.block_until_ready(call())  # compiles
            seconds, began = [], time.monotonic()
            while len(seconds) < 3 or (len(seconds) < 50 and time.monotonic() < began + 0.5):
                start = time.perf_counter()
                jax.block_until_ready(call())
                seconds.append(time.perf_counter() - start)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            return None
        self.milliseconds[name] = 1e3 * float(np.median(seconds))
        return self.milliseconds[name] / 1e3

    def table(self, title, unit, units, calls):
        """Prints a row for each (name, function of one call, number of units that it makes)."""
        print(f"\n{title}\n\n| a call for | ms | ms a {unit} | {units} a second |")
        print("|---|---:|---:|---:|", flush=True)
        while time.monotonic() < self.end and (row := next(calls, None)):
            name, call, count = row
            if seconds := self.time(f"{title}: {name}", call):
                each = 1e3 * seconds / count
                print(
                    f"| {name} | {1e3 * seconds:.2f} | {each:.3f} | {1e3 / each:,.0f} |", flush=True
                )
        print(f"\npeak memory so far {peak_memory():,.0f} MiB", flush=True)
        self.keep()

    def keep(self):
        """Writes what is measured so far, unless the file may be the one to compare with."""
        if not self.args.base:
            figures.write(self.args, self.milliseconds)


def peak_memory() -> float:
    """Returns the most MiB so far: of the device if it counts them, else of this process."""
    counted = jax.devices()[0].memory_stats() or {}
    return counted["peak_bytes_in_use"] / 2**20 if counted else figures.peak_memory()


def tracking_calls(loaded, height, counts):
    """Yields (name, function of one call, boxes that it finds)."""
    width, side = height * 16 // 9, height / 6
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (height, width, 3), np.uint8)
    on_device = jax.device_put(frame)
    params, settings = tracker.prepare(loaded), loaded.tracker_config
    init, step, step_videos, scan_frames, start, advance = (
        functools.partial(function, params, config=settings)
        for function in (
            tracker.init, tracker.step, tracker.step_videos, tracker.scan_frames,
            tracker.start, tracker.advance,
        )
    )  # fmt: skip
    corners = rng.uniform(side, [width - 2 * side, height - 2 * side], (max(counts), 2))
    boxes = np.hstack([corners, np.full_like(corners, side)]).astype(np.float32)
    yield (
        "1 object, as track.py does it",
        functools.partial(advance, start(frame, boxes[0]), frame),
        1,
    )
    one = init(frame, boxes[0])
    yield "1 object, frame on the host", functools.partial(step, one, frame), 1
    for count in counts:
        objects = init(on_device, boxes[:count])
        yield f"{count} objects of a frame", functools.partial(step, objects, on_device), count
    for count in (count for count in counts if count <= MOST_VIDEOS):
        states = jax.tree.map(lambda array, count=count: jnp.stack([array] * count), one)
        frames, sizes = np.stack([frame] * count), np.full((count, 2), (width, height), np.int32)
        yield f"{count} videos, host", functools.partial(step_videos, states, frames, sizes), count
        frames = jax.device_put(frames)
        yield (
            f"{count} videos, device",
            functools.partial(step_videos, states, frames, sizes),
            count,
        )
    for count in (count for count in counts if count <= MOST_FRAMES):
        frames = np.stack([frame] * count)
        yield f"{count} frames of a video, host", functools.partial(scan_frames, one, frames), count
        frames = jax.device_put(frames)
        yield (
            f"{count} frames of a video, device",
            functools.partial(scan_frames, one, frames),
            count,
        )


def training_calls(network, batches, calls):
    """Yields (name, function of one call, pairs that it trains on); PyTorch's last."""
    rng = np.random.default_rng(0)
    variables = jax.device_get(model.init_variables(jax.random.key(0), config=network))
    for bfloat16 in (False, True):
        for size in batches:
            patches = rng.integers(0, 255, (2, size, 319, 319, 3), np.uint8)
            numbers = np.arange(size, dtype=np.int32)
            batch = {
                "exemplar": patches[0],
                "search": patches[1],
                "track": numbers,
                "index": numbers,
            }
            for steps in calls:
                yield (
                    f"batch {size}, {steps} steps a call, {'bfloat16' if bfloat16 else 'float32'}",
                    _training_call(variables, batch, steps, bfloat16),
                    size * steps,
                )
    if importlib.util.find_spec("torch"):
        sizes = (network.width, network.first_kernel)
        for size in batches:
            for layout, step in train_step.torch_steps(*sizes, batch=size).items():
                yield f"batch {size}, PyTorch, {layout}", step, size


def _training_call(variables, batch, steps, bfloat16):
    config = TrainConfig(batch_size=len(batch["index"]), bfloat16=bfloat16)
    optimizer = sgd.make_optimizer(config)
    parallel = sgd.parallelize(
        functools.partial(sgd.train_step, config=config, optimizer=optimizer)
    )
    latest = None

    def call():
        nonlocal latest  # each call gives away the state that it gets
        if latest is None:
            state = sgd.create_state(jax.tree.map(jnp.array, variables), optimizer, config=config)
            latest = sgd.replicate(state)
        latest, metrics, _ = parallel(latest, (), sgd.split([batch] * steps), np.float32(0))
        return metrics["loss"]

    return call


def print_layers(clock, network, batch):
    """Prints how long each layer takes, and its share of the rate of a matmul of the device."""
    for dtype in (jnp.float32, jnp.bfloat16):
        kind = jnp.dtype(dtype).name
        side = 2048 if jax.default_backend() == "cpu" else 8192
        square = jnp.ones((side, side), dtype)
        multiply = jax.jit(jnp.matmul)
        seconds = clock.time(f"matmul {kind}", lambda: multiply(square, square))  # noqa: B023
        if seconds is None:
            return
        peak = 2 * side**3 / seconds
        print(f"\nLayers, {batch} searches of {TRAIN_SEARCH_SIZE} px, {kind}; a matmul of {side} x "
              f"{side} reaches {peak / 1e12:.2f} TFLOP/s")  # fmt: skip
        print("\n| layer | ms | share | with gradients, ms | share |\n|---|---:|---:|---:|---:|")
        functions = train_step.layer_functions(
            network.width, network.first_kernel, batch=batch, dtype=dtype
        )
        for name, (forward, gradients, operations) in functions.items():
            cells = []
            for what, call, times in (("", forward, 1), (" gradients", gradients, 3)):
                seconds = clock.time(f"{kind} {name}{what}", call)
                share = operations * times / seconds / peak if seconds and operations else None
                cells += [
                    f"{1e3 * seconds:.2f}" if seconds else "",
                    f"{share:.0%}" if share else "",
                ]
            if any(cells):
                print(f"| {name} | {' | '.join(cells)} |", flush=True)
    clock.keep()


def layer_costs(network, side):
    """Yields (operations, values in and out, weights) of each layer for one crop of `side` px."""
    depth = 3
    layers = zip(
        model.channels(network), (network.first_kernel, *model.KERNELS[1:]), model.STRIDES,
        model.GROUPS, strict=True,
    )  # fmt: skip
    for number, (count, kernel, stride, groups) in enumerate(layers):
        outputs = (side - kernel) // stride + 1
        weights = kernel**2 * depth // groups * count
        yield 2 * outputs**2 * weights, side**2 * depth + outputs**2 * count, weights
        side, depth = (outputs - 3) // 2 + 1 if number < 2 else outputs, count


def print_paper(name, network):
    """Prints what data sheets allow: each layer is limited by operations or by memory."""
    print(f"{name}: the least time by data sheets, each layer read and written once\n")
    columns = "device | float32: frames/s of 1 object | boxes/s of 64 | pairs/s"
    columns += " | 16 bits: boxes/s of 64 | pairs/s | limit"
    print(f"| {columns} |\n|---|---:|---:|---:|---:|---:|---|")
    for device, (tera32, tera16, gigabytes) in DATA_SHEETS.items():

        def seconds(crops, side, tera, width, gigabytes=gigabytes):  # of `crops` crops
            return [
                (
                    crops * operations / tera / 1e12,
                    width * (crops * values + weights) / gigabytes / 1e9,
                )
                for operations, values, weights in layer_costs(network, side)
            ]

        def boxes(objects, *rates):
            return objects / sum(map(max, seconds(3 * objects, SEARCH_SIZE, *rates)))

        def pairs(*rates):  # forward, and twice as much again for both gradients; batch 64
            sides = (EXEMPLAR_SIZE, TRAIN_SEARCH_SIZE)
            return 64 / (3 * sum(sum(map(max, seconds(64, side, *rates))) for side in sides))

        by = np.sum(seconds(192, SEARCH_SIZE, tera32, 4), axis=0)
        rates = boxes(1, tera32, 4), boxes(64, tera32, 4), pairs(tera32, 4)
        rates += boxes(64, tera16, 2), pairs(tera16, 2)
        limit = "memory" if by[1] > by[0] else "operations"
        print(f"| {device} | {' | '.join(f'{rate:,.0f}' for rate in rates)} | {limit} |")


def main(argv=None) -> int:
    """Prints the tables; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", metavar="NAME|PATH", default="siamfc-small")
    parser.add_argument("--height", type=int, default=480, help="of the frames, 16:9")
    parser.add_argument(
        "--counts", type=int, nargs="+", help="objects, videos and frames of a call"
    )
    parser.add_argument("--batches", type=int, nargs="+", help="pairs of a training step")
    parser.add_argument("--calls", type=int, nargs="+", help="training steps of a call")
    parser.add_argument("--minutes", type=float, default=7.5, help="begin nothing after them")
    parser.add_argument("--only", choices=("tracking", "training", "layers"), help="one table")
    parser.add_argument(
        "--paper", action="store_true", help="print what data sheets allow, and end"
    )
    figures.add_flags(parser)
    args = parser.parse_args(argv)
    sgd.use_cores_as_devices(min(args.batches or SMALL_FORM["batches"]))  # as train.py does
    loaded = saved_models.load_model(args.weights)
    if args.paper:
        print_paper(args.weights, loaded.model_config)
        return 0
    keep_memory()  # as the commands do
    form = SMALL_FORM if jax.default_backend() == "cpu" else FULL_FORM
    sizes = {name: getattr(args, name) or default for name, default in form.items()}
    network: ModelConfig = loaded.model_config
    clock = Clock(args)
    print(f"{args.weights} on {jax.devices()[0].device_kind}, frames of {args.height} lines")
    if args.only in (None, "tracking"):
        clock.table(
            "Tracking", "box", "boxes", tracking_calls(loaded, args.height, sizes["counts"])
        )
    if args.only in (None, "layers"):
        print_layers(clock, network, min(sizes["batches"]))
    if args.only in (None, "training"):
        calls = training_calls(network, sizes["batches"], sizes["calls"])
        clock.table("Training", "pair", "pairs", calls)
    figures.finish(args, clock.milliseconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
