"""Where the response has its peak: up-sampling, scale penalty, cosine window; the move there.

Bertinetto et al. 2016, section 3.4; tracking/tracker_eval.m.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from siamfc_jax.config import TrackerConfig
from siamfc_jax.geometry import cells_to_frame, scale_factors

UPSAMPLING = 16  # samples from one response cell to the next (tracker.m, responseUp)


class Peak(NamedTuple):
    """Where the response says the object is.

    Attributes:
      scale: i32[] index of the chosen scale.
      offset: f32[2] `(x, y)` from the response's centre, in cells.
      score: f32[] logit at that place, before penalty and window.
    """

    scale: jax.Array
    offset: jax.Array
    score: jax.Array


def find_peak(logits, *, config: TrackerConfig) -> Peak:
    """Finds the best scale, then the best place in it.

    Args:
      logits: f32[S, R, R].
      config: scale penalty and window influence.

    Returns:
      The peak, at a precision of 1 / 16 cell.
    """
    size = logits.shape[-1]
    fine = _upsample(logits)
    scale = best_scale(jnp.max(fine, axis=(1, 2)), config=config)
    surface = fine[scale] - jnp.min(fine[scale])
    surface = surface / jnp.maximum(jnp.sum(surface), jnp.finfo(jnp.float32).tiny)
    hann = np.hanning(fine.shape[-1])
    window = (np.outer(hann, hann) / hann.sum() ** 2).astype(np.float32)
    surface = (1 - config.window_influence) * surface + config.window_influence * window
    row, column = jnp.unravel_index(jnp.argmax(surface), surface.shape)
    offset = jnp.stack([column, row]) / UPSAMPLING - (size - 1) / 2
    return Peak(scale, offset.astype(jnp.float32), fine[scale, row, column])


def best_scale(maxima, *, config: TrackerConfig):
    """Chooses a scale; every one but the middle has to be worth its penalty.

    Args:
      maxima: logits f32[..., S].
      config: scale penalty.

    Returns:
      i32[...], the index of the scale.
    """
    others = np.arange(maxima.shape[-1]) != maxima.shape[-1] // 2
    penalty = np.where(others, config.scale_penalty, 1.0).astype(np.float32)
    return jnp.argmax(maxima * jnp.broadcast_to(penalty, maxima.shape), axis=-1)


def grow(state, scale, count, *, config: TrackerConfig):
    """Takes over a share of a change of scale.

    Args:
      state: `tracker.State` of one object or of several.
      scale: i32[...] index of the scale, 0 for the smallest object.
      count: number of scales.
      config: settings of the tracker.

    Returns:
      The state with its new `size`, within the limits.
    """
    factor = scale_factors(count, step=config.scale_step)[scale]
    # One factor for both sides, so that clamping keeps the shape of the box.
    growth = state.size[..., 0] / state.initial_size[..., 0]
    growth = jnp.clip(
        growth * (1 + config.scale_rate * (factor - 1)), config.min_scale, config.max_scale
    )
    return state._replace(size=state.initial_size * growth[..., None])


def move_to_peak(state, logits, sides, frame_size, *, config: TrackerConfig):
    """Takes over the place and a share of the scale of the response's peak.

    Args:
      state: `tracker.State`, where the object was.
      logits: f32[S, R, R].
      sides: f32[S] of the search squares in frame pixels.
      frame_size: f32[2] width and height, which the centre does not leave.
      config: settings of the tracker.

    Returns:
      (state at the new place, score f32[] logit of the peak).
    """
    peak = find_peak(logits, config=config)
    moved = state.center + cells_to_frame(peak.offset, sides[peak.scale])
    state = state._replace(center=jnp.clip(moved, 0, frame_size))
    return grow(state, peak.scale, len(logits), config=config), peak.score


def _upsample(logits):
    matrix = cubic_matrix(logits.shape[-1])
    return jnp.einsum("ur,srq,vq->suv", matrix, logits, matrix, precision=lax.Precision.HIGHEST)


@functools.cache
def cubic_matrix(size):
    """Returns the matrix that up-samples a row of the response.

    Keys' cubic with a = -.5, that of MATLAB's imresize; the border cell is repeated.

    Args:
      size: cells of the row.

    Returns:
      f32[16 (size - 1) + 1, size]; cell i stands at sample 16 i, so the centre is exact.
    """
    positions = np.arange(UPSAMPLING * (size - 1) + 1) / UPSAMPLING
    first = np.floor(positions).astype(int)
    matrix = np.zeros((len(positions), size))
    for tap in range(-1, 3):
        distance = np.abs(positions - (first + tap))
        near = 1.5 * distance**3 - 2.5 * distance**2 + 1
        far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
        weights = np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
        cells = np.clip(first + tap, 0, size - 1)
        np.add.at(matrix, (np.arange(len(positions)), cells), weights)
    return matrix.astype(np.float32)
