"""Fits the confidence of a model on clips whose object is out of sight for a while.

`siamfc calibrate` is the command. The clips are made of held-out tracks (occlusion.py); the
numbers turn a score into a confidence (confidence.py).
"""

import dataclasses
from typing import NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from siamfc_jax.config import TrackerConfig
from siamfc_jax.evaluation import metrics
from siamfc_jax.network.saved_models import Model
from siamfc_jax.tracking import tracker
from siamfc_jax.tracking.confidence import relative_score
from siamfc_jax.training import occlusion

LENGTH, GAP = 40, range(12, 26)


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
    outputs = tracker.scan_frames(params, state, clip.frames[1:], config=config)
    state, _, boxes, scores = jax.device_get(outputs)
    shares = relative_score(params, state.exemplar, scores)
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


class Calibrated(NamedTuple):
    """A model with a fitted confidence.

    Attributes:
      model: the model with its new settings.
      numbers: name -> value of the settings that were fitted.
      area: ROC AUC of the confidence in the frames that were fitted.
      frames: how many they were.
    """

    model: Model
    numbers: dict
    area: float
    frames: int


def calibrate(model: Model, tracks, *, count: int) -> Calibrated:
    """Fits the confidence of a model.

    Args:
      model: to calibrate.
      tracks: held-out `Sequence`s.
      count: how many of them to make clips of, evenly spread.

    Returns:
      The model with its new settings, and how well they fit.

    Raises:
      ValueError: nothing can be learnt from these tracks.
    """
    places = np.linspace(0, len(tracks) - 1, min(count, len(tracks))).astype(int)
    clips = occlusion.clips_of_tracks([tracks[place] for place in places], length=LENGTH, gap=GAP)
    settings = dataclasses.replace(model.tracker_config, redetect=False)
    params = tracker.prepare(model)
    shown = tqdm(clips, total=len(places), unit="track", disable=None)
    parts = [measure(params, clip, config=settings) for clip in shown]
    if not parts:
        raise ValueError(f"none of {len(tracks)} tracks has a frame with its object")
    features, labels = map(np.concatenate, zip(*parts, strict=True))
    features, labels = features[np.isfinite(labels)], labels[np.isfinite(labels)]
    (score, share), bias = fit(features, labels)
    numbers = {"confidence_score": score, "confidence_share": share, "confidence_bias": bias}
    numbers = {name: round(float(value), 4) for name, value in numbers.items()}
    settings = dataclasses.replace(model.tracker_config, **numbers)
    area = area_under_curve(features @ [score, share], labels)
    return Calibrated(model._replace(tracker_config=settings), numbers, area, len(labels))
