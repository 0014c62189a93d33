"""Pairs: which frames, which patch of them, in which batch."""

import numpy as np
import pytest

from siamfc_jax.data import pairs
from siamfc_jax.data.sequences import Sequence


def track(length, *, seed=0, numbers=None):
    """A track whose frames can be told apart by their colour, without a file."""
    rng = np.random.default_rng(seed)
    frames = [np.full((24, 32, 3), (seed, index, 7), np.uint8) for index in range(length)]
    boxes = np.float32(rng.uniform(4, 12, (length, 4)))
    numbers = np.arange(length) if numbers is None else np.asarray(numbers)
    return Sequence(f"track{seed}", frames, boxes, np.ones(length, bool), numbers)


def frame_of(patch):
    """Returns (track's seed, frame's index) of a patch of `track`."""
    return tuple(int(value) for value in patch[160, 160, :2])


def source(*tracks, weights=None, seed=3, max_gap=100):
    weights = np.ones(len(tracks)) if weights is None else weights
    return pairs.PairSource(tracks, weights, seed=seed, max_gap=max_gap)


def test_usable_frames_show_the_object():
    sequence = track(5)
    sequence.boxes[1] = np.nan
    sequence.boxes[2, 3] = 0
    sequence.visible[4] = False
    np.testing.assert_array_equal(pairs.usable_frames(sequence), [0, 3])


def test_the_search_frame_is_any_other_frame_near_the_exemplar():
    rng = np.random.default_rng(0)
    numbers = np.array([0, 10, 20, 90, 100, 300])
    drawn = [pairs.sample_frames(rng, numbers, max_gap=80) for _ in range(4000)]
    counts = np.zeros((6, 6), int)
    np.add.at(counts, tuple(np.transpose(drawn)), 1)
    near = (np.abs(numbers[:, None] - numbers) <= 80) & ~np.eye(6, dtype=bool)
    assert near[0].sum() == 2  # 10 and 20; 90 is too far
    near[5, 5] = True  # alone, it meets itself
    np.testing.assert_array_equal(counts > 0, near)
    # Uniform over exemplars, then over what is near: earlier or later.
    expected = 4000 / 6 * near / near.sum(1, keepdims=True)
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected.max())


def test_a_pair_is_a_function_of_seed_and_index():
    tracks = [track(6, seed=0), track(9, seed=1)]
    first, second = source(*tracks), source(*tracks)
    second[17]  # what was read before does not matter
    for index in (0, 5, 1000):
        for key, value in first[index].items():
            np.testing.assert_array_equal(value, second[index][key])
        assert first[index]["index"] == index
    other = source(*tracks, seed=4)
    pair_frames = [[frame_of(s[i]["exemplar"]) for i in range(20)] for s in (first, other)]
    assert pair_frames[0] != pair_frames[1]


def test_a_pair_is_two_near_frames_of_one_track():
    pool = source(track(30, seed=0), track(40, seed=1, numbers=np.arange(40) * 10), max_gap=20)
    for index in range(60):
        pair = pool[index]
        (z_track, z_frame), (x_track, x_frame) = map(frame_of, (pair["exemplar"], pair["search"]))
        assert z_track == x_track == pair["track"]
        gap = abs(z_frame - x_frame)
        assert 0 < gap <= (2 if z_track else 20)


def test_tracks_are_drawn_by_weight_and_root_of_length():
    tracks = [track(1, seed=0), track(4, seed=1), track(9, seed=2), track(9, seed=3)]
    pool = pairs.NumberedPairs(source(*tracks, weights=[2.0, 1, 1, 0]))
    drawn = np.bincount([int(pool[index]["track"]) for index in range(1400)], minlength=4)
    np.testing.assert_allclose(drawn, [400, 400, 600, 0], atol=70)
    assert drawn[3] == 0


@pytest.mark.parametrize("weights", [[0.0, 0], [0, 1]])
def test_tracks_of_which_none_can_be_drawn_are_refused(weights):
    blank = track(3, seed=1)
    blank.visible[:] = False
    with pytest.raises(ValueError, match=r"none of 2 tracks can be drawn; a track needs"):
        source(track(3), blank, weights=weights)


def test_numbers_stand_for_the_patches_of_a_pair():
    """Counted through the usable frames of all tracks, of which one has none."""
    tracks = [track(4, seed=0), track(3, seed=1), track(5, seed=2)]
    tracks[0].visible[1] = False
    tracks[1].visible[:] = False
    pool = source(*tracks)
    numbered = pairs.NumberedPairs(pool)
    patches = [pool.patch(0, n) for n in range(3)] + [pool.patch(2, n) for n in range(5)]
    for index in range(20):
        pair, numbers = pool[index], numbered[index]
        assert numbers.keys() == pair.keys()
        for name in ("exemplar", "search"):
            np.testing.assert_array_equal(patches[numbers[name]], pair[name])
        for name in ("track", "index"):
            assert numbers[name] == pair[name]


def indices(stream):
    return [batch["index"].tolist() for batch in stream]


def test_batches_are_the_pairs_in_order():
    pool = source(track(6))
    stream = list(pairs.batches(pool, batch_size=4, start=0, stop=3))
    assert indices(stream) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    for key, value in pool[5].items():
        np.testing.assert_array_equal(stream[1][key][1], value)
    assert stream[0]["exemplar"].shape == (4, 319, 319, 3)


def test_a_run_goes_on_where_it_stopped():
    assert indices(pairs.batches(source(track(6)), batch_size=2, start=5, stop=7)) == [
        [10, 11],
        [12, 13],
    ]


def test_the_parts_of_all_hosts_are_the_batch():
    pool = source(track(6))
    parts = [
        indices(pairs.batches(pool, batch_size=6, start=1, stop=3, host=host, hosts=3))
        for host in range(3)
    ]
    assert parts == [[[6, 7], [12, 13]], [[8, 9], [14, 15]], [[10, 11], [16, 17]]]
