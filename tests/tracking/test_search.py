"""What is cut for the network, and what it answers, at all scales."""

import functools

import jax
import numpy as np
import pytest
from mirrored_scene import BOX, PARAMS, init, scene, step

from siamfc_jax import geometry
from siamfc_jax.config import TrackerConfig
from siamfc_jax.tracking import search, tracker
from siamfc_jax.tracking.roi import whole_frame


def test_equalized_exemplars_have_the_norm_of_the_middle_one():
    ones = np.ones((1, 2, 2, 1), np.float32)
    exemplars = np.concatenate([3 * ones, -2 * ones, 0 * ones])
    expected = np.concatenate([2 * ones, -2 * ones, 0 * ones])
    np.testing.assert_allclose(search.equalize_norms(exemplars), expected)
    np.testing.assert_array_equal(search.equalize_norms(exemplars[:1]), exemplars[:1])


def bright_square(half):
    """A frame of features -85 / 64 with a square of 85 / 64 about the centre of BOX."""
    frame = np.full((304, 320, 3), 85, np.uint8)
    frame[152 - half : 152 + half, 160 - half : 160 + half] = 255
    return frame


@pytest.mark.parametrize("scales_on", ["search", "exemplar"])
def test_the_scale_is_found_on_either_side(scales_on):
    config = TrackerConfig(scales_on=scales_on, scale_step=2.0, scale_rate=1.0)
    state = init(bright_square(8), config=config)
    for scale, factor in enumerate((0.5, 1, 2)):
        frame = bright_square(int(8 * factor))
        logits, _ = tracker.score_search(PARAMS, state, frame, config=config)
        assert np.argmax(logits.max((1, 2))) == scale
        _, box, _ = step(state, frame, config)
        np.testing.assert_allclose(box[2:], 63.5 * factor, rtol=1e-5)
        np.testing.assert_allclose(geometry.center_of(box), [160, 152], atol=4)


@functools.partial(jax.jit, static_argnames="config")
def score_scales(state, frame, config):
    """Scores crops of the object's size at its place, as a step with scales on the peak does."""
    scales = search.crop_scales(config).peak
    crops, _ = search.crop_squares(whole_frame(frame), state, scales, 127, config=config)
    return search.correlate(PARAMS, state.exemplar, search.embed(PARAMS, crops))[..., 0, 0]


def test_the_scale_is_found_at_the_place_of_the_object():
    config = TrackerConfig(scales_on="peak", scale_step=2.0, scale_rate=1.0)
    state = init(bright_square(8), config=config)
    for scale, factor in enumerate((0.5, 1, 2)):
        frame = bright_square(int(8 * factor))
        assert np.argmax(score_scales(state, frame, config)) == scale
    moved, box, _ = step(state, frame, config)
    assert np.argmax(score_scales(moved._replace(size=state.size), frame, config)) == 2
    np.testing.assert_allclose(box[2:], 2 * 63.5, rtol=1e-5)


def test_the_place_and_its_score_are_those_of_the_search_alone():
    at_peak, single = TrackerConfig(scales_on="peak"), TrackerConfig(num_scales=1)
    _, box, score = step(init(config=at_peak), scene(9, -6), at_peak)
    _, expected, same = step(init(config=single), scene(9, -6), single)
    np.testing.assert_allclose(geometry.center_of(box), geometry.center_of(expected), rtol=1e-5)
    assert score == pytest.approx(float(same), rel=1e-5)


def test_one_scale_at_the_peak_is_one_scale_of_the_search():
    searched, at_peak = (
        TrackerConfig(scales_on=scales_on, num_scales=1) for scales_on in ("search", "peak")
    )
    expected = step(init(config=searched), scene(9, -6), searched)
    jax.tree.map(
        np.testing.assert_array_equal, step(init(config=at_peak), scene(9, -6), at_peak), expected
    )


def test_what_is_scored_is_the_exemplar_itself_in_its_own_frame():
    config = TrackerConfig(scales_on="peak")
    state = init(config=config)
    logits = score_scales(state, scene(), config)
    own = PARAMS["params"]["adjust"]
    assert logits.shape == (3,)
    assert logits[1] == pytest.approx(
        float(own["gain"] * (state.exemplar**2).sum() + own["bias"]), rel=1e-4
    )


@pytest.mark.parametrize(("scales_on", "searches"), [("exemplar", 1), ("peak", 1), ("search", 3)])
def test_scales_beside_the_search_cost_one_search(scales_on, searches):
    config = TrackerConfig(scales_on=scales_on, scale_step=1.25)

    def compute():
        state = init(box=np.stack([BOX, BOX]), config=config)
        scales = search.crop_scales(config)
        roi = whole_frame(scene(), axes=1)
        crops = search.crop_squares(roi, state, scales.search, 255, config=config)
        scored = tracker.score_search(PARAMS, state, scene(), config=config)
        return state.exemplar, *crops, *scored

    exemplars, scored = (3 if scales_on == "exemplar" else 1), (1 if scales_on == "peak" else 3)
    assert [array.shape for array in jax.eval_shape(compute)] == [
        (2, exemplars, 6, 6, 6),
        *((2, searches, 255, 255, 3), (2, searches)),
        *((2, scored, 17, 17), (2, scored)),
    ]
