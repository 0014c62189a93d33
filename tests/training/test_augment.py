"""Augmentation: where the object lands, and what each setting does alone."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siamfc_jax.config import TrainConfig
from siamfc_jax.training import augment


@functools.cache
def four_keys():
    return jax.random.split(jax.random.key(0), 4)


random_crops = jax.jit(augment.random_crops, static_argnames="config")


def crops(exemplar, search, keys=None, **settings):
    """Returns the Pairs of len(keys) times the same two patches; all that is not named is off."""
    keys = four_keys() if keys is None else keys
    config = TrainConfig(**{"max_shift": 0.0, "max_stretch": 0.0, "color_jitter": 0.0, **settings})
    pair = (np.repeat(patch[None], len(keys), 0) for patch in (exemplar, search))
    return random_crops(keys, *pair, config=config)


def noise(seed, low=40, high=200):
    return np.random.default_rng(seed).integers(low, high, (319, 319, 3), np.uint8)


def dot():
    """A patch with a smooth bright dot on its centre, at (159.5, 159.5)."""
    squared = (np.arange(319) + 0.5 - 159.5) ** 2
    weights = np.exp(-(squared[:, None] + squared[None, :]) / (2 * 4.0**2))
    return np.uint8(np.round(weights[..., None] * [200.0, 200, 200]))


def center_of_mass(image):
    """Returns (x, y) of an image's brightness from its centre, in its pixels."""
    weights = np.float64(image).sum(-1)
    positions = np.arange(len(weights)) + 0.5 - len(weights) / 2
    return np.array([weights.sum(0) @ positions, weights.sum(1) @ positions]) / weights.sum()


def test_offset_points_at_the_object():
    offsets = []
    for keys in np.split(jax.random.split(jax.random.key(1), 16), 4):
        # So far that the crop just stays in the patch.
        pairs = crops(dot(), dot(), keys, max_shift=25.0, max_stretch=0.1, flip=0.5)
        offsets.extend(pairs.offset)
        for exemplar, search, offset in zip(*pairs, strict=True):
            np.testing.assert_allclose(center_of_mass(search), offset, atol=0.05)
            np.testing.assert_allclose(center_of_mass(exemplar), 0, atol=0.05)  # never shifted
    offsets = np.stack(offsets)
    assert np.abs(offsets).max() <= 25 / 0.9
    assert (offsets.min(0) < -15).all()
    assert (offsets.max(0) > 15).all()
    # Whether a shift goes left says nothing of whether it goes up.
    assert abs(np.corrcoef(offsets.T)[0, 1]) < 0.6


def test_nothing_at_all_cuts_the_middle():
    exemplar, search = noise(0), noise(1)
    pairs = crops(exemplar, search)
    assert pairs.exemplar.dtype == pairs.search.dtype == jnp.float32
    np.testing.assert_allclose(pairs.exemplar[0], exemplar[96:223, 96:223], atol=1e-2)
    np.testing.assert_allclose(pairs.search[0], search[40:279, 40:279], atol=1e-2)
    assert not pairs.offset.any()


def test_half_the_pairs_are_flipped_or_grey_together():
    keys = jax.random.split(jax.random.key(2), 20)
    exemplar, search = noise(0), noise(1)
    flipped, gray = [], []
    for i in range(0, 20, 4):
        pairs = crops(exemplar, search, keys[i : i + 4], flip=0.5, gray=0.5)
        for z, x in zip(np.asarray(pairs.exemplar), np.asarray(pairs.search), strict=True):
            both_gray = [np.ptp(image, axis=-1).max() < 1e-3 for image in (z, x)]
            assert both_gray[0] == both_gray[1]
            gray.append(both_gray[0])
            middles = exemplar[96:223, 96:223].mean(-1), search[40:279, 40:279].mean(-1)
            straight = np.abs(z.mean(-1) - middles[0]).max() < 0.1
            flipped.append(not straight)
            for image, middle in zip((z, x), middles, strict=True):
                expected = middle if straight else middle[:, ::-1]
                np.testing.assert_allclose(image.mean(-1), expected, atol=0.1)
    assert 3 < sum(flipped) < 17
    assert 3 < sum(gray) < 17


