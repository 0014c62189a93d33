"""Measures LOST and --redetect on clips whose object is covered, leaves or is cut away.

    python benchmarks/lost.py --data OTB --weights siamfc-small

The clips are made of the sequences of a folder in the OTB layout (training/occlusion.py):
80 frames each, the object gone in frames 25 to 49. Some minutes for 2000 frames of sequences.
"""

import argparse
import dataclasses
import pathlib
import sys

import jax
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from siamfc_jax import config  # noqa: E402
from siamfc_jax.compilation import keep_compiled  # noqa: E402
from siamfc_jax.data.layouts import read_otb  # noqa: E402
from siamfc_jax.evaluation import metrics  # noqa: E402
from siamfc_jax.network.saved_models import load_model  # noqa: E402
from siamfc_jax.tracking import tracker  # noqa: E402
from siamfc_jax.training import calibration, occlusion  # noqa: E402

LENGTH, GAP = 80, range(25, 50)


def follow(params, clip, settings):
    """Returns (boxes f32[T, 4], confidences f32[T], lost bool[T]) of a tracker on a clip."""
    state = tracker.init(params, clip.frames[0], clip.boxes[0], config=settings)
    outputs = tracker.scan_frames(params, state, clip.frames[1:], config=settings)
    _, states, boxes, _ = jax.device_get(outputs)
    return (
        np.concatenate([clip.boxes[:1], boxes]),
        np.append(1, states.confidence),  # the first frame is certain
        np.append(False, states.lost),
    )


def measure(clip, boxes, confidences, lost):
    """Returns what is summed up over clips: name -> array of values, one a frame or event."""
    labels = calibration.label(clip, boxes)
    overlaps = metrics.iou(boxes, clip.boxes)
    after = np.arange(LENGTH) > GAP[-1] + occlusion.SLIDE
    finds = np.flatnonzero(lost[:-1] & ~lost[1:]) + 1
    first = np.flatnonzero(lost[GAP[0] :])
    return {
        "labels": labels,
        "lost": lost,
        "confidence": confidences,
        "after": overlaps[after & (clip.visibility == 1)],
        "false finds": np.array([np.sum(labels[finds] == 0)]),
        "wait": np.array([first[0] if len(first) and not lost[GAP[0] - 1] else np.nan]),
    }


def summarize(rows) -> dict:
    """Returns the numbers of one line of the table from the dicts of `measure`."""
    joined = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    off, on = joined["labels"] == 0, joined["labels"] == 1
    known, lost = off | on, joined["lost"]
    area = calibration.area_under_curve(joined["confidence"][known], joined["labels"][known])
    return {
        "clips": len(rows),
        "ROC AUC": area,
        "precision": np.sum(lost & off) / max(np.sum(lost & known), 1),
        "recall": np.sum(lost & off) / np.sum(off),
        "false alarms": np.sum(lost & on) / np.sum(on),
        "median wait": np.nanmedian(joined["wait"]),
        "false finds a clip": joined["false finds"].mean(),
        "AUC after": metrics.success_curve(joined["after"]).mean(),
    }


def main(argv=None) -> int:
    """Runs the benchmark; returns its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="folder in the OTB layout")
    parser.add_argument("--weights", default="siamfc-small", help="name or path of a model")
    config.add_arguments(parser, config.TrackerConfig())
    args = parser.parse_args(argv)
    keep_compiled()
    model = load_model(args.weights)
    params, settings = tracker.prepare(model), config.from_arguments(model.tracker_config, args)
    groups = {}
    for name, clip in occlusion.clips_of_videos(read_otb(args.data), length=LENGTH, gap=GAP):
        for redetect in (False, True):
            each = dataclasses.replace(settings, redetect=redetect)
            row = measure(clip, *follow(params, clip, each))
            for group in (clip.kind, "all"):
                groups.setdefault((group, redetect), []).append(row)
        print(name, clip.kind, file=sys.stderr, flush=True)
    for number, ((group, redetect), rows) in enumerate(sorted(groups.items())):
        summary = summarize(rows)
        if not number:
            print("| clips of | redetect |", " | ".join(summary), "|")
            print("|---|---|" + "---|" * len(summary))
        print(f"| {group} | {'yes' if redetect else 'no'} |", " | ".join(
            f"{value:.0f}" if name in ("clips", "median wait") else f"{value:.3f}"
            for name, value in summary.items()), "|")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
