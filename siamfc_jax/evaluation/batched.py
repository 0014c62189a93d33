"""Our tracker over several sequences at once, all in one pass of the network a frame.

One video leaves a GPU or TPU waiting; several keep it busier, and their frames are
read in threads beside each other.
"""

import concurrent.futures
import time

import jax
import jax.numpy as jnp
import numpy as np

from siamfc_jax.evaluation import runner
from siamfc_jax.tracking import loop, tracker
from siamfc_jax.tracking.results import check_finite

ROOM = 128  # px by which the shared frame grows: each of its sizes compiles once more


class _Run:
    """One sequence under way."""

    def __init__(self, params, name, sequence, box, *, config):
        box = runner.check_start(sequence.boxes[0] if box is None else box)
        began = time.perf_counter()
        frame = sequence.frames[0]
        read = time.perf_counter()
        self.name, self.frames = name, sequence.frames
        self.state = tracker.start(params, frame, box, config=config).state
        self.steps = [runner.Step(box, np.nan, time.perf_counter() - read, read - began, 0.0)]

    def ended(self):
        return len(self.steps) == len(self.frames)

    def read(self):
        return self.frames[len(self.steps)]


def track_all(params, runs, *, config, count: int):
    """Runs our tracker over several sequences at once, without restarts.

    When one ends the next takes its place. The boxes are those of `runner.one_pass` but
    for rounding; the seconds of a frame are its share of a call.

    Args:
      params: folded network parameters, from `tracker.prepare`.
      runs: of `runner.Run`, from a protocol without restarts.
      config: TrackerConfig.
      count: how many at once.

    Yields:
      (name, runner.Result) of each run when it ends.

    Raises:
      ValueError: a first box has no size, or a frame cannot be read.
    """
    waiting, under_way, batch = iter(runs), {}, _Batch(params, config, count)
    with concurrent.futures.ThreadPoolExecutor(count) as readers:
        while True:
            free = [slot for slot in range(count) if slot not in under_way]
            for slot, planned in zip(free, waiting, strict=False):
                under_way[slot] = _Run(params, *planned, config=config)
                batch.take(slot, under_way[slot].state)
            if not under_way:
                return
            moving = {slot: run for slot, run in under_way.items() if not run.ended()}
            began = time.perf_counter()
            images = dict(zip(moving, readers.map(_Run.read, moving.values()), strict=True))
            reading = time.perf_counter() - began
            boxes, scores, lost, seconds = batch.step(images)
            for slot, run in moving.items():
                place = f"frame {len(run.steps)} of {run.name}"
                check_finite(place, boxes[slot], scores[slot])
                shares = seconds / len(moving), reading / len(moving)
                step = runner.Step(boxes[slot], scores[slot], *shares, float(lost[slot]))
                run.steps.append(step)
            for slot in [slot for slot, run in under_way.items() if run.ended()]:
                run = under_way.pop(slot)
                yield run.name, runner.stack_steps(run.steps)


class _Batch:
    """The stacked states of all slots, and the memory of their frames."""

    def __init__(self, params, config, count):
        self.params, self.config, self.count, self.states = params, config, count, None
        self.frames = np.zeros((count, 0, 0, 3), np.uint8)
        self.sizes = np.ones((count, 2), np.int32)

    def take(self, slot, state):
        if self.states is None:
            self.states = jax.tree.map(lambda leaf: jnp.stack([leaf] * self.count), state)
        self.states = jax.tree.map(lambda leaf, new: leaf.at[slot].set(new), self.states, state)

    def step(self, images):
        """Steps the slots with an image; returns boxes, scores, lost of all, and the seconds."""
        sides = [image.shape[:2] for image in images.values()]
        sides = -(-np.max([*sides, self.frames.shape[1:3]], axis=0) // ROOM) * ROOM
        if (sides != self.frames.shape[1:3]).any():
            self.frames = np.zeros((self.count, *sides, 3), np.uint8)
            inputs = self.params, self.states, self.frames, self.sizes
            loop.warm_up(tracker.step_videos, *inputs, config=self.config)
        began = time.perf_counter()
        for slot, image in images.items():
            self.sizes[slot] = image.shape[1::-1]
            self.frames[slot, : image.shape[0], : image.shape[1]] = image
        self.states, boxes, scores = tracker.step_videos(
            self.params, self.states, self.frames, self.sizes, config=self.config
        )
        numbers = jax.device_get((boxes, scores, self.states.lost))
        return *numbers, time.perf_counter() - began
