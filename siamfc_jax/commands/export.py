"""Write a model as ONNX and StableHLO, for programs without this package.

    siamfc export siamfc-small exported/siamfc-small

Each file is compared with the live model on every frame of a clip before it is written:
--video and --box name a real one. Settings of the tracker become part of the files; every one
is a flag.
"""

import json
import pathlib

from siamfc_jax import config
from siamfc_jax.commands import flags
from siamfc_jax.config import TrackerConfig
from siamfc_jax.files import locked, whole_folder, write_whole

STOPPED = "stopped; nothing was written"


def add_arguments(parser, words) -> None:
    """Adds the flags.

    Args:
      parser: of this command.
      words: of the command.
    """
    del words
    parser.add_argument("weights", metavar="MODEL", help="shipped model, model folder or run")
    parser.add_argument("output", metavar="OUTPUT_DIR", type=pathlib.Path, help="folder to write")
    parser.add_argument("--video", metavar="SOURCE", help="clip to compare on (default: made)")
    parser.add_argument("--box", metavar="X,Y,W,H", help="object in its first frame")
    config.add_arguments(parser, TrackerConfig(), "Defaults: those of the model.")


def check(args) -> None:
    """Refuses flags that do not go together.

    Args:
      args: the flags.

    Raises:
      ValueError: only one of --video and --box is given.
    """
    if args.video and not args.box:
        raise ValueError("--video needs --box X,Y,W,H, the object in its first frame")
    if not args.video:
        flags.refuse(args, "box", "is the object in the clip of --video; give that as well")


def run(args) -> None:
    """Builds the files, compares each with the live model, and writes those that agree.

    Args:
      args: the flags.

    Raises:
      ValueError: model, clip or settings cannot be used, or a file differs from the live model.
    """
    with locked(args.output, beside=True):
        _export(args)


def _export(args):
    from siamfc_jax import load_model
    from siamfc_jax.export import checks, manifest, onnx_graphs, stablehlo
    from siamfc_jax.tracking import tracker

    loaded = load_model(args.weights)
    settings = config.from_arguments(loaded.tracker_config, args)
    check_settings(settings)
    clip, box = read_clip(args.video, args.box) if args.video else checks.make_clip()
    params = tracker.prepare(loaded)
    files = {
        "exemplar.onnx": onnx_graphs.build_exemplar(params).SerializeToString(),
        "search.onnx": onnx_graphs.build_search(params, config=settings).SerializeToString(),
    }
    exemplar, search = files.values()
    differences = checks.compare_onnx(exemplar, search, params, clip, box, config=settings)
    compared = {
        "exemplar.onnx": {"features": differences.pop("features")},
        "search.onnx": differences,
    }
    for name, differences in compared.items():
        checks.check_limits(name, differences)
    programs = stablehlo.export_tracker(params, config=settings)
    init, step = programs.values()
    differences = checks.compare_programs(init, step, params, clip, box, config=settings)
    for name, program in programs.items():
        checks.check_limits(f"{name}.jaxexport", differences)
        files[f"{name}.jaxexport"] = program
        compared[f"{name}.jaxexport"] = differences
    described = manifest.describe(args.weights, loaded.model_config, settings, params, files)
    described["compared"] = {"frames": len(clip), "largest_differences": compared}
    files["manifest.json"] = (json.dumps(described, indent=2) + "\n").encode()
    with whole_folder(args.output) as folder:
        for name, data in files.items():
            write_whole(folder / name, data)
    for name, differences in compared.items():
        shown = ", ".join(f"{key} {value:.2g}" for key, value in differences.items())
        print(f"{name}: {len(files[name]) / 1e6:.2f} MB, largest differences: {shown}")
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
      box: text `X,Y,W,H`.

    Returns:
      (list of u8[H, W, 3] RGB, f32[4]).

    Raises:
      ValueError: it cannot be read, or the box is not one of its first frame.
    """
    import numpy as np

    from siamfc_jax.geometry import check_box
    from siamfc_jax.media import box_files, video

    clip = [frame for _, frame in video.open_source(source).frames]
    if len(clip) < 2:
        raise ValueError(f"{source} has one frame, at least two are needed")
    return clip, check_box(np.array(box_files.parse_box(box)), clip[0].shape)
