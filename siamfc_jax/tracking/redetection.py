"""Searches the whole frame for objects that are lost."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from siamfc_jax.geometry import make_box
from siamfc_jax.tracking.roi import whole_frame

TILES = 8  # search squares a frame
# Roberts' R2 sequence: any number of its consecutive points covers the unit square evenly.
_STEP = np.float32([0.754878, 0.569840])


def with_redetection(step: Callable) -> Callable:
    """Makes a step search the whole frame for lost objects where `config.redetect` asks for it.

    The wrapped step runs as it is. If an object is lost afterwards, the same step runs at 8
    other places of the frame, and a lost object moves to the best of them if it counts as
    found there. In the frames in which nothing is lost, nothing more is computed.

    Args:
      step: `tracker.step`.

    Returns:
      A function with the arguments and results of `step`.
    """

    @functools.wraps(step)
    def step_and_redetect(params, state, frame, *, config):
        outcome = step(params, state, frame, config=config)
        if not config.redetect:
            return outcome

        def redetect(outcome):
            return _redetect(step, params, frame, *outcome, config=config)

        return lax.cond(jnp.any(outcome[0].lost), redetect, lambda outcome: outcome, outcome)

    return step_and_redetect


def _redetect(step, params, frame, state, box, score, *, config):
    """Returns (state, box, score) with lost objects where the frame shows them best.

    The tiles are one more leading axis of the state, and differ in their centres alone.
    """
    # Other places in every frame, as `low_frames` grows while an object is lost.
    index = jnp.add.outer(np.arange(TILES), TILES * state.low_frames)  # [8, ...]
    shares = jnp.multiply.outer(index, _STEP) % 1  # [8, ..., 2] in the unit square
    middle = lax.index_in_dim(state.exemplar, state.exemplar.shape[-4] // 2, axis=-4)
    frame_size = whole_frame(frame, axes=shares.ndim - 1).frame_size
    tiles = jax.tree.map(
        lambda array: jnp.broadcast_to(array, (TILES, *array.shape)),
        state._replace(exemplar=middle),
    )
    tiles = tiles._replace(center=shares * frame_size)
    # At the last size alone, and without a preference for the middle of a tile.
    single_scale = dataclasses.replace(config, num_scales=1, window_influence=0.0)
    at_tiles, _, scores = step(params, tiles, frame, config=single_scale)
    best = jnp.argmax(at_tiles.confidence, axis=0)  # [...]
    is_found = state.lost & ~jnp.all(at_tiles.lost, axis=0)

    def choose(there, here):  # [8, ..., K] and [..., K] -> [..., K]; K may be missing
        components = (1,) * (here.ndim - best.ndim)
        at_best = best.reshape(1, *best.shape, *components)
        there = jnp.take_along_axis(there, at_best, axis=0)[0]
        return jnp.where(is_found.reshape(*best.shape, *components), there, here)

    written = "center", "size", "confidence", "lost", "low_frames"
    state = state._replace(
        **{name: choose(getattr(at_tiles, name), getattr(state, name)) for name in written}
    )
    return state, make_box(state.center, state.size), choose(scores, score)
