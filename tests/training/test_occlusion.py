"""Clips that hide their object, made of a bright square that moves over noise."""

import numpy as np
import pytest
import tiny_tracks

from siamfc_jax.data.prepared import read_tracks
from siamfc_jax.training import occlusion

GAP = range(10, 16)
SCENE = [np.full((20, 30, 3), 7, np.uint8)]


def made():
    """24 frames of 96 x 128 in which a square of 20 px moves rightwards."""
    rng = np.random.default_rng(0)
    frames, boxes = rng.integers(0, 90, (24, 96, 128, 3), np.uint8), []
    for time, frame in enumerate(frames):
        frame[30:50, 20 + time : 40 + time] = 255
        boxes.append([20 + time, 30, 20, 20])
    return frames, np.float32(boxes)


def bright(clip, index):
    """Returns the share of the box that is bright; pixels outside the frame are not."""
    x, y, w, h = np.rint(clip.boxes[index]).astype(int)
    part = clip.frames[index][max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0), 0]
    return np.sum(part > 200) / (w * h)


@pytest.mark.parametrize("kind", occlusion.KINDS)
def test_the_share_in_sight_is_what_the_frames_show(kind):
    frames, boxes = made()
    before = frames.copy()
    clip = occlusion.occlude(frames, boxes, kind, GAP, scene=SCENE)
    assert clip.frames.shape == frames.shape and clip.kind == kind
    np.testing.assert_array_equal(frames, before)
    seen = [bright(clip, index) for index in range(24)]
    np.testing.assert_allclose(seen, clip.visibility, atol=0.1)
    assert not clip.visibility[list(GAP)].any()
    assert (clip.visibility[:6] == 1).all() and (clip.visibility[20:] == 1).all()
    if kind == "left":
        assert 0 < clip.visibility[9] < 1  # over the left edge, which is the nearest
        assert clip.boxes[12, 0] == pytest.approx(-20)
    else:
        np.testing.assert_array_equal(clip.boxes, boxes)
    if kind == "cut":
        assert (clip.frames[GAP[0] : GAP[-1] + 1] == 7).all()


def test_an_object_that_fills_its_frame_is_covered_all_the_same():
    frames, boxes = np.full((24, 20, 20, 3), 255, np.uint8), np.float32([[0, 0, 20, 20]] * 24)
    clip = occlusion.occlude(frames, boxes, "covered", GAP, scene=SCENE)
    assert not clip.visibility[12] and clip.visibility[0] == 1


def test_the_camera_walks_by_its_seed():
    frames, boxes = made()
    still, first, again, other = (
        occlusion.occlude(frames, boxes, "cut", GAP, scene=SCENE, walk=walk, seed=seed).boxes
        for walk, seed in ((0, 1), (0.2, 1), (0.2, 1), (0.2, 2))
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1
    np.testing.assert_array_equal(first[0], still[0])
    assert 1 < np.abs(first - still).max() <= 15 + 1e-3


def test_clips_of_tracks_and_of_videos(tmp_path):
    tracks = read_tracks(tiny_tracks.write(tmp_path, tracks=4, frames=9))
    hidden = [*tracks, tracks[0]._replace(visible=np.zeros(9, bool))]
    clips = list(occlusion.clips_of_tracks(hidden, length=24, gap=GAP))
    assert [clip.kind for clip in clips] == ["covered", "left", "cut", "covered"]
    assert all(clip.frames.shape == (24, 319, 319, 3) for clip in clips)
    for clip in clips:
        np.testing.assert_allclose(clip.boxes[0, :2] + clip.boxes[0, 2:] / 2, 159.5, atol=1e-3)
        x, y, w, h = clip.boxes[0].astype(int)
        ring = clip.frames[0][y - 9 : y - 2, x : x + w].mean()
        assert clip.frames[0][y + 3 : y + h - 3, x + 3 : x + w - 3].mean() > ring + 50

    videos = list(occlusion.clips_of_videos(tracks[:1], length=4, gap=range(1, 3)))
    assert [(name, clip.kind) for name, clip in videos] == [
        (tracks[0].name, kind) for kind in occlusion.KINDS
    ] * 2
    np.testing.assert_array_equal(videos[5][1].frames[0], tracks[0].frames[4])
