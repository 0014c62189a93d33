"""Makes float16 and int8 files of an exported model, and times each beside float32.

    siamfc export siamfc-small exported/small
    python benchmarks/precisions.py exported/small TRACKS precisions/
    siamfc evaluate --benchmark otb --data OTB --weights precisions/int8 --output results/int8

TRACKS has train/ in the GOT-10k layout with patches of 319 px, as `siamfc prepare` writes them;
crops of them calibrate the ranges of the int8 activations. All variants take turns over the
same frames, frame by frame, on two threads.
"""

import argparse
import hashlib
import json
import pathlib
import sys

import numpy as np
import onnx
from onnxruntime import quantization
from onnxruntime.transformers import float16

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import engines
from siamfc_jax.data.prepared import read_tracks
from siamfc_jax.export import checks
from siamfc_jax.geometry import EXEMPLAR_SIZE, PATCH_SIZE, SEARCH_SIZE
from siamfc_jax.tracking.siamfc_onnx import Tracker

GRAPHS = "exemplar.onnx", "search.onnx"
CROPS = 200  # to calibrate on


def main(argv=None) -> int:
    """Writes the variants and prints the table; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", metavar="EXPORTED", type=pathlib.Path)
    parser.add_argument("tracks", metavar="TRACKS")
    parser.add_argument("output", metavar="OUTPUT", type=pathlib.Path)
    parser.add_argument("--frames", type=int, default=60, help="how many (default: 60)")
    args = parser.parse_args(argv)
    feeds = calibration_feeds(args.folder, args.tracks)
    folders = {"float32": args.folder}
    for name, convert in (("float16", to_float16), ("int8", to_int8)):
        folders[name] = write_variant(args.folder, args.output / name, convert, feeds)
    print_speeds(folders, args.frames)
    return 0


def calibration_feeds(folder, tracks):
    """Returns graph -> inputs of it, from random patches of different tracks.

    Args:
      folder: exported model, whose float32 network makes the exemplars of the search.
      tracks: folder with train/.
    """
    rng = np.random.default_rng(0)
    exemplar_graph = Tracker(folder)._exemplar_graph
    sequences = read_tracks(tracks)
    feeds = {name: [] for name in GRAPHS}
    for index in rng.permutation(len(sequences))[:CROPS]:
        frames = sequences[index].frames
        exemplar, search = (
            cut(frames[int(rng.integers(len(frames)))], size, rng)
            for size in (EXEMPLAR_SIZE, SEARCH_SIZE)
        )
        feeds["exemplar.onnx"].append({"crops": exemplar})
        (features,) = exemplar_graph.run(["features"], {"crops": exemplar})
        feeds["search.onnx"].append({"crops": search, "exemplar": features})
    return feeds


def cut(patch, size, rng):
    """Cuts f32[1, 3, size, size] out of a patch: its middle, up to 16 px off."""
    row, column = (PATCH_SIZE - size) // 2 + rng.integers(-16, 17, 2)
    crop = patch[row : row + size, column : column + size]
    return np.float32(crop.transpose(2, 0, 1))[None]  # HWC -> NCHW


class Feeds(quantization.CalibrationDataReader):
    """Hands the inputs to onnxruntime, one by one."""

    def __init__(self, feeds):
        """Takes a list of inputs."""
        self.remaining = iter(feeds)

    def get_next(self):
        """Returns the next inputs, None after the last."""
        return next(self.remaining, None)


def to_float16(source, target, _):
    """Writes a graph that computes in float16; its inputs and outputs stay float32."""
    onnx.save(float16.convert_float_to_float16(onnx.load(source), keep_io_types=True), target)


def to_int8(source, target, feeds):
    """Writes a graph of int8 with static ranges, weights by channel; up-sampling stays float32."""
    quantization.quantize_static(
        source,
        target,
        Feeds(feeds),
        quant_format=quantization.QuantFormat.QDQ,
        op_types_to_quantize=["Conv", "Relu", "MaxPool", "MatMul"],
        nodes_to_exclude=["tall", "square"],
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        calibrate_method=quantization.CalibrationMethod.Percentile,
    )


def write_variant(source, target, convert, feeds):
    """Writes both graphs and the manifest; returns the folder."""
    target.mkdir(parents=True, exist_ok=True)
    manifest = json.loads((source / "manifest.json").read_text())
    manifest["files"] = {}
    for name in GRAPHS:
        convert(source / name, target / name, feeds[name])
        data = (target / name).read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        manifest["files"][name] = {"sha256": digest, "bytes": len(data)}
    (target / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    return target


def print_speeds(folders, count):
    """Prints the table: size of the files and milliseconds a frame."""
    clip, box = checks.make_clip(count + engines.WARM_UP, height=480, width=640)
    trackers = {name: Tracker(folder, threads=2) for name, folder in folders.items()}
    seconds = engines.take_turns(trackers, clip, box)
    first = np.median(seconds["float32"])
    print("| files | MB | ms a frame, median | of float32 |\n|---|---:|---:|---:|")
    for name, folder in folders.items():
        size = sum((folder / graph).stat().st_size for graph in GRAPHS) / 1e6
        median = np.median(seconds[name])
        print(f"| {name} | {size:.2f} | {1e3 * median:.1f} | {median / first:.2f} |")


if __name__ == "__main__":
    sys.exit(main())
