"""Logs a training run: `metrics.jsonl` and TensorBoard's files."""

import contextlib
import json
import pathlib
import time

import numpy as np
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog

from siamfc_jax.config import TrainConfig
from siamfc_jax.files import write_whole
from siamfc_jax.network.run_folders import METRICS_NAME
from siamfc_jax.training.sgd import learning_rate


class Log:
    """Numbers and pictures of a run by step; on several hosts only the first one writes.

    Every record is in its file before the call returns. A resumed run first removes the records
    of steps that it is about to repeat, so that each step is recorded once.
    """

    def __init__(self, workdir, records, *, config: TrainConfig, first: int, writes: bool):
        """Opens the files.

        Args:
          workdir: folder of the run.
          records: the records of the steps that are done, from `run_folders.read_metrics`.
          config: of the run.
          first: steps done already; TensorBoard forgets later ones.
          writes: whether this host writes.

        Raises:
          ValueError: a file cannot be written, here or later.
        """
        self.config, self.file, self.board = config, None, None
        self.window, self.timed, self.clock = [], 0, None
        if writes:
            path = pathlib.Path(workdir) / METRICS_NAME
            lines = [json.dumps(record) + "\n" for record in records]
            with _reported(path):
                write_whole(path, "".join(lines))
                self.file = path.open("a", encoding="utf-8")
                # Not SummaryWriter: its thread may lose the last records, and errors.
                (path.parent / "tensorboard").mkdir(exist_ok=True)
                self.board = EventsWriter(str(path.parent / "tensorboard" / "events"))
                self.board.write_event(
                    Event(step=first + 1, session_log=SessionLog(status=SessionLog.START))
                )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.file:
            with _reported(self.file.name):
                self.file.close()
                self.board.close()

    def restart_clock(self) -> None:
        """Excludes the time until now from the pairs per second."""
        self.timed, self.clock = 0, time.perf_counter()

    def add(self, step: int, values: dict, *, write: bool) -> None:
        """Adds the numbers of a step; with `write`, records their means since the last record."""
        self.window.append(values)
        self.timed += 1
        if not write:
            return
        means = {key: float(np.mean([v[key] for v in self.window])) for key in values}
        means["learning_rate"] = float(learning_rate(step - 1, config=self.config))
        if self.clock is not None:
            seconds = time.perf_counter() - self.clock
            means["pairs_per_second"] = self.timed * self.config.batch_size / seconds
        self.scalars(step, means)
        self.window = []
        self.restart_clock()

    def scalars(self, step: int, values: dict) -> None:
        """Writes name -> number."""
        if self.file:
            with _reported(self.file.name):
                self.file.write(json.dumps({"step": step, **values}) + "\n")
                self.file.flush()
                for name, value in values.items():
                    self._write(step, summary.scalar(name, value))
                self.board.flush()

    def image(self, step: int, name: str, image) -> None:
        """Writes a picture u8[H, W, 3] in RGB order, for TensorBoard only."""
        if self.file:
            with _reported(self.file.name):
                self._write(step, summary.image(name, image, dataformats="HWC"))

    def _write(self, step, content):
        self.board.write_event(Event(step=step, wall_time=time.time(), summary=content))


@contextlib.contextmanager
def _reported(path):
    try:
        yield
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror}") from error
