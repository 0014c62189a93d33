"""The algorithm: the laws it keeps, and that it finds what it was shown."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_networks
from compilations import compilations
from mirrored_scene import BOX, PARAMS, init, scene, step

from siamfc_jax import geometry
from siamfc_jax.config import FIVE_SCALES, TrackerConfig
from siamfc_jax.network.saved_models import Model
from siamfc_jax.tracking import loop, peaks, tracker

CONFIG = TrackerConfig()
SINGLE = TrackerConfig(num_scales=1, window_influence=0.0)


def test_the_first_state_is_the_box():
    state = init()
    assert state.exemplar.shape == (1, 6, 6, 6)
    np.testing.assert_array_equal(state.center, [160, 152])
    np.testing.assert_array_equal(state.size, [63.5, 63.5])
    np.testing.assert_array_equal(state.initial_size, state.size)
    np.testing.assert_allclose(state.fill, scene().mean((0, 1)), rtol=1e-5)


@pytest.mark.parametrize("config", [SINGLE, CONFIG])
def test_a_still_frame_moves_the_box_less_than_one_sample(config):
    state, box, _ = step(init(), scene(), config)
    assert np.abs(state.center - np.array([160, 152])).max() < geometry.STRIDE / peaks.UPSAMPLING
    np.testing.assert_array_equal(geometry.center_of(box), state.center)
    if config.num_scales == 1:
        np.testing.assert_array_equal(box, BOX)


@pytest.mark.parametrize("shift", [(16, 0), (-16, 0), (0, 16), (0, -16), (24, -8)])
def test_the_box_follows_the_object(shift):
    still_score = step(init(), scene(), SINGLE)[2]
    _, box, score = step(init(), scene(*shift), SINGLE)
    np.testing.assert_allclose(box, [*(BOX[:2] + shift), *BOX[2:]], atol=1e-3)
    assert score == pytest.approx(float(still_score), abs=0.01)


def test_the_response_moves_by_whole_cells():
    here, sides = tracker.score_search(PARAMS, init(), scene(), config=SINGLE)
    there, _ = tracker.score_search(PARAMS, init(), scene(16, -8), config=SINGLE)
    np.testing.assert_allclose(sides, [255], rtol=1e-6)
    np.testing.assert_allclose(there[0, :-1, 2:], here[0, 1:, :-2], atol=1e-3)
    assert here[0].argmax() == 8 * 17 + 8


def test_the_best_scale_gives_the_unit_of_the_move_and_part_of_the_growth():
    sides, frame_size = jnp.array([204.0, 255, 318.75]), jnp.array([320.0, 304])
    config = TrackerConfig(scale_step=1.25, scale_rate=0.5, window_influence=0.0, max_scale=1.1)

    @jax.jit
    def follow(state, logits):
        peak = peaks.find_peak(logits, sides, config=config)
        state = peaks.move(state, peak.shift, frame_size)
        return peaks.resize(state, peak.scale, config=config), peak.score

    before = init(box=np.float32([130, 107, 60, 90]))
    for scale, factor in enumerate((0.8, 1, 1.25)):
        logits = jnp.zeros((3, 17, 17)).at[scale, 8 - 1, 8 + 2].set(1.0)  # 2 rightwards, 1 up
        state, score = follow(before, logits)
        np.testing.assert_allclose(state.center, [160 + 16 * factor, 152 - 8 * factor], rtol=1e-6)
        growth = 1 + 0.5 * (factor - 1)
        # Limited in both sides alike, so that the box keeps its shape.
        np.testing.assert_allclose(state.size, np.array([60, 90]) * min(growth, 1.1), rtol=1e-6)
        assert score == pytest.approx(1)


def test_scales_of_the_exemplar_are_tighter_cuts_for_an_object_that_has_grown():
    config = TrackerConfig(scales_on="exemplar", scale_step=1.25)
    state = init(config=config)
    assert state.exemplar.shape == (3, 6, 6, 6)
    for exemplar, factor in zip(state.exemplar, (0.8, 1, 1.25), strict=True):
        center, size = geometry.center_of(BOX), BOX[2:] / factor
        alone = init(box=np.asarray(geometry.make_box(center, size)))
        ratio = np.linalg.norm(state.exemplar[1]) / np.linalg.norm(alone.exemplar)
        np.testing.assert_allclose(exemplar, ratio * alone.exemplar[0], atol=1e-3)
    logits, sides = tracker.score_search(PARAMS, state, scene(), config=config)
    assert logits.shape == (3, 17, 17)
    np.testing.assert_allclose(sides, 255, rtol=1e-6)  # the unit of every move
    np.testing.assert_allclose(
        logits[1], tracker.score_search(PARAMS, init(), scene(), config=SINGLE)[0][0], atol=1e-3
    )


def test_loop_is_scan_and_vmap():
    frames = np.stack([scene(4 * t, -3 * t, noise=20) for t in range(4)])
    boxes = np.stack([BOX, np.float32([110, 130, 50, 70])])
    looped = []
    for box in boxes:
        state, track = init(frames[0], box), [(box, np.nan)]
        for frame in frames[1:]:
            state, *box_and_score = step(state, frame)
            track.append(box_and_score)
        looped.append([np.stack(part) for part in zip(*track, strict=True)])
    for box, (expected, scores) in zip(boxes, looped, strict=True):
        scanned = tracker.track_clip(PARAMS, frames, box, config=CONFIG)
        np.testing.assert_allclose(scanned[0], expected, atol=1e-3)
        np.testing.assert_allclose(scanned[1], scores, atol=1e-4)
    stacked = mapped = init(frames[0], boxes)
    in_vmap = jax.jit(jax.vmap(lambda state, frame: step(state, frame), (0, None)))
    for t, frame in enumerate(frames[1:], start=1):
        logits, sides = tracker.score_search(PARAMS, stacked, frame, config=CONFIG)
        assert (logits.shape, sides.shape) == ((2, 3, 17, 17), (2, 3))
        stacked, *ours = step(stacked, frame)
        mapped, *same = in_vmap(mapped, frame)
        for part, tolerance in enumerate((1e-3, 1e-4)):
            expected = [track[part][t] for track in looped]
            np.testing.assert_allclose(ours[part], expected, atol=tolerance)
            np.testing.assert_allclose(same[part], expected, atol=tolerance)


@pytest.mark.parametrize("scales_on", ["search", "peak"])
def test_several_videos_at_once_give_what_each_gives(scales_on):
    config = TrackerConfig(scales_on=scales_on)
    frames = [scene(8, -6), scene(-4, 5)[:250, :300]]
    boxes = np.stack([[BOX, BOX + 5], [BOX - 9, BOX]])
    states = [
        init(first, box) for first, box in zip([scene(), scene()[:250, :300]], boxes, strict=True)
    ]
    expected = [step(state, frame, config) for state, frame in zip(states, frames, strict=True)]
    padded = np.full((2, 310, 320, 3), 99, np.uint8)
    for row, frame in zip(padded, frames, strict=True):
        row[: frame.shape[0], : frame.shape[1]] = frame
    sizes = np.array([frame.shape[1::-1] for frame in frames])
    stacked = jax.tree.map(lambda *parts: jnp.stack(parts), *states)
    outcome = tracker.step_videos(PARAMS, stacked, padded, sizes, config=config)
    expected = jax.tree.map(lambda *parts: jnp.stack(parts), *expected)
    for ours, single in zip(jax.tree.leaves(outcome), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, single, atol=1e-3)


def test_one_compilation_serves_a_whole_video():
    state, _, _ = step(init(), scene(), SINGLE)
    with compilations("step") as compiled:
        for time in range(3):
            state, _, _ = step(state, scene(time), SINGLE)
    assert not compiled


def clamped(center, size):
    """One step on a flat frame, whose answer is the centre of the search square."""
    state = init()._replace(center=jnp.float32(center), size=jnp.float32(size))
    return step(state, np.full((304, 320, 3), 7, np.uint8), SINGLE)


def test_boxes_stay_within_the_frame_and_the_limits():
    state, box, score = clamped([900, -40], [63.5, 63.5])
    np.testing.assert_array_equal(state.center, [320, 0])
    np.testing.assert_allclose(box, [320 - 31.75, -31.75, 63.5, 63.5])
    assert np.isfinite(score)
    assert clamped([100, 100], [2.0, 2.0])[1][2] == pytest.approx(0.2 * 63.5)
    np.testing.assert_allclose(clamped([100, 100], [640, 640])[1][2:], 5 * 63.5)


def loaded():
    return Model(PARAMS, tiny_networks.CONFIG, CONFIG)


def test_the_object_gives_what_the_functions_give():
    person = tracker.Tracker(loaded())
    person.init(scene(), BOX.tolist())
    box, score = person.update(scene(8, 8))
    _, expected, expected_score = step(init(), scene(8, 8))
    np.testing.assert_allclose(box, expected, atol=1e-3)
    assert isinstance(box, np.ndarray)
    assert isinstance(score, float)
    assert score == pytest.approx(float(expected_score), abs=1e-4)
    assert (person.confidence, person.lost) == (float(person.state.confidence), False)
    assert tracker.Tracker(loaded(), FIVE_SCALES).config == FIVE_SCALES


def test_a_step_that_gives_nan_is_an_error_that_names_the_frame():
    params = jax.tree.map(np.copy, jax.device_get(PARAMS))
    params["params"]["adjust"]["gain"] = np.float32(np.nan)
    frames = iter([(7, scene()), (8, scene()), (9, scene())])
    steps = loop.follow(params, frames, BOX[None], config=SINGLE)
    assert next(steps).number == 7
    with pytest.raises(FloatingPointError, match="NaN or infinite in frame 8, for boxes"):
        list(steps)


def test_the_object_refuses_nan():
    person = tracker.Tracker(loaded(), SINGLE)
    person.params["params"]["adjust"]["gain"] = np.float32(np.nan)
    person.init(scene(), BOX)
    with pytest.raises(FloatingPointError, match="NaN or infinite in this frame"):
        person.update(scene())


def test_the_object_says_what_is_wrong():
    person = tracker.Tracker(loaded())
    with pytest.raises(ValueError, match="update was called before init; give the first frame"):
        person.update(scene())
    with pytest.raises(ValueError, match="box must have positive width"):
        person.init(scene(), [10, 20, 0, 30])
    for frame, got in (
        (scene().astype(np.float32), r"float32 \[304, 320, 3\]"),
        (scene()[..., 0], r"uint8 \[304, 320\]"),
        (scene()[:0], r"uint8 \[0, 320, 3\]"),
    ):
        with pytest.raises(ValueError, match=rf"frame must be uint8 \[H, W, 3\].* got {got}"):
            person.init(frame, BOX)
    person.init(scene(), BOX)
    with pytest.raises(ValueError, match="frame must be uint8"):
        person.update(None)
    with pytest.raises(ValueError, match="no model at nowhere"):
        tracker.Tracker("nowhere")
