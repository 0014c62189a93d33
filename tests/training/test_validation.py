"""Scores of held-out pairs and clips, with networks of which the answers are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_networks
import tiny_tracks

from siamfc_jax.config import TrainConfig
from siamfc_jax.data import pairs
from siamfc_jax.data.prepared import read_tracks
from siamfc_jax.network import model
from siamfc_jax.training import validation

BLIND = jax.tree.map(np.zeros_like, tiny_networks.variables())


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    tracks = read_tracks(tiny_tracks.write(tmp_path_factory.mktemp("tracks"), tracks=2))
    return pairs.PairSource(tracks, np.ones(2), seed=0, max_gap=100)


def test_a_blind_network_answers_the_centre(source):
    """Equal logits everywhere: loss log 2, and the peak is the first cell of all."""
    (batch,) = pairs.batches(source, batch_size=4, start=0, stop=1)
    crops, logits, scores = validation.score_pairs(
        model.fold_batch_norm(BLIND), batch, config=TrainConfig()
    )
    np.testing.assert_allclose(logits, 0)
    np.testing.assert_allclose(scores["loss"], np.log(2), rtol=1e-5)
    still = np.linalg.norm(crops.offset, axis=-1)
    np.testing.assert_allclose(scores["center_error_still"], still, rtol=1e-5)
    corner = np.linalg.norm(-56 - np.asarray(crops.offset), axis=-1)  # 7 cells of 8 px
    np.testing.assert_allclose(scores["center_error"], corner, rtol=1e-5)
    assert still.max() <= 32 * np.sqrt(2) and still.min() >= 0


def test_clips_hold_the_object_where_their_boxes_say(source):
    clips = validation.make_clips(source.sequences)
    assert len(clips) == 2
    for clip in clips:
        assert clip.frames.shape == (8, 319, 319, 3) and clip.frames.dtype == np.uint8
        np.testing.assert_allclose(clip.boxes[0, :2] + clip.boxes[0, 2:] / 2, 159.5)
        centers = clip.boxes[:, :2] + clip.boxes[:, 2:] / 2
        assert 5 < np.abs(centers - 159.5).max() <= 48
        for frame, (x, y, w, h) in zip(clip.frames, clip.boxes.astype(int), strict=True):
            inside = frame[y + 4 : y + h - 4, x + 4 : x + w - 4].mean()
            ring = frame[y - 12 : y - 4, x : x + w].mean()
            assert inside > ring + 50  # the box is brighter than the noise around it
    assert (
        validation.make_clips([t._replace(boxes=t.boxes * np.nan) for t in source.sequences]) == []
    )


def test_success_of_a_clip_against_the_object_standing_still(source):
    clip = validation.make_clips(source.sequences)[0]
    steady = clip._replace(boxes=np.broadcast_to(clip.boxes[0], clip.boxes.shape))
    params = jax.tree.map(jnp.asarray, model.fold_batch_norm(tiny_networks.variables()))
    success, still = validation.score_clip(params, steady)
    assert still == pytest.approx(20 / 21) and 0 <= success <= 20 / 21
    _, still = validation.score_clip(params, clip)
    assert still < 0.9


def test_a_stop_is_heeded(source):
    asked = []

    def stopped():
        asked.append(True)
        return True

    variables = jax.tree.map(jnp.asarray, BLIND)
    assert validation.validate(variables, source, config=TrainConfig(), stopped=stopped) is None
    assert len(asked) == 1
