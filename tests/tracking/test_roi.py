"""The region of interest of a frame in place of the frame."""

import jax
import numpy as np
import pytest
import tiny_networks
from compilations import compilations

from siamfc_jax.config import TrackerConfig
from siamfc_jax.tracking import tracker
from siamfc_jax.tracking.roi import crop_roi, padded_frames, roi_shape, whole_frame

CONFIG = TrackerConfig()
EXEMPLAR = TrackerConfig(scales_on="exemplar")
PEAK = TrackerConfig(scales_on="peak", num_scales=5, scale_step=1.1)
PARAMS = tiny_networks.pixels(128.0)


def frame_of(width, height, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def init(frame, box, config=CONFIG):
    return tracker.init(PARAMS, frame, np.float32(box), config=config)


def step(state, frame, config=CONFIG):
    return tracker.step(PARAMS, state, frame, config=config)


@pytest.mark.parametrize(
    ("box", "config"),
    [
        ([200, 150, 40, 30], CONFIG),
        ([-15, -10, 40, 30], EXEMPLAR),  # over the left top corner
        ([480, 340, 40, 30], PEAK),  # over the right bottom one
        ([30, 40, 400, 250], CONFIG),  # a search larger than the frame
        ([[60, 70, 20, 30], [300, 200, 50, 40]], PEAK),
    ],
    ids=["inside", "left top", "right bottom", "large", "two"],
)
def test_a_roi_gives_what_the_frame_gives(box, config):
    first, second = frame_of(500, 360), frame_of(500, 360, seed=1)
    box = np.float32(box)
    expected = init(first, box, config)
    state = init(crop_roi(first, box, config=config), box, config)
    for ours, theirs in zip(state, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-4)
    roi = crop_roi(second, box, crop_roi(first, box, config=config), config=config)
    # From the same state; a position counted from another corner is rounded elsewhere.
    for ours, theirs in zip(
        jax.tree.leaves(step(expected, roi, config)),
        jax.tree.leaves(step(expected, second, config)),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-4)


def test_redetection_needs_all_of_the_frame():
    frame = frame_of(500, 360)
    roi = crop_roi(frame, [200, 150, 40, 30], config=TrackerConfig(redetect=True))
    np.testing.assert_array_equal(roi.pixels[:360, :500], frame)
    np.testing.assert_array_equal(roi.extent, [500, 360])
    np.testing.assert_array_equal(roi.corner, [0, 0])


def test_padding_is_not_seen():
    frame, box = frame_of(500, 360), [300, 150, 150, 140]
    roi = crop_roi(frame, box, config=CONFIG)
    assert roi.pixels.shape[:2] != tuple(roi.extent[::-1])  # else it says nothing
    state = init(frame, box)
    expected = step(state, roi)
    roi.pixels[roi.extent[1] :] = 255
    roi.pixels[:, roi.extent[0] :] = 255
    jax.tree.map(np.testing.assert_array_equal, step(state, roi), expected)


def test_a_small_object_in_a_large_frame_needs_little_of_it():
    roi = crop_roi(np.zeros((2160, 3840, 3), np.uint8), [1900, 1000, 60, 60], config=CONFIG)
    assert roi.pixels.shape == (512, 512, 3)  # the search takes 252
    np.testing.assert_array_equal(roi.frame_size, [3840, 2160])
    left_top = np.array([1930, 1030]) - roi.corner
    assert (left_top > 252 / 2).all()
    assert (roi.extent - left_top > 252 / 2).all()


def test_frames_of_many_sizes_make_few_compilations():
    sizes, box = [(640, 520), (1280, 720), (1921, 1081), (801, 533)], [200, 150, 50, 40]
    frames = [np.zeros((height, width, 3), np.uint8) for width, height in sizes]
    shapes = {crop_roi(frame, box, config=CONFIG).pixels.shape for frame in frames}
    assert shapes == {(512, 512, 3)}
    with compilations("init", "step") as compiled:
        for frame in frames:
            roi = crop_roi(frame, box, config=CONFIG)
            step(init(roi, box), roi)
    assert len(compiled) <= 2


@pytest.mark.parametrize(
    ("needed", "frame_size", "expected"),
    [  # the table in the docstring of roi_shape
        ((90, 60), (640, 480), (512, 512)),
        ((250, 250), (3840, 2160), (512, 512)),
        ((300, 200), (640, 480), (768, 512)),
        ((700, 700), (1920, 1080), (1024, 1024)),
        ((1250, 1080), (1920, 1080), (2048, 1280)),
        ((1250, 1250), (3840, 2160), (2048, 2048)),
        ((3840, 2160), (3840, 2160), (4096, 2560)),
    ],
)
def test_shapes_are_rounded_in_three_steps(needed, frame_size, expected):
    assert roi_shape(needed, frame_size) == expected


def test_the_shape_stays_while_the_object_grows():
    frame = np.zeros((2000, 2000, 3), np.uint8)
    roi, shapes = None, []
    for side in [*range(60, 300), *range(300, 10, -1)]:
        box = [1000 - side / 2, 1000 - side / 2, side, side]
        roi = crop_roi(frame, box, roi, config=CONFIG)
        shapes.append(roi.pixels.shape[0])
    assert set(shapes) == {512, 1024, 2048}  # the search takes 250 to 1250
    assert shapes == sorted(shapes)
    assert shapes[60] == 512
    large = crop_roi(np.zeros((2160, 3840, 3), np.uint8), [1500, 800, 300, 300], config=CONFIG)
    assert large.pixels.shape == (2048, 2048, 3)  # the search takes 1250, and no more is copied


def test_the_shape_suits_frames_that_become_smaller_and_larger():
    box, roi = [200, 150, 40, 30], None
    for width, height in [(500, 360), (260, 200), (900, 700)]:
        frame = frame_of(width, height)
        roi = crop_roi(frame, box, roi, config=CONFIG)
        assert roi.pixels.shape == (512, 512, 3)
        left, top = roi.corner
        seen = frame[top : top + roi.extent[1], left : left + roi.extent[0]]
        np.testing.assert_array_equal(roi.pixels[: roi.extent[1], : roi.extent[0]], seen)


def test_a_whole_frame_has_the_axes_of_a_state():
    frame = frame_of(20, 10)
    roi = whole_frame(frame)
    np.testing.assert_array_equal(roi.extent, [20, 10])
    np.testing.assert_allclose(roi.color, frame.mean((0, 1)), rtol=1e-5)
    shapes = [array.shape for array in whole_frame(roi, axes=2)]
    assert shapes == [(1, 1, 10, 20, 3), (1, 1, 2), (1, 1, 2), (1, 1, 2), (1, 1, 3)]
    videos = padded_frames(np.stack([frame] * 3), np.int32([[20, 10]] * 3), axes=2)
    assert videos.pixels.shape == (3, 1, 10, 20, 3)
    assert whole_frame(videos, axes=3).corner.shape == (1, 3, 1, 2)
