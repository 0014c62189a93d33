"""Writes a model as ONNX and StableHLO, for programs without this package.

    python -m siamfc_jax.export siamfc-small exported/siamfc-small

Each file is compared with the live model on every frame of a clip before it is written:
--video and --box name a real one. Settings of the tracker become part of the files; every one
is a flag.
"""

import argparse
import json
import pathlib
import sys

from siamfc_jax import config
from siamfc_jax.config import TrackerConfig
from siamfc_jax.export import manifest
from siamfc_jax.geometry import check_box
from siamfc_jax.media import video
from siamfc_jax.network.checkpoints import load_model
from siamfc_jax.tracking import tracker


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
        raise ValueError(
            f"{error.name} is missing; pip install -r requirements-export.txt"
        ) from None
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
    for name, differences in compared.items():
        checks.check_limits(name, differences)
    programs = stablehlo.export_tracker(params, config=settings)
    differences = checks.compare_programs(*programs.values(), params, clip, box, config=settings)
    for name, program in programs.items():
        checks.check_limits(f"{name}.jaxexport", differences)
        files[f"{name}.jaxexport"] = program
        compared[f"{name}.jaxexport"] = differences
    args.output.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (args.output / name).write_bytes(data)
        shown = ", ".join(f"{key} {value:.2g}" for key, value in compared[name].items())
        print(f"{name}: {len(data) / 1e6:.2f} MB, largest differences: {shown}")
    described = manifest.describe(args.model, loaded.model_config, settings, params, files)
    described["compared"] = {"frames": len(clip), "largest_differences": compared}
    text = json.dumps(described, indent=2) + "\n"
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


if __name__ == "__main__":
    sys.exit(main())