def test_colour_shift_has_a_tenth_of_the_deviation_of_the_colours():
    # Colours along (3, 1, 0): deviation 30 in red, 10 in green, none in blue.
    rng = np.random.default_rng(0)
    image = np.float32(128 + rng.normal(0, 10, (32, 32, 1)) * [3.0, 1, 0])
    color = functools.partial(augment._random_color, config=TrainConfig(color_jitter=0.1))
    keys = jax.random.split(jax.random.key(3), 2000)
    shifted = jax.jit(jax.vmap(color, (0, None)))(keys, image)
    shifts = np.asarray(shifted - image[None])
    assert np.ptp(shifts, axis=(1, 2)).max() < 1e-3  # one colour for the whole image
    shifts = shifts[:, 0, 0]
    np.testing.assert_allclose(shifts.std(0), [3, 1, 0], atol=0.25)
    assert np.corrcoef(shifts.T)[0, 1] > 0.95
    np.testing.assert_allclose(shifts.mean(0), 0, atol=0.25)


def test_contrast_scales_around_the_mean_and_brightness_scales_all():
    image = np.float32(np.random.default_rng(0).uniform(60, 120, (16, 16, 3)))
    config = TrainConfig(color_jitter=0.0, contrast=0.2)
    color = jax.jit(functools.partial(augment._random_color, config=config))
    changed = color(jax.random.key(0), image)
    slope, intercept = np.polyfit(image[..., 0].ravel(), changed[..., 0].ravel(), 1)
    np.testing.assert_allclose(changed[..., 0], slope * image[..., 0] + intercept, atol=1e-2)
    gain = changed[..., 0].mean() / image[..., 0].mean()
    assert abs(gain - 1) > 1e-3
    assert abs(slope / gain - 1) > 1e-3


def test_blur_smooths_and_keeps_the_mean():
    image = np.float32(np.random.default_rng(0).uniform(0, 255, (64, 64, 3)))
    blur = jax.jit(augment._blur)
    blurred = blur(image, 0.3)
    assert blurred.std() < 0.5 * image.std()
    np.testing.assert_allclose(blurred.mean((0, 1)), image.mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(blur(image, 0.0), image, atol=1e-4)
    np.testing.assert_allclose(blur(np.full_like(image, 7.0), 0.3), 7, rtol=1e-6)
    # A lone dot stays where it was.
    point = np.zeros_like(image)
    point[20, 30] = 1
    np.testing.assert_allclose(center_of_mass(blur(point, 0.3)), [-1.5, -11.5], atol=1e-5)


EVERYTHING = {
    "max_shift": 30.0,
    "max_stretch": 0.3,
    "color_jitter": 0.5,
    "contrast": 0.5,
    "flip": 0.5,
    "gray": 0.5,
    "blur": 0.5,
}


@pytest.mark.parametrize("shade", [0, 255])
def test_everything_at_once_stays_an_image(shade):
    pairs = crops(np.full((319, 319, 3), shade, np.uint8), noise(1, 0, 256), **EVERYTHING)
    for images in (pairs.exemplar, pairs.search):
        assert np.isfinite(images).all()
        assert images.min() >= 0
        assert images.max() <= 255


def test_a_pair_is_the_same_in_any_batch():
    together = crops(noise(0), noise(1), **EVERYTHING)
    elsewhere = crops(noise(0), noise(1), four_keys()[np.array([2, 0, 0, 0])], **EVERYTHING)
    for one, other in zip(together, elsewhere, strict=True):
        np.testing.assert_allclose(other[0], one[2], atol=2e-3)
    assert np.abs(together.search[0] - together.search[1]).max() > 1
