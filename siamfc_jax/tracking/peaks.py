"""The peak of a response, and the move to it: up-sampling, scale penalty, cosine window.

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
from siamfc_jax.tracking.state import State

UPSAMPLING = 16  # samples from one response cell to the next (tracker.m, responseUp)


class Peak(NamedTuple):
    """Where the response is highest.

    Attributes:
      scale: i32[...] index of the chosen scale, 0 for the smallest object.
      shift: f32[..., 2] `(x, y)` from the centre of the search, in frame pixels.
      score: f32[...] logit at that place, before penalty and window.
    """

    scale: jax.Array
    shift: jax.Array
    score: jax.Array


def find_peak(logits: jax.Array, sides: jax.Array, *, config: TrackerConfig) -> Peak:
    """Finds the best scale, then the best place in it, to 1 / 16 of a cell.

    Args:
      logits: f32[..., S, R, R].
      sides: f32[..., S] of the search squares in frame pixels; f32[..., 1] if all are one.
      config: scale penalty and window influence.

    Returns:
      The peak of each object.
    """
    find = jnp.vectorize(
        functools.partial(_find_peak, config=config), signature="(s,r,r),(t)->(),(p),()"
    )
    return Peak(*find(logits, sides))


def _find_peak(logits, sides, *, config):
    fine = _upsample(logits)  # [S, 16 (R - 1) + 1, 16 (R - 1) + 1]
    scale = best_scale(jnp.max(fine, axis=(1, 2)), config=config)
    surface = fine[scale] - jnp.min(fine[scale])
    surface = surface / jnp.maximum(jnp.sum(surface), jnp.finfo(jnp.float32).tiny)
    hann = np.hanning(fine.shape[-1])
    window = (np.outer(hann, hann) / hann.sum() ** 2).astype(np.float32)
    surface = (1 - config.window_influence) * surface + config.window_influence * window
    row, column = jnp.unravel_index(jnp.argmax(surface), surface.shape)
    cells = jnp.stack([column, row]) / UPSAMPLING - (logits.shape[-1] - 1) / 2
    side = jnp.broadcast_to(sides, logits.shape[:1])[scale]
    return scale, cells_to_frame(cells.astype(jnp.float32), side), fine[scale, row, column]


def best_scale(scores: jax.Array, *, config: TrackerConfig) -> jax.Array:
    """Chooses the scale with the highest score, all but the middle one being penalised.

    Args:
      scores: logits f32[..., S].
      config: scale penalty, a factor on the scores.

    Returns:
      i32[...], the index of the scale.
    """
    others = np.arange(scores.shape[-1]) != scores.shape[-1] // 2
    penalty = np.where(others, config.scale_penalty, 1.0).astype(np.float32)
    return jnp.argmax(scores * jnp.broadcast_to(penalty, scores.shape), axis=-1)


def move(state: State, shift: jax.Array, frame_size: jax.Array) -> State:
    """Moves objects, but no centre out of its frame.

    Args:
      state: state of the objects before the move.
      shift: f32[..., 2] `(x, y)` in frame pixels.
      frame_size: f32[..., 2] width and height, or 1 in place of leading axes.

    Returns:
      The state with its new `center`.
    """
    return state._replace(center=jnp.clip(state.center + shift, 0, frame_size))


def resize(state: State, scale: jax.Array, *, config: TrackerConfig) -> State:
    """Takes over a share of a change of scale, within the limits.

    Args:
      state: state of the objects before the change.
      scale: i32[...] index of the scale, 0 for the smallest object.
      config: the scales, the share `scale_rate`, and the limits `min_scale` and `max_scale`.

    Returns:
      The state with its new `size`.
    """
    factor = scale_factors(config.num_scales, step=config.scale_step)[scale]
    # One factor for width and height, so that the limits keep the shape of the box.
    growth = state.size[..., 0] / state.initial_size[..., 0]
    growth = growth * (1 + config.scale_rate * (factor - 1))
    growth = jnp.clip(growth, config.min_scale, config.max_scale)
    return state._replace(size=state.initial_size * growth[..., None])


def _upsample(logits):
    matrix = _cubic_matrix(logits.shape[-1])
    # u and v count the samples of rows and columns, r and q the cells, s the scales.
    return jnp.einsum("ur,srq,vq->suv", matrix, logits, matrix, precision=lax.Precision.HIGHEST)


@functools.cache
def _cubic_matrix(size):
    """Returns f32[16 (size - 1) + 1, size], whose sample 16 i is cell i, so the centre is exact.

    The kernel is Keys' cubic with a = -.5, as in MATLAB's imresize; the border cell is repeated.
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
