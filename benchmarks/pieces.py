"""Times each piece of one tracked frame, and compares it with the machine's matmul rate.

python benchmarks/pieces.py --weights siamfc-small --height 480
"""

import argparse
import functools
import pathlib
import sys
import time

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import jax
import jax.numpy as jnp

from benchmarks import figures
from siamfc_jax import config
from siamfc_jax.compilation import keep_memory
from siamfc_jax.geometry import EXEMPLAR_SIZE, SEARCH_SIZE
from siamfc_jax.network import convolution, model, saved_models
from siamfc_jax.tracking import peaks, roi, search, tracker


def median(function, *arrays, rounds):
    """Returns the median seconds of a call."""
    seconds = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        jax.block_until_ready(function(*arrays))
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds[1:]))


def layers(variables, images):
    """Yields (name, function, arrays, floating-point operations) of each layer.

    The operations are those of the definition; `winograd` needs fewer.
    """
    for number, groups in enumerate(model.GROUPS, 1):
        layer = variables["params"][f"conv{number}"]
        stride = model.STRIDES[number - 1]

        def convolve(layer, images, stride=stride, groups=groups, last=number == 5):
            output = convolution.convolve(images, layer["kernel"], stride, groups)
            output = output + layer["bias"][None, None, None, :]
            return output if last else jax.nn.relu(output)

        convolve = jax.jit(convolve)
        outputs = convolve(layer, images)
        operations = 2 * outputs.size * np.prod(layer["kernel"].shape[:3])
        yield f"conv{number}", convolve, (layer, images), operations
        images = outputs
        if number < 3:
            pool = jax.jit(convolution.max_pool)
            yield f"pool{number}", pool, (images,), None
            images = pool(images)


def pieces(params, height, settings):
    """Yields (name, function, arrays, operations or None) in the order of a frame."""
    frame = np.random.default_rng(0).integers(0, 256, (height, height * 16 // 9, 3), np.uint8)
    size = height / 6
    box = np.float32([frame.shape[1] / 2 - size / 2, height / 2 - size / 2, size, size])
    state = tracker.init(params, frame, box, config=settings)
    first = roi.crop_roi(frame, box, config=settings)
    crop_roi = functools.partial(roi.crop_roi, frame, box, first, config=settings)
    yield "region of interest", crop_roi, (), None
    yield "upload", jax.device_put, (crop_roi(),), None
    scales, uploaded = search.crop_scales(settings), jax.device_put(crop_roi())

    def crops_of(scales, size):
        crop = functools.partial(search.crop_squares, size=size, config=settings)
        return jax.jit(lambda *inputs: crop(*inputs)[0]), (uploaded, state, scales)

    crop, inputs = crops_of(scales.search, SEARCH_SIZE)
    yield "crops", crop, inputs, None
    searches = crop(*inputs)
    yield from layers(params, searches)
    yield "embedding", jax.jit(model.embed), (params, searches), None
    features = model.embed(params, searches)
    operations = 2 * state.exemplar.size * 17 * 17 * len(features)
    correlate = jax.jit(model.cross_correlate_all)
    yield "correlation", correlate, (state.exemplar, features), operations
    response = correlate(state.exemplar, features).reshape(-1, 17, 17)
    if settings.scales_on == "peak":
        crop, inputs = crops_of(scales.peak, EXEMPLAR_SIZE)
        yield "crops at the peak", crop, inputs, None
        crops = crop(*inputs)
        yield "embedding of these", jax.jit(model.embed), (params, crops), None
    find_peak = jax.jit(functools.partial(peaks.find_peak, config=settings))
    yield "peak", find_peak, (jnp.zeros((len(response), 17, 17)), jnp.full(1, 255.0)), None
    step = functools.partial(tracker.step, config=settings)
    yield "whole step", lambda: step(params, state, crop_roi()), (), None


def main(argv=None) -> int:
    """Prints the table; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", metavar="NAME|PATH", help="a model; else random weights")
    parser.add_argument("--height", type=int, default=480, help="of the frame, 16:9")
    parser.add_argument("--rounds", type=int, default=30)
    figures.add_flags(parser)
    config.add_arguments(parser, config.ModelConfig())
    config.add_arguments(parser, config.TrackerConfig())
    args = parser.parse_args(argv)
    keep_memory()  # as track.py does
    if args.weights:
        loaded = saved_models.load_model(args.weights)
    else:
        network = config.from_arguments(config.ModelConfig(), args)
        variables = model.init_variables(jax.random.key(0), config=network)
        loaded = saved_models.Model(variables, network, config.TrackerConfig())
    params = tracker.prepare(loaded)
    settings = config.from_arguments(config.TrackerConfig(), args)
    square = jnp.ones((2048, 2048))
    rate = 2 * 2048**3 / median(jax.jit(jnp.matmul), square, square, rounds=args.rounds)
    print(f"a matmul of 2048 x 2048 runs at {rate / 1e9:.0f} GFLOP/s\n")
    print("| piece | ms | GFLOP/s | of the matmul rate |\n|---|---:|---:|---:|")
    milliseconds = {}
    for name, function, arrays, operations in pieces(params, args.height, settings):
        seconds = median(function, *arrays, rounds=args.rounds)
        milliseconds[name] = 1e3 * seconds
        reached = operations / seconds if operations else 0
        columns = f"{reached / 1e9:.0f} | {reached / rate:.0%}" if operations else " | "
        print(f"| {name} | {1e3 * seconds:.2f} | {columns} |", flush=True)
    figures.finish(args, milliseconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
