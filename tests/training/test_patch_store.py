"""Patches on the devices: what a step gets is what the loader would give it."""

from typing import NamedTuple

import jax
import numpy as np
import pytest
import tiny_tracks

from siamfc_jax import memory
from siamfc_jax.data import mixture, pairs
from siamfc_jax.training import patch_store, sgd


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tiny_tracks.write(tmp_path_factory.mktemp("tracks"), tracks=3, frames=4)
    return pairs.PairSource(*mixture.read_mixture([str(folder)]), seed=0, max_gap=100)


def test_batches_are_those_of_the_loader_on_two_devices(source):
    patches = patch_store.load(source)
    assert patches.shape == (12, 319 * 319 * 3) and patches.dtype == np.uint8
    assert len(patches.sharding.device_set) == jax.local_device_count() == 2

    def batches(source):
        return sgd.split([*pairs.batches(source, batch_size=4, start=0, stop=2)])

    given, expected = sgd.gather(patches, batches(pairs.NumberedPairs(source))), batches(source)
    assert given.keys() == expected.keys()
    for name, value in given.items():
        np.testing.assert_array_equal(value, expected[name])
        assert value.dtype == expected[name].dtype
        assert len(value.sharding.device_set) == 2  # each holds its own pairs


def test_a_signal_ends_the_reading(source):
    assert patch_store.load(source, stopped=lambda: True) is None


class Card(NamedTuple):
    """Stands for a device with memory of its own."""

    platform: str = "gpu"
    device_kind: str = "NVIDIA H100"

    def memory_stats(self):
        """Returns what JAX tells of such a device."""
        return {"bytes_limit": 5_000_000, "bytes_in_use": 2_000_000}


def test_patches_that_do_not_fit_are_refused(source, monkeypatch):
    """12 patches of 305,283 bytes: once on the machine, and on each device of a CPU."""
    monkeypatch.setattr(memory, "free_bytes", lambda: 11_000_000)
    assert patch_store.load(source) is not None
    monkeypatch.setattr(memory, "free_bytes", lambda: 10_900_000)
    reading = "--resident, which reads 12 patches into the memory of the machine, needs .* are free"
    with pytest.raises(ValueError, match=reading):
        patch_store.load(source)
    monkeypatch.setattr(jax, "local_devices", lambda: [Card()])
    keeping = "--resident, which keeps 12 patches on each NVIDIA H100, needs .* are free"
    with pytest.raises(ValueError, match=keeping):
        patch_store.load(source)
