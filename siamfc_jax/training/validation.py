"""Scores a network during training, on pairs and short clips of held-out tracks."""

import functools
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from siamfc_jax.config import TrackerConfig, TrainConfig
from siamfc_jax.data import pairs
from siamfc_jax.data.patches import cut_patch, patch_box, patch_scale
from siamfc_jax.data.sequences import Sequence
from siamfc_jax.evaluation import metrics
from siamfc_jax.geometry import SEARCH_SIZE
from siamfc_jax.media.drawing import draw_response
from siamfc_jax.network import model
from siamfc_jax.tracking import tracker
from siamfc_jax.tracking.peaks import find_peak
from siamfc_jax.training import augment
from siamfc_jax.training.losses import balanced_logistic_loss, response_labels
from siamfc_jax.training.sgd import respond

PAIRS = 512
BATCH = 8
SHIFT = 32.0  # largest distance of a pair's object from the centre, in search pixels
PICTURES = 4
CLIPS, CLIP_FRAMES = 16, 8
WALK = 12.0  # standard deviation of an object's step in a clip, in search pixels


class ValidationClip(NamedTuple):
    """A short video in which the object of a track moves at random.

    Attributes:
      frames: u8[8, 319, 319, 3].
      boxes: f32[8, 4] in pixels of `frames`.
    """

    frames: np.ndarray
    boxes: np.ndarray


def make_clips(sequences: Iterable[Sequence]) -> list[ValidationClip]:
    """Makes clips of the first 8 usable frames of up to 16 tracks.

    Each frame is cut around a point that wanders up to 48 px away from the object, because tracks
    that were stored as crops have their object in the middle of each frame.

    Args:
      sequences: `data.sequences.Sequence`s.

    Returns:
      The clips, at most one of a track; tracks with fewer usable frames give none.
    """
    usable = [(track, pairs.usable_frames(track)[:CLIP_FRAMES]) for track in sequences]
    usable = [(track, frames) for track, frames in usable if len(frames) == CLIP_FRAMES]
    chosen = np.unique(np.linspace(0, len(usable) - 1, min(CLIPS, len(usable))).astype(int))
    return [_make_clip(*usable[number], np.random.default_rng(int(number))) for number in chosen]


def _make_clip(track, frames, rng):
    walk = np.cumsum(rng.normal(0, WALK, (CLIP_FRAMES, 2)), axis=0)
    walk = np.clip(walk - walk[0], -48, 48)
    patches, boxes = [], []
    for frame, shift in zip(frames, walk, strict=True):
        box = track.boxes[frame]
        beside = np.concatenate([box[:2] - shift / patch_scale(box), box[2:]])
        patches.append(cut_patch(track.frames[frame], beside))
        boxes.append(patch_box(box) + [*shift, 0, 0])
    return ValidationClip(np.stack(patches), np.array(boxes, np.float32))


def score_clip(params: dict, clip: ValidationClip) -> tuple[float, float]:
    """Tracks a clip.

    Args:
      params: folded variables on the device.
      clip: what to track, from the box of its first frame.

    Returns:
      (success, success of a tracker that never moves): areas under the success curve.
    """
    boxes, _ = tracker.track_clip(params, clip.frames, clip.boxes[0], config=TrackerConfig())
    still = np.broadcast_to(clip.boxes[0], clip.boxes.shape)
    overlaps = [metrics.iou(tracked[1:], clip.boxes[1:]) for tracked in (np.asarray(boxes), still)]
    return tuple(float(metrics.success_curve(overlap).mean()) for overlap in overlaps)


@functools.partial(jax.jit, static_argnames="config")
def score_pairs(params: dict, batch: dict, *, config: TrainConfig):
    """Scores pairs whose objects lie at random within 32 px of the centre.

    Args:
      params: folded variables.
      batch: from `pairs.batches`.
      config: the training; only its seed and radius matter here.

    Returns:
      (`augment.Pairs`, logits f32[B, R, R], dict of f32[B]: loss, center_error in search
      pixels, center_error_still of a tracker that always answers the centre).
    """
    plain = TrainConfig(max_shift=SHIFT, max_stretch=0.0, color_jitter=0.0)
    base = jax.random.key(config.seed)
    keys = jax.vmap(lambda index: jax.random.fold_in(base, index))(batch["index"])
    crops = augment.random_crops(keys, batch["exemplar"], batch["search"], config=plain)
    logits = respond(params, crops)

    def score(logits, offset):
        labels = response_labels(logits.shape[-1], radius=config.radius, offset=offset)
        # A search of its own side, so that the shift is in search pixels.
        side = jnp.full(1, SEARCH_SIZE, jnp.float32)
        peak = find_peak(logits[None], side, config=TrackerConfig(window_influence=0.0))
        error = jnp.linalg.norm(peak.shift - offset)
        return balanced_logistic_loss(logits[None], labels[None]), error, jnp.linalg.norm(offset)

    loss, error, still = jax.vmap(score)(logits, crops.offset)
    return crops, logits, {"loss": loss, "center_error": error, "center_error_still": still}


def validate(
    variables: dict,
    source: pairs.PairSource,
    *,
    config: TrainConfig,
    stopped: Callable[[], bool] = lambda: False,
) -> tuple[dict[str, float], list[np.ndarray]] | None:
    """Scores a network on 512 pairs and up to 16 clips of held-out tracks.

    Args:
      variables: of the network, on one device.
      source: pairs of held-out tracks.
      config: of the training.
      stopped: returns True if the program was asked to end.

    Returns:
      (name -> mean, pictures u8[239, W, 3] of the first pairs), or None if it was
      stopped. Means: loss, center_error and center_error_still of the pairs; success and
      success_still of the clips, if any track has 8 usable frames.
    """
    params = jax.device_put(model.fold_batch_norm(variables))
    scores, pictures = [], []
    stream = pairs.batches(source, batch_size=BATCH, start=0, stop=PAIRS // BATCH)
    for batch in stream:
        crops, logits, score = score_pairs(params, batch, config=config)
        scores.append(jax.device_get(score))
        pictures = pictures or [draw_response(*pair) for pair in _first(crops, logits)]
        if stopped():
            return None
    results = {key: float(np.mean([score[key] for score in scores])) for key in scores[0]}
    clips = make_clips(source.sequences)
    successes = []
    for clip in clips:
        successes.append(score_clip(params, clip))
        if stopped():
            return None
    if clips:
        results["success"], results["success_still"] = np.mean(successes, axis=0).tolist()
    return results, pictures


def _first(crops, logits):
    arrays = jax.device_get((crops.exemplar, crops.search, logits))
    return zip(*(array[:PICTURES] for array in arrays), strict=True)
