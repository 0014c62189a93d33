"""Looks all over the frame for objects that are lost."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from siamfc_jax.config import TrackerConfig

TILES = 8  # search squares a frame
# Roberts' R2 sequence: however many of its points one takes, they lie evenly in the square.
_STEP = np.float32([0.754878, 0.569840])


def look_everywhere(find, frame_size, found, *, config: TrackerConfig):
    """Takes lost objects to where the frame shows them best, if that is sure enough.

    An object is sought at its last size in 8 search squares, in every frame in others.

    Args:
      find: (states, config) -> (states, boxes, scores), a step of the tracker.
      frame_size: f32[2] width and height, or f32[V, 2] of V videos.
      found: (state, box, score) of `find`; stacked ones have the axis of videos first.
      config: settings of the tracker.

    Returns:
      (state, box, score), those of lost objects from the best square where its confidence
      is over `found_above`.
    """
    state, lead = found[0], found[0].center.ndim - 1
    middle = np.array([state.exemplar.shape[lead] // 2])
    tiles = state._replace(exemplar=jnp.take(state.exemplar, middle, axis=lead))
    tiles = jax.tree.map(lambda array: jnp.stack([array] * TILES, axis=lead), tiles)
    index = tiles.doubts * TILES + jnp.arange(TILES).reshape([1] * lead + [TILES])
    shares = jnp.multiply.outer(index, _STEP) % 1
    between = range(frame_size.ndim - 1, shares.ndim - 1)
    tiles = tiles._replace(center=shares * jnp.expand_dims(frame_size, tuple(between)))
    seen = find(tiles, dataclasses.replace(config, num_scales=1, window_influence=0.0))
    best = jnp.argmax(seen[0].confidence, axis=lead)
    again = state.lost & ~jnp.all(seen[0].lost, axis=lead)

    def take(there, here):
        def per_object(array):
            return array.reshape(array.shape + (1,) * (here.ndim - lead))

        chosen = jnp.take_along_axis(there, per_object(best)[..., None], axis=lead)
        return jnp.where(per_object(again), jnp.squeeze(chosen, lead), here)

    # The exemplars are the same everywhere, but those of tiles have one scale.
    seen = seen[0]._replace(exemplar=None), *seen[1:]
    here = state._replace(exemplar=None), *found[1:]
    state_there, box, score = jax.tree.map(take, seen, here)
    return state_there._replace(exemplar=state.exemplar), box, score
