"""From a frame to scores: crops of an object, their features, the correlation with the exemplar.

In the shapes, `...` stands for the leading axes of the state (see tracker.py) and S for a
number of scales.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from siamfc_jax.config import TrackerConfig
from siamfc_jax.crops import crop_pyramid
from siamfc_jax.geometry import EXEMPLAR_SIZE, exemplar_side, scale_factors
from siamfc_jax.network import model
from siamfc_jax.tracking.roi import Roi
from siamfc_jax.tracking.state import State


class CropScales(NamedTuple):
    """Scale factors of the three kinds of crops; a single 1 where a kind has no scales.

    Attributes:
      exemplar: f32[S] of the object in the first frame.
      search: f32[S] of its surroundings in every frame, the paper's way.
      peak: f32[S] of the object at the place just found.
    """

    exemplar: jax.Array
    search: jax.Array
    peak: jax.Array


def crop_scales(config: TrackerConfig) -> CropScales:
    """Decides which crops are made at all scales; nothing else reads `config.scales_on`.

    Args:
      config: settings of the tracker.

    Returns:
      The factors, in the order from the smallest object to the largest.
    """
    factors = scale_factors(config.num_scales, step=config.scale_step)
    one = scale_factors(1, step=config.scale_step)
    return CropScales(
        # A grown object matches a tighter crop of the exemplar, hence the reversed order.
        exemplar=factors[::-1] if config.scales_on == "exemplar" else one,
        search=factors if config.scales_on == "search" else one,
        peak=factors if config.scales_on == "peak" else one,
    )


def crop_squares(
    roi: Roi, state: State, scales: jax.Array, size: int, *, config: TrackerConfig
) -> tuple[jax.Array, jax.Array]:
    """Crops squares around the objects, in the resolution of the exemplar.

    Args:
      roi: region of the frame, with the leading axes of the state, or 1.
      state: state of the objects, of which `center`, `size` and `fill` are used.
      scales: f32[S] factors on the side of the square.
      size: side of each crop in pixels; 127 shows the exemplar square, 255 twice as much.
      config: settings of the tracker.

    Returns:
      (crops f32[..., S, size, size, 3], sides f32[..., S] of the squares in frame pixels).
    """
    side = exemplar_side(state.size, context=config.context)
    sides = jnp.multiply.outer(side, scales) * (size / EXEMPLAR_SIZE)
    center = state.center - roi.corner
    crops = crop_pyramid(roi.pixels, center, sides, state.fill, size=size, extent=roi.extent)
    return crops, sides


def embed(params: dict, crops: jax.Array) -> jax.Array:
    """Embeds all crops in one batch.

    Args:
      params: folded network parameters.
      crops: f32[..., S, size, size, 3].

    Returns:
      f32[..., S, h, w, C].
    """
    features = model.embed(params, crops.reshape(-1, *crops.shape[-3:]))  # [B, h, w, C]
    return features.reshape(*crops.shape[:-3], *features.shape[1:])


def equalize_norms(exemplars: jax.Array) -> jax.Array:
    """Gives the features of an object at all scales the norm of the middle scale.

    Tighter crops have features of larger norm and would score higher everywhere.

    Args:
      exemplars: f32[..., S, h, w, C].

    Returns:
      The scaled features; those of a single scale are unchanged, and so are zeros.
    """
    norms = jnp.sqrt(jnp.sum(exemplars**2, axis=(-3, -2, -1), keepdims=True))  # [..., S, 1, 1, 1]
    middle = lax.index_in_dim(norms, norms.shape[-4] // 2, axis=-4)
    return exemplars * (middle / jnp.maximum(norms, 1e-9))


def correlate(params: dict, exemplars: jax.Array, features: jax.Array) -> jax.Array:
    """Scores every shift of each object's exemplars over its own features.

    Args:
      params: folded network parameters.
      exemplars: f32[..., E, h, w, C].
      features: f32[..., M, H, W, C]; E or M is 1.

    Returns:
      Logits f32[..., S, H - h + 1, W - w + 1], where S is the larger of E and M.
    """
    correlate_one = jnp.vectorize(
        model.cross_correlate_all, signature="(e,h,w,c),(m,i,j,c)->(e,m,r,q)"
    )
    response = correlate_one(exemplars, features)
    # [..., E, M, R, R] -> [..., S, R, R]
    response = response.reshape(*response.shape[:-4], -1, *response.shape[-2:])
    return model.adjust(params, response)
