"""The peak of a response, up-sampled, penalised and windowed."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siamfc_jax.config import TrackerConfig
from siamfc_jax.tracking import peaks

# The side of a search of which a response cell is one pixel, so that shifts are in cells.
CELLS = np.float32([255 / 8])


def peak(logits, **settings):
    find = jax.jit(functools.partial(peaks.find_peak, config=TrackerConfig(**settings)))
    return find(jnp.float32(logits), CELLS)


def hill(x, y, size=17):
    """A smooth response whose maximum lies at (x, y) cells from the centre."""
    cells = np.arange(size) - (size - 1) / 2
    return np.exp(-((cells[:, None] - y) ** 2 + (cells[None, :] - x) ** 2) / 18)


def test_up_sampling_keeps_every_cell():
    logits = np.random.default_rng(0).normal(size=(2, 17, 17)).astype(np.float32)
    fine = peaks._upsample(logits)
    assert fine.shape == (2, 257, 257)
    np.testing.assert_allclose(fine[:, ::16, ::16], logits, atol=1e-5)
    # A cubic with a = -.5 continues straight lines, away from the border.
    ramp = np.broadcast_to(np.arange(17.0), (1, 17, 17)).astype(np.float32)
    np.testing.assert_allclose(
        peaks._upsample(ramp)[0, 100, 16:241], np.arange(16, 241) / 16, atol=1e-5
    )


@pytest.mark.parametrize("x, y", [(0, 0), (3, -2), (-4.5, 0.25), (1.0625, 6.5)])
def test_the_peak_is_found_between_cells(x, y):
    highest = peak(hill(x, y)[None], num_scales=1, window_influence=0.0)
    np.testing.assert_allclose(highest.shift, [x, y], atol=1 / 16 + 1e-6)
    assert highest.score == pytest.approx(1, abs=0.01)
    assert highest.scale == 0


def test_a_change_of_scale_must_be_worth_its_penalty():
    logits = np.stack([hill(2, 0), 0.98 * hill(0, 0), 0.9 * hill(-2, 0)])
    kept = peak(logits, scale_penalty=0.97, window_influence=0.0)
    changed = peak(logits, scale_penalty=0.99, window_influence=0.0)
    assert (kept.scale, changed.scale) == (1, 0)
    assert changed.score == pytest.approx(1, abs=0.01)  # before the penalty
    np.testing.assert_allclose(changed.shift, [2, 0], atol=1e-6)


def test_the_window_prefers_what_is_near():
    logits = 1.05 * hill(6, 0) + hill(-1, 0)
    far = peak(logits[None], num_scales=1, window_influence=0.0)
    near = peak(logits[None], num_scales=1, window_influence=0.4)
    assert far.shift[0] > 5
    assert -1.1 < near.shift[0] < 0
    only = peak(logits[None], num_scales=1, window_influence=1.0)
    np.testing.assert_array_equal(only.shift, [0, 0])


def test_a_flat_response_answers_the_centre():
    flat = peak(np.full((3, 17, 17), -2.0))
    np.testing.assert_array_equal(flat.shift, [0, 0])
    assert flat.score == pytest.approx(-2)


def test_the_peak_without_jit_is_the_same():
    logits = jnp.float32(np.random.default_rng(0).normal(size=(3, 17, 17)))
    eager = peaks.find_peak(logits, CELLS, config=TrackerConfig())
    for ours, theirs in zip(eager, peak(logits), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
