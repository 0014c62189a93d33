"""Turns sequences into batches of patch pairs, on the host.

Pair `i` of a run is a pure function of the seed and of `i`. So the number of pairs seen
is all that a resumed run needs, on any number of hosts and workers.
Source: training/vid_get_random_batch.m of the authors.
"""

import contextlib
import hashlib
import signal
from collections.abc import Iterator

import grain
import numpy as np
from absl import flags

from siamfc_jax import signals
from siamfc_jax.data.patches import cut_patch
from siamfc_jax.data.sequences import Sequence


def usable_frames(sequence: Sequence) -> np.ndarray:
    """Returns the indices i64[n] of frames whose object is there and has a size."""
    sizes = np.nan_to_num(sequence.boxes[:, 2:])
    return np.flatnonzero(sequence.visible & (sizes > 0).all(axis=1))


def sample_frames(
    rng: np.random.Generator, numbers: np.ndarray, *, max_gap: int
) -> tuple[int, int]:
    """Draws an exemplar frame and a search frame near it.

    The exemplar is uniform, the search uniform among the other frames at most
    `max_gap` away on either side; a track of one usable frame pairs it with itself.

    Args:
      rng: NumPy Generator.
      numbers: i64[n] frame numbers, ascending.
      max_gap: largest distance.

    Returns:
      (exemplar, search) indices into `numbers`.
    """
    exemplar = int(rng.integers(len(numbers)))
    near = np.flatnonzero(np.abs(numbers - numbers[exemplar]) <= max_gap)
    near = near[near != exemplar]
    return exemplar, int(rng.choice(near)) if len(near) else exemplar


class PairSource:
    """All pairs of a run, by index.

    A sequence is drawn in proportion to its weight times the root of its usable
    frames, so that long tracks count more but do not drown the others.
    """

    def __init__(self, sequences: list[Sequence], weights, *, seed: int, max_gap: int):
        """Prepares the draw.

        Args:
          sequences: to draw from.
          weights: f[n], one a sequence, not negative.
          seed: of every draw.
          max_gap: largest distance in frames within a pair.

        Raises:
          ValueError: no sequence has both a usable frame and a weight.
        """
        self.sequences = sequences
        self.usable = [usable_frames(sequence) for sequence in sequences]
        self.seed, self.max_gap = seed, max_gap
        counts = np.array([len(frames) for frames in self.usable])
        shares = np.sqrt(counts) * np.asarray(weights, np.float64)
        if not shares.sum() > 0:
            raise ValueError(
                f"none of {len(sequences)} tracks can be drawn; a track needs a visible box "
                "with positive width and height, and a weight over 0"
            )
        self.cumulative = np.cumsum(shares) / shares.sum()

    def fingerprint(self) -> str:
        """Returns a digest of all that decides which pairs are drawn and where they are cut."""
        digest = hashlib.sha256(self.cumulative.tobytes())
        for sequence, usable in zip(self.sequences, self.usable, strict=True):
            for values in (sequence.boxes, sequence.frame_numbers, usable):
                digest.update(np.ascontiguousarray(values).tobytes())
            digest.update(sequence.name.encode())
        return digest.hexdigest()[:16]

    def draw(self, index: int) -> tuple[int, int, int]:
        """Draws a pair.

        Args:
          index: of the pair.

        Returns:
          (track, exemplar, search): a number of `sequences` and two of its usable frames.
        """
        rng = np.random.default_rng((self.seed, index))
        track = int(np.searchsorted(self.cumulative, rng.random(), side="right"))
        track = min(track, len(self.sequences) - 1)
        numbers = self.sequences[track].frame_numbers[self.usable[track]]
        return track, *sample_frames(rng, numbers, max_gap=self.max_gap)

    def patch(self, track: int, place: int) -> np.ndarray:
        """Reads the patch u8[319, 319, 3] of a usable frame, both by the numbers of `draw`."""
        sequence, frame = self.sequences[track], self.usable[track][place]
        return cut_patch(sequence.frames[frame], sequence.boxes[frame])

    def __getitem__(self, index: int) -> dict:
        """Returns pair `index`.

        Returns:
          exemplar and search u8[319, 319, 3], track i32[], index i32[].
        """
        track, exemplar, search = self.draw(index)
        return {
            "exemplar": self.patch(track, exemplar),
            "search": self.patch(track, search),
            "track": np.int32(track),
            "index": np.int32(index),
        }


class NumberedPairs:
    """The pairs of a source with numbers of patches in place of the patches.

    Patches are counted through the usable frames of all tracks, in their order.
    """

    def __init__(self, source: PairSource):
        """Takes the source of the pairs."""
        self.source = source
        self.firsts = np.cumsum([0, *map(len, source.usable)])

    def __getitem__(self, index: int) -> dict:
        """Returns pair `index`.

        Returns:
          exemplar and search i32[], track i32[], index i32[].
        """
        track, exemplar, search = self.source.draw(index)
        return {
            "exemplar": np.int32(self.firsts[track] + exemplar),
            "search": np.int32(self.firsts[track] + search),
            "track": np.int32(track),
            "index": np.int32(index),
        }


def batches(
    source: PairSource | NumberedPairs,
    *,
    batch_size: int,
    start: int,
    stop: int,
    host: int = 0,
    hosts: int = 1,
    workers: int = 0,
) -> Iterator[dict]:
    """Yields this host's part of the batches of steps `start` to `stop`.

    Args:
      source: gives pair `i` of the run.
      batch_size: pairs a step over all hosts.
      start: first step.
      stop: first step not to be made.
      host: which of the hosts this is.
      hosts: how many there are; each reads its own part of every batch.
      workers: processes that read; 0 for threads of this one. The batches are the
        same with any number.

    Returns:
      Iterator, to be closed, of dicts with the entries of a pair, their leading axis
      batch_size / hosts.
    """
    places = np.arange(batch_size // hosts) + host * (batch_size // hosts)

    def load(step):
        drawn = [source[int(index)] for index in step * batch_size + places]
        return {key: np.stack([pair[key] for pair in drawn]) for key in drawn[0]}

    # A whole batch is one element: workers take turns by elements, and so keep the order.
    dataset = grain.MapDataset.range(start, stop).map(load)
    reading = grain.ReadOptions(num_threads=4, prefetch_buffer_size=4)
    iterable = dataset.to_iter_dataset(reading)
    if workers:
        # grain 0.2.18 ends with an error where nobody has parsed its flags (google/grain 1355).
        flags.FLAGS.mark_as_parsed()
        options = grain.MultiprocessingOptions(num_workers=workers)
        iterable = iterable.mp_prefetch(options, worker_init_fn=_depend_on_parent)
    with contextlib.closing(iter(iterable)) as iterator:
        for batch in iterator:
            # Copy: grain reuses the workers' shared memory once the next batch is asked for.
            yield {key: np.array(value) for key, value in batch.items()}


def _depend_on_parent(_index, _count):
    signals.follow_parent(signal.SIGINT, *signals.ending_signals())
