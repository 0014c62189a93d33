"""What the tracker cuts out of a frame for the network, and what the network answers.

Where the scales are: in `scales_on="search"` each search is cut at all of them, the paper's
way; in `"exemplar"` the exemplar is, once, for all frames; in `"peak"` there is one search for
the place, and around this place cuts of the exemplar's size at all scales.
"""

import jax.numpy as jnp
from jax import lax

from siamfc_jax.crops import crop_pyramid
from siamfc_jax.geometry import EXEMPLAR_SIZE, SEARCH_SIZE, exemplar_side, scale_factors
from siamfc_jax.network import model


def cut(view, state, sides, size):
    """Cuts squares around the place of an object, or of each of several.

    Args:
      view: `views.View`.
      state: `tracker.State`, with `center` f32[..., 2] and `fill`.
      sides: f32[..., S] in frame pixels.
      size: side of each result in pixels.

    Returns:
      f32[..., S, size, size, 3].
    """
    center = state.center - jnp.broadcast_to(view.corner, state.center.shape)
    return crop_pyramid(view.pixels, center, sides, state.fill, size=size, extent=view.extent)


def look_first(params, view, state, *, config):
    """Embeds objects in the first frame.

    Args:
      params: of `model.fold_batch_norm`.
      view: `views.View`.
      state: `tracker.State`, its exemplar is not looked at.
      config: settings of the tracker.

    Returns:
      f32[..., 6, 6, C] behind an axis of the exemplar's scales, which may be one.
    """
    # An object that has grown shows larger in the search, as in a tighter cut of the exemplar.
    sides = _sides(state.size, config, "exemplar")[..., ::-1]
    return level(_embed(params, cut(view, state, sides, EXEMPLAR_SIZE)))


def level(exemplars):
    """Gives features of one object at several scales the norm of the middle one.

    Otherwise a tight cut, whose features are larger, answers louder wherever it lies.

    Args:
      exemplars: f32[..., S, h, w, C].

    Returns:
      The same, scaled; a single one, or one of zeros, is unchanged.
    """
    norms = jnp.sqrt(jnp.sum(exemplars**2, axis=(-3, -2, -1), keepdims=True))
    middle = lax.index_in_dim(norms, norms.shape[-4] // 2, axis=-4)
    return exemplars * (middle / jnp.maximum(norms, 1e-9))


def respond(params, state, cut, *, config):
    """Scores every shift of the exemplar at every scale around the last place.

    Args:
      params: of `model.fold_batch_norm`.
      state: `tracker.State`.
      cut: `cut` without its view, for one or for several videos.
      config: settings of the tracker.

    Returns:
      (logits f32[..., S, 17, 17], sides f32[..., S] of the search squares in frame pixels).
    """
    sides = _sides(state.size, config, "search") * (SEARCH_SIZE / EXEMPLAR_SIZE)
    logits = _correlate(params, state.exemplar, _embed(params, cut(state, sides, SEARCH_SIZE)))
    return logits, jnp.broadcast_to(sides, logits.shape[:-2])


def compare(params, state, cut, *, config):
    """Scores the exemplar against what lies at the place of an object, at every scale.

    Args:
      params: of `model.fold_batch_norm`.
      state: `tracker.State`, at the new place.
      cut: as of `respond`.
      config: settings of the tracker.

    Returns:
      Logits f32[..., S].
    """
    crops = cut(state, _sides(state.size, config, "peak"), EXEMPLAR_SIZE)
    return _correlate(params, state.exemplar, _embed(params, crops))[..., 0, 0]


def _sides(size, config, what):
    """Returns the sides f32[..., S] of exemplar squares of all scales, f32[..., 1] without."""
    side = exemplar_side(size, context=config.context)
    if what != config.scales_on:
        return side[..., None]
    return jnp.multiply.outer(side, scale_factors(config.num_scales, step=config.scale_step))


def _embed(params, crops):
    features = model.embed(params, crops.reshape(-1, *crops.shape[-3:]))
    return features.reshape(*crops.shape[:-3], *features.shape[1:])


def _correlate(params, exemplars, features):
    """Returns logits f32[..., S, R, R]; exemplars, or features, are of S scales."""
    correlate = jnp.vectorize(
        lambda *pair: model.cross_correlate_all(*pair), signature="(e,h,w,c),(m,i,j,c)->(e,m,r,q)"
    )
    response = correlate(exemplars, features)
    return model.adjust(params, response.reshape(*response.shape[:-4], -1, *response.shape[-2:]))
