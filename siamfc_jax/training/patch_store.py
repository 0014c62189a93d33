"""All patches of a training set in the memory of the devices, each decoded once."""

import concurrent.futures
import time
from collections.abc import Callable

import jax
import numpy as np
from tqdm import tqdm

from siamfc_jax import memory
from siamfc_jax.data import pairs
from siamfc_jax.geometry import PATCH_SIZE
from siamfc_jax.training import sgd

PATCH_BYTES = 3 * PATCH_SIZE**2


def load(
    source: pairs.PairSource, *, stopped: Callable[[], bool] = lambda: False
) -> jax.Array | None:
    """Reads the patches of all usable frames onto every local device.

    Args:
      source: pairs whose patches are read.
      stopped: returns True if the program was asked to end.

    Returns:
      u8[F, P * P * 3] in the order of `pairs.NumberedPairs`, or None if it was stopped. A patch
      is a row, as a TPU would give 128 values of room to a last axis of 3 colours.

    Raises:
      ValueError: they do not fit into memory, or one cannot be read.
    """
    places = [(track, n) for track, usable in enumerate(source.usable) for n in range(len(usable))]
    _check_room(len(places))
    rows, began = np.empty((len(places), PATCH_BYTES), np.uint8), time.perf_counter()

    def read(number):
        rows[number] = source.patch(*places[number]).ravel()

    with concurrent.futures.ThreadPoolExecutor() as readers:
        done = readers.map(read, range(len(places)))
        for _ in tqdm(done, total=len(places), unit="patch", disable=None):
            if stopped():
                readers.shutdown(cancel_futures=True)
                return None
    patches = jax.block_until_ready(jax.device_put(rows, sgd.every_device()))
    if jax.process_index() == 0:
        seconds = time.perf_counter() - began
        print(f"{len(rows)} patches, {rows.nbytes / 1e9:.1f} GB, read once, in {seconds:.0f} s")
    return patches


def _check_room(count):
    """Refuses patches that do not fit, before one is read."""
    devices = jax.local_devices()
    # They come together in the memory of the machine, which is also that of a CPU's devices.
    copies = 1 + sum(device.platform == "cpu" for device in devices)
    what = f"--resident, which reads {count} patches into the memory of the machine,"
    memory.check(copies * count * PATCH_BYTES, what)
    for device in devices:
        if room := device.memory_stats():  # None on a CPU
            free = room["bytes_limit"] - room["bytes_in_use"]
            what = f"--resident, which keeps {count} patches on each {device.device_kind},"
            memory.check(count * PATCH_BYTES, what, free=free)
