"""Prepared sets read back: what training sees is what the folder gives."""

import pickle
import shutil

import damaged_sets
import numpy as np
import pytest
from training_trees import make_got10k, write_text

from siamfc_jax.data.layouts import read_got10k
from siamfc_jax.data.pairs import PairSource
from siamfc_jax.data.prepared import (
    find_prepared,
    load_index,
    read_prepared,
    read_tracks,
    save_index,
)
from siamfc_jax.preparation.builder import prepare


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Returns the folder of a small set in the GOT-10k layout, and the same prepared as it is."""
    root = tmp_path_factory.mktemp("sets")
    for number, length in enumerate((3, 1, 5)):
        boxes = [[10 + frame, 8, 20, 16] for frame in range(length)]
        folder = make_got10k(root / "source" / "train", f"video_{number}", boxes)
        numbers = " ".join(str(10 * frame) for frame in range(length))
        write_text(folder / "meta_info.ini", "source: zoo", f"source_frames: {numbers}")
    prepare("got10k", root / "source", root / "out", split=None, workers=1, as_is=True)
    return root / "source", root / "out"


def test_equal_to_the_folder(sets):
    folder, prepared = read_got10k(sets[0], "train"), read_prepared(sets[1])
    assert [len(track.frames) for track in prepared] == [3, 1, 5]
    for ours, theirs in zip(prepared, folder, strict=True):
        assert (ours.name, ours.source) == (theirs.name, theirs.source)
        for name in ("boxes", "visible", "frame_numbers"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
            assert getattr(ours, name).dtype == getattr(theirs, name).dtype
        for index in range(len(theirs.frames)):
            assert ours.frames.encoded(index) == theirs.frames.encoded(index)
            np.testing.assert_array_equal(ours.frames[index], theirs.frames[index])


def test_training_draws_the_same_pairs_from_both(sets):
    sources = [
        PairSource(tracks, np.ones(3), seed=4, max_gap=20)
        for tracks in (read_got10k(sets[0], "train"), read_prepared(sets[1]))
    ]
    for index in range(20):
        ours, theirs = (source[index] for source in sources)
        for name, value in ours.items():
            np.testing.assert_array_equal(value, theirs[name])


def test_frames_can_be_pickled_and_sliced(sets):
    frames = read_prepared(sets[1])[2].frames
    for copy in (pickle.loads(pickle.dumps(frames)), frames[::-1][::-1], frames[0:5]):
        assert len(copy) == 5
        assert [copy.encoded(index) for index in range(5)] == [*map(frames.encoded, range(5))]
    assert frames[1:3].encoded(-1) == frames.encoded(2)
    with pytest.raises(IndexError):
        frames[5]


def test_not_one_prepared_set(sets, tmp_path):
    with pytest.raises(
        ValueError, match=r"holds 0 prepared data sets, expected one; name a folder"
    ):
        read_prepared(tmp_path)
    folder = find_prepared(sets[1])
    assert find_prepared(folder) == folder
    shutil.copytree(folder, tmp_path / "a")
    shutil.copytree(folder, tmp_path / "incomplete.ABC_1.0.0")  # a kill in the last moment
    assert find_prepared(tmp_path) == tmp_path / "a"
    shutil.copytree(folder, tmp_path / "b")
    with pytest.raises(ValueError, match=r"holds 2 prepared data sets"):
        find_prepared(tmp_path)


def test_training_takes_prepared_sets_and_splits_of_folders(sets):
    names = ["video_0", "video_1", "video_2"]
    for path in (sets[1], sets[0] / "train", sets[0]):
        assert [track.name for track in read_tracks(path)] == names
    with pytest.raises(ValueError, match=r"no folder .*none; expected a prepared set, or a folder"):
        read_tracks(sets[0] / "none")


def read_all(folder):
    tracks = read_prepared(folder)
    return [track.frames.encoded(index) for track in tracks for index in range(len(track.frames))]


@pytest.mark.parametrize("name", ["tracks.npz", "dataset_info.json", "features.json"])
@pytest.mark.parametrize("content", [b"", b"{", b'{"a": [1]}', b"\x00" * 99])
def test_a_damaged_set_is_one_line(sets, tmp_path, name, content):
    shutil.copytree(find_prepared(sets[1]), tmp_path / "set")
    (tmp_path / "set" / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"is damaged \(") as caught:
        read_all(tmp_path / "set")
    assert "\n" not in str(caught.value)


def test_an_index_that_does_not_fit_is_damaged(sets, tmp_path):
    index = load_index(find_prepared(sets[1]) / "tracks.npz")
    save_index(tmp_path / "tracks.npz", index._replace(lengths=index.lengths + 1))
    with pytest.raises(ValueError, match=r"tracks.npz is damaged \(its columns do not belong to"):
        load_index(tmp_path / "tracks.npz")


def test_damaged_records_are_one_line(sets, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(find_prepared(sets[1]), folder)
    (records,) = folder.glob("*.array_record*")
    data = records.read_bytes()
    records.write_bytes(data[: len(data) // 4].ljust(len(data), b"\0"))
    with pytest.raises(ValueError, match=r"record \d of .* is damaged \("):
        read_all(folder)


def test_records_that_are_cut_off_are_one_line(sets, tmp_path):
    """Behind the first block array_record then gives empty records and says nothing."""
    folder = tmp_path / "set"
    shutil.copytree(find_prepared(sets[1]), folder)
    (records,) = folder.glob("*.array_record*")
    records.write_bytes(records.read_bytes()[:65536])
    with pytest.raises(ValueError, match=r"record \d of .* is damaged \(the record is empty\)"):
        read_all(folder)


@pytest.mark.long
def test_a_set_that_is_damaged_anywhere_gives_the_same_pairs_or_one_line(tmp_path):
    said = []
    outcomes = damaged_sets.count(tmp_path, said.append)
    print(dict(outcomes))
    assert said == [] and outcomes["one line"] > 200 and outcomes["same"] > 200
