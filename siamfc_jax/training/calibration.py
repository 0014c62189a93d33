"""Fits the confidence of a model on clips whose object is out of sight for a while.

    python -m siamfc_jax.training.calibration --weights runs/a --data got10k/val --output models/a

makes such clips from held-out tracks (occlusion.py), tracks them, and writes the model with the
numbers that turn a score into a confidence (tracking/confidence.py). It takes as long as tracking
2400 frames. `--data` is the same as for train.py.
"""

import argparse
import dataclasses
import sys

import jax
import numpy as np
from tqdm import tqdm

from siamfc_jax.compilation import keep_compiled, keep_memory
from siamfc_jax.config import TrackerConfig
from siamfc_jax.data.prepared import read_tracks
from siamfc_jax.evaluation import metrics
from siamfc_jax.network.saved_models import load_model, save_model
from siamfc_jax.tracking import tracker
from siamfc_jax.tracking.confidence import share_of_own
from siamfc_jax.training import occlusion

LENGTH, GAP = 40, range(12, 26)
TRACKS = 60


def label(clip: occlusion.OccludedClip, boxes: np.ndarray) -> np.ndarray:
    """Labels the frames in which a tracker is on its object.

    Args:
      clip: `occlusion.OccludedClip` of T frames.
      boxes: f32[T, 4] that a tracker gave.

    Returns:
      f64[T]: 1 where at least half of the object can be seen and the overlap is at least
      .5; 0 where nothing can be seen, or the overlap is below .1; NaN between.
    """
    overlaps = metrics.iou(boxes, clip.boxes)
    on = (overlaps >= 0.5) & (clip.visibility >= 0.5)
    return np.where(on, 1.0, np.where((clip.visibility == 0) | (overlaps < 0.1), 0.0, np.nan))


def measure(
    params: dict, clip: occlusion.OccludedClip, *, config: TrackerConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Tracks a clip.

    Args:
      params: folded network parameters, from `tracker.prepare`.
      clip: `occlusion.OccludedClip` of T frames.
      config: settings of the tracker.

    Returns:
      (f64[T - 1, 2] score and share of the own response, f64[T - 1] from `label`).
    """
    state = tracker.init(params, clip.frames[0], clip.boxes[0], config=config)
    found = tracker.step_through(params, state, clip.frames[1:], config=config)
    _, state, boxes, scores = jax.device_get(found)
    shares = share_of_own(params, state.exemplar, scores)
    labels = label(clip, np.concatenate([clip.boxes[:1], boxes]))[1:]
    return np.stack([scores, shares], axis=1).astype(np.float64), labels


def fit(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, float]:
    """Fits a logistic function; both labels weigh the same.

    Args:
      features: f64[n, d].
      labels: f64[n] of 0 and 1.

    Returns:
      (weights f64[d], bias).

    Raises:
      ValueError: only one of the two labels occurs.
    """
    if len(set(labels)) < 2:
        raise ValueError(
            "the tracker was never or always on its object, nothing can be learnt from that; "
            "give other tracks in --data, or train the network further"
        )
    mean, spread = features.mean(0), features.std(0) + 1e-9
    inputs = np.hstack([(features - mean) / spread, np.ones((len(features), 1))])
    balance = 0.5 / np.where(labels == 1, np.mean(labels == 1), np.mean(labels == 0)) / len(labels)
    weights = np.zeros(inputs.shape[1])
    for _ in range(30):  # Newton iterations; the small L2 term keeps separable data finite
        predicted = 1 / (1 + np.exp(-inputs @ weights))
        slope = inputs.T @ (balance * (predicted - labels)) + 1e-3 * weights
        curve = (inputs.T * (balance * predicted * (1 - predicted))) @ inputs + 1e-3 * np.eye(
            len(weights)
        )
        weights = weights - np.linalg.solve(curve, slope)
    slopes = weights[:-1] / spread
    return slopes, float(weights[-1] - slopes @ mean)


def area_under_curve(values: np.ndarray, labels: np.ndarray) -> float:
    """Returns the probability that a value of label 1 exceeds one of label 0 (ROC AUC).

    Args:
      values: f64[n].
      labels: f64[n] of 0 and 1.
    """
    on, off = values[labels == 1], np.sort(values[labels == 0])
    below = np.searchsorted(off, on, "left") + np.searchsorted(off, on, "right")
    return float(below.mean() / 2 / len(off))


def run(args: argparse.Namespace) -> None:
    """Calibrates a model and writes it.

    Args:
      args: flags of the command.

    Raises:
      ValueError: there is no model or no tracks, or nothing can be learnt from the tracks.
    """
    if args.tracks < 1:
        raise ValueError(f"--tracks must be at least 1, got {args.tracks}")
    model, tracks = load_model(args.weights), read_tracks(args.data, "val")
    places = np.linspace(0, len(tracks) - 1, min(args.tracks, len(tracks))).astype(int)
    clips = occlusion.clips_of_tracks([tracks[place] for place in places], length=LENGTH, gap=GAP)
    params, settings = tracker.prepare(model), model.tracker_config
    settings = dataclasses.replace(settings, redetect=False)
    shown = tqdm(clips, total=len(places), unit="track", disable=None)
    parts = [measure(params, clip, config=settings) for clip in shown]
    if not parts:
        raise ValueError(f"no track in {args.data} has a frame with its object")
    features, labels = map(np.concatenate, zip(*parts, strict=True))
    features, labels = features[np.isfinite(labels)], labels[np.isfinite(labels)]
    (score, share), bias = fit(features, labels)
    numbers = {"confidence_score": score, "confidence_share": share, "confidence_bias": bias}
    numbers = {name: round(float(value), 4) for name, value in numbers.items()}
    config = dataclasses.replace(model.tracker_config, **numbers)
    save_model(args.output, model._replace(tracker_config=config))
    area = area_under_curve(features @ [score, share], labels)
    found = ", ".join(f"{name} {value}" for name, value in numbers.items())
    print(f"{args.output}: ROC AUC {area:.3f} in {len(labels)} frames with {found}")


def main(argv=None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", required=True, help="name or path of a model")
    parser.add_argument("--data", required=True, help="folder of held-out tracks")
    parser.add_argument("--output", required=True, help="folder for the model with its numbers")
    parser.add_argument(
        "--tracks", type=int, default=TRACKS, help="how many to take (default: %(default)s)"
    )
    args = parser.parse_args(argv)
    keep_compiled()
    keep_memory()
    try:
        run(args)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
