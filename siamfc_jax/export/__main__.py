"""Writes a model as ONNX and StableHLO, for programs without this package.

    python -m siamfc_jax.export siamfc-small exported/siamfc-small

Each file is compared with the live model on every frame of a clip before it is written:
--video and --box name a real one. Settings of the tracker become part of the files; every one
is a flag.
"""

import argparse
import dataclasses
import hashlib
import importlib.metadata
import json
import pathlib
import sys

import numpy as np

from siamfc_jax import config
from siamfc_jax.config import TrackerConfig
from siamfc_jax.geometry import EXEMPLAR_SIZE, SEARCH_SIZE, STRIDE, check_box
from siamfc_jax.media import video
from siamfc_jax.network.checkpoints import load_model
from siamfc_jax.tracking import peaks, tracker

FORMAT = 1  # of the manifest; readers refuse another
COORDINATES = (
    "boxes are [x, y, w, h], left and top edge and extent in continuous 0-based frame pixels; "
    "the pixel of row r and column c covers [c, c + 1) x [r, r + 1)"
)
SAMPLING = (
    "bilinear without low-pass filter: sample i of a crop of n lies at "
    "center - .5 + ((i + .5) / n - .5) * side in pixel indices; the mean colour of the first "
    "frame stands outside of the frame"
)


def main(argv=None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="shipped model, model folder or run of train.py")
    parser.add_argument("output", metavar="OUTPUT_DIR", type=pathlib.Path, help="folder to write")
    parser.add_argument("--video", metavar="SOURCE", help="clip to compare on (default: made)")
    parser.add_argument("--box", metavar="X,Y,W,H", help="object in its first frame")
    config.add_arguments(parser, TrackerConfig)
    args = parser.parse_args(argv)
    try:
        run(args)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def run(args) -> None:
    """Exports what the flags say."""
    try:
        from siamfc_jax.export import checks, onnx_graphs, stablehlo
    except ModuleNotFoundError as error:
        raise ValueError(f"{error.name} is missing; pip install -r requirements-export.txt") from None
    loaded = load_model(args.model)
    settings = config.from_arguments(loaded.tracker_config, args)
    check_settings(settings)
    clip, box = read_clip(args.video, args.box) if args.video else checks.make_clip()
    params = tracker.prepare(loaded)
    files = {
        "exemplar.onnx": onnx_graphs.build_exemplar(params).SerializeToString(),
        "search.onnx": onnx_graphs.build_search(params, config=settings).SerializeToString(),
    }
    differences = checks.compare_onnx(*files.values(), params, clip, box, config=settings)
    compared = {
        "exemplar.onnx": {"features": differences.pop("features")},
        "search.onnx": differences,
    }
    programs = stablehlo.export_tracker(params, config=settings)
    differences = checks.compare_programs(*programs.values(), params, clip, box, config=settings)
    for name, program in programs.items():
        files[f"{name}.jaxexport"] = program
        compared[f"{name}.jaxexport"] = differences
    for name, differences in compared.items():
        checks.check_limits(name, differences)
    args.output.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (args.output / name).write_bytes(data)
        shown = ", ".join(f"{key} {value:.2g}" for key, value in compared[name].items())
        print(f"{name}: {len(data) / 1e6:.2f} MB, largest differences: {shown}")
    manifest = describe(args.model, loaded, settings, params, files, compared, len(clip))
    text = json.dumps(manifest, indent=2) + "\n"
    (args.output / "manifest.json").write_text(text, encoding="utf-8")
    print(f"wrote {args.output}")


def check_settings(settings: TrackerConfig) -> None:
    """Refuses settings that the runtimes do not have.

    Args:
      settings: of the tracker.

    Raises:
      ValueError: scales of the exemplar, or re-detection.
    """
    if settings.scales_on == "exemplar":
        raise ValueError("scales_on must be search or peak in an export, got exemplar")
    if settings.redetect:
        raise ValueError("an export does not search the whole frame; add --no-redetect")


def read_clip(source, box):
    """Reads the clip to compare on.

    Args:
      source: as `media.video.open_source` takes it.
      box: text `X,Y,W,H`, or None.

    Returns:
      (list of u8[H, W, 3] RGB, f32[4]).

    Raises:
      ValueError: it cannot be read, or the box is not one of its first frame.
    """
    if box is None:
        raise ValueError("--video needs --box X,Y,W,H, the object in its first frame")
    clip = [frame for _, frame in video.open_source(source).frames]
    if len(clip) < 2:
        raise ValueError(f"{source} has one frame, at least two are needed")
    try:
        numbers = [float(value) for value in box.split(",")]
    except ValueError:
        numbers = box
    return clip, check_box(numbers, clip[0].shape)


def describe(name, loaded, settings, params, files, compared, frames) -> dict:
    """Returns the manifest: all that a runtime has to know beside the files.

    Args:
      name: of the model.
      loaded: the `checkpoints.Model`.
      settings: of the tracker.
      params: folded network parameters.
      files: name -> bytes.
      compared: name -> output -> largest difference from the live model.
      frames: how many frames it was compared on.
    """
    adjust = {key: float(value) for key, value in params["params"]["adjust"].items()}
    return {
        "format": FORMAT,
        "model": str(name),
        "network": dataclasses.asdict(loaded.model_config)
        | {"channels": int(np.shape(params["params"]["conv5"]["bias"])[0])},
        "tracker": dataclasses.asdict(settings),
        "crops": {
            "exemplar_size": EXEMPLAR_SIZE,
            "search_size": SEARCH_SIZE,
            "stride": STRIDE,
            "upsampling": peaks.UPSAMPLING,
            "layout": "NCHW",
            "colors": "RGB, 0 to 255, nothing subtracted or divided",
            "sampling": SAMPLING,
        },
        "coordinates": COORDINATES,
        "adjust": adjust,
        "files": {
            name: {
                "sha256": hashlib.sha256(data).hexdigest(),
                "bytes": len(data),
                "largest_differences": compared[name],
            }
            for name, data in files.items()
        },
        "compared_frames": frames,
        "made_with": {
            package: importlib.metadata.version(package) for package in ("jax", "onnx")
        },
    }


if __name__ == "__main__":
    sys.exit(main())
