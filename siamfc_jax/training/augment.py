"""Random crops of a pair of patches, on the device.

The authors' training/vid_get_random_batch.m shifts, stretches both sides independently and
shifts colours along their principal axes. Flip, grey, contrast and blur are ours; 0 switches
each of them off.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from siamfc_jax.config import TrainConfig
from siamfc_jax.crops import crop, mean_color
from siamfc_jax.geometry import EXEMPLAR_SIZE, TRAIN_SEARCH_SIZE


class Pairs(NamedTuple):
    """Network inputs of B pairs.

    Attributes:
      exemplar: f32[B, 127, 127, 3].
      search: f32[B, 239, 239, 3].
      offset: f32[B, 2] `(x, y)` of the object from the search crop's centre, in its pixels.
    """

    exemplar: jax.Array
    search: jax.Array
    offset: jax.Array


def random_crops(
    keys: jax.Array, exemplar: ArrayLike, search: ArrayLike, *, config: TrainConfig
) -> Pairs:
    """Augments pairs of patches whose objects lie in the centre.

    Args:
      keys: B PRNG keys, one for each pair, so that a pair looks the same in any batch.
      exemplar: u8[B, P, P, 3] patches at the scale of a search crop, P = 319.
      search: u8[B, P, P, 3].
      config: augmentation strengths.

    Returns:
      The network's inputs.
    """

    def augment(key, *patches):
        return _random_pair(jax.random.wrap_key_data(key), *patches, config=config)

    return lax.platform_dependent(
        jax.random.key_data(keys),
        exemplar,
        search,
        # One by one, so that what is left out of a pair, such as its blur, takes no time.
        cpu=lambda *arrays: lax.map(lambda pair: augment(*pair), arrays),
        default=jax.vmap(augment),
    )


def _random_pair(key, exemplar, search, *, config):
    exemplar_key, search_key, flip_key, gray_key = jax.random.split(key, 4)
    # Drawn once a pair: a mirrored or grey exemplar belongs to a mirrored or grey search.
    flip = jax.random.bernoulli(flip_key, config.flip)
    gray = jax.random.bernoulli(gray_key, config.gray)

    def augment(key, patch, size, max_shift):
        shift_key, stretch_key, color_key = jax.random.split(key, 3)
        shift = jax.random.uniform(shift_key, (2,), minval=-max_shift, maxval=max_shift)
        stretch = jax.random.uniform(
            stretch_key, (2,), minval=1 - config.max_stretch, maxval=1 + config.max_stretch
        )
        center = patch.shape[0] / 2 + shift
        cut = crop(patch, center, size * stretch, mean_color(patch), size=size)
        cut = jnp.where(flip, cut[:, ::-1], cut)
        cut = jnp.where(gray, cut.mean(-1, keepdims=True), cut)
        offset = -shift / stretch * jnp.array([jnp.where(flip, -1.0, 1.0), 1.0])
        return _random_color(color_key, cut, config=config), offset

    z, _ = augment(exemplar_key, exemplar, EXEMPLAR_SIZE, 0.0)
    x, offset = augment(search_key, search, TRAIN_SEARCH_SIZE, config.max_shift)
    return Pairs(z, x, offset)


def _random_color(key, image, *, config):
    pca_key, contrast_key, blur_key, strength_key = jax.random.split(key, 4)
    mean = mean_color(image)[None, None, :]
    pixels = (image - mean).reshape(-1, 3)  # [H, W, 3] -> [H * W, 3]
    covariance = pixels.T @ pixels / len(pixels)
    # The shift is N(0, covariance), which is the distribution of the authors' sum over
    # eigenvectors. The covariance of a grey image has rank 1; the small diagonal term lets
    # float32 factorise it.
    factor = jnp.linalg.cholesky(covariance + (1e-3 * jnp.trace(covariance) + 1e-3) * jnp.eye(3))
    shift = config.color_jitter * factor @ jax.random.normal(pca_key, (3,))
    contrast, gain = jnp.exp(config.contrast * jax.random.normal(contrast_key, (2,)))
    image = (mean + (image - mean) * contrast) * gain + shift[None, None, :]
    if config.blur > 0:
        strength = jax.random.uniform(strength_key, (), maxval=1 / 3)
        chosen = jax.random.bernoulli(blur_key, config.blur)
        image = lax.cond(chosen, _blur, lambda image, _: image, image, strength)
    return jnp.clip(image, 0, 255)


def _blur(image, strength):
    """Smooths with [s, 1 - 2 s, s] along rows and columns, twice, at a distance of 1 and 2."""
    # Both distances are one circulant matrix. As shifted sums, XLA on a CPU fuses the four passes
    # into one and computes 81 pixels for each; a matmul takes a tenth of that time.
    same = np.eye(len(image), dtype=np.float32)
    near, far = (np.roll(same, by, 0) + np.roll(same, -by, 0) for by in (1, 2))
    rest = 1 - 2 * strength
    matrix = rest**2 * same + rest * strength * (near + far) + strength**2 * (near @ far)
    rows = jnp.einsum("ih,hwc->iwc", matrix, image, precision="highest")
    return jnp.einsum("jw,iwc->ijc", matrix, rows, precision="highest")
