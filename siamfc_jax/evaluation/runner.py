"""Runs a tracker over sequences and keeps its boxes in files.

A tracker is a generator function: `track(frames, box)` takes the frames, an
iterable of u8[H, W, 3] RGB, with the box f32[4] of the first one, and yields
`(box f32[4], score)` once a frame, the first time the box it was given; one that
can tell adds whether it has lost the object. Whoever runs it may stop asking, which is
how a restart after a loss works, and can tell the tracker's own seconds from those spent
reading frames.
"""

import os
import pathlib
import time
import zipfile
from typing import NamedTuple

import numpy as np

from siamfc_jax.tracking import loop


class Result(NamedTuple):
    """What a tracker did on one sequence of T frames.

    Attributes:
      boxes: f64[T, 4] `[x, y, w, h]` in frame pixels, 0-based; NaN for "no object".
      scores: f64[T] of the tracker's own scale, NaN where it gave none.
      seconds: f64[T] spent by the tracker; entry 0 is its start, with any compilation.
      read_seconds: f64[T] spent reading and decoding frames meanwhile.
      lost: f64[T], 1 where the tracker says that it has lost the object, else 0; NaN
        where it does not say, a single one for all.
    """

    boxes: np.ndarray
    scores: np.ndarray
    seconds: np.ndarray
    read_seconds: np.ndarray
    lost: np.ndarray | float = np.nan


def siamfc(params, *, config):
    """Makes our tracker a generator function.

    The step runs once on the first frame, so that its compilation falls into the start.

    Args:
      params: from `tracker.prepare`.
      config: TrackerConfig.

    Returns:
      `track(frames, box)`.
    """

    def track(frames, box):
        for result in loop.follow(params, enumerate(frames), box, config=config):
            yield result.boxes, result.scores, result.lost

    return track


class Step(NamedTuple):
    """What a tracker did on one frame.

    Attributes:
      box: f[4], or NaN for "no object".
      score: of the tracker's own scale, NaN for none.
      seconds: spent by the tracker.
      read_seconds: spent reading and decoding frames meanwhile.
      lost: 1 where the tracker says that it has lost the object, else 0; NaN where it
        does not say.
    """

    box: np.ndarray
    score: float
    seconds: float
    read_seconds: float
    lost: float


def follow(track, frames, box):
    """Runs a tracker frame by frame, for as long as it is asked.

    Args:
      track: generator function, see above.
      frames: T frames that can be indexed.
      box: f[4] in frame 0.

    Yields:
      Step of each frame.

    Raises:
      ValueError: the first box is none, or the tracker yields too few.
    """
    reads, box = [], check_start(box)
    steps = track(_timed(frames, reads), box)
    for index in range(len(frames)):
        known, begin = len(reads), time.perf_counter()
        output = next(steps, None)
        elapsed = time.perf_counter() - begin
        if output is None:
            raise ValueError(
                f"the tracker stopped after {index} of {len(frames)} frames; "
                "it must yield one box a frame"
            )
        reading = sum(reads[known:])
        box, score, lost = (*output, np.nan)[:3]
        yield Step(np.asarray(box), float(score), elapsed - reading, reading, float(lost))


def check_start(box) -> np.ndarray:
    """Returns the box f32[4] of a first frame.

    Args:
      box: f[4].

    Raises:
      ValueError: it has no size, or is none.
    """
    box = np.asarray(box, np.float32)
    if not (np.isfinite(box).all() and (box[2:] > 0).all()):
        raise ValueError(f"the first frame needs a box of positive size, got {box.tolist()}")
    return box


def _timed(frames, reads):
    for index in range(len(frames)):
        begin = time.perf_counter()
        frame = frames[index]
        reads.append(time.perf_counter() - begin)
        yield frame


def one_pass(track, sequence, *, box=None) -> Result:
    """Runs a tracker from the first frame to the last, without restarts (OPE).

    Args:
      track: generator function, see above.
      sequence: `sequences.Sequence`; only its first box is shown to the tracker.
      box: f[4], what to show instead of the first true box (SRE).

    Returns:
      Result of the whole sequence.

    Raises:
      ValueError: the tracker yields fewer boxes than there are frames.
    """
    first = sequence.boxes[0] if box is None else box
    return gather(follow(track, sequence.frames, first))


def gather(steps) -> Result:
    """Joins the `Step` of every frame, in their order."""
    columns = zip(*steps, strict=True)
    return Result(*(np.asarray(column, np.float64) for column in columns))


def write_result(folder, name: str, result: Result, *, one_based: bool) -> None:
    """Writes a result in the form shared by got10k's OTB experiment and pysot.

    `NAME.txt` has one line `x,y,w,h` a frame, `times/NAME_time.txt` the tracker's
    seconds; ours alone are `times/NAME_read.txt`, `scores/NAME_score.txt` and, of a
    tracker that says so, `scores/NAME_lost.txt`. The box file
    comes last and whole, so that its presence means "done".

    Args:
      folder: of one tracker on one benchmark; made if missing.
      name: of the sequence, or `FOLDER/NAME` of a run.
      result: what to write.
      one_based: whether the benchmark counts its first pixel as 1.
    """
    path, *others = _places(folder, name)
    forms = ("%.6g", "%.8f", "%.8f", "%.0f")
    for file, values, form in zip(others, result[1:], forms, strict=True):
        file.parent.mkdir(parents=True, exist_ok=True)
        if file != others[-1] or np.isfinite(values).any():
            np.savetxt(file, values, fmt=form)
    partial = path.with_name(f"{path.name}.part")
    np.savetxt(partial, result.boxes + [one_based, one_based, 0, 0], fmt="%.3f", delimiter=",")
    os.replace(partial, path)


def _places(folder, name):
    path = pathlib.Path(folder) / f"{name}.txt"
    return (
        path,
        path.parent / "scores" / f"{path.stem}_score.txt",
        path.parent / "times" / f"{path.stem}_time.txt",
        path.parent / "times" / f"{path.stem}_read.txt",
        path.parent / "scores" / f"{path.stem}_lost.txt",
    )


def read_result(folder, name: str, length: int, *, one_based: bool) -> Result:
    """Reads what `write_result` or another kit wrote.

    Args:
      folder: of one tracker on one benchmark.
      name: of the sequence.
      length: number of frames the sequence has.
      one_based: whether the benchmark counts its first pixel as 1.

    Returns:
      Result; times, scores and lost are NaN where there is no such file.

    Raises:
      ValueError: there is no box file, or a file has another number of lines.
    """
    path, *others = _places(folder, name)
    if not path.is_file():
        raise ValueError(f"no {path}; expected a result file with one line x,y,w,h a frame")
    boxes = _read_numbers(path, length, 4) - [one_based, one_based, 0, 0]
    columns = [
        _read_numbers(file, length, 1)[:, 0] if file.is_file() else np.full(length, np.nan)
        for file in others
    ]
    return Result(boxes, *columns)


def read_repetitions(folder, name: str, length: int, *, one_based: bool) -> list[Result]:
    """Reads all results of a sequence.

    They are `NAME.txt`, or where there is none the repetitions `NAME/NAME_001.txt`, ...
    with a column each in `NAME/NAME_time.txt`: got10k's and pysot's form for GOT-10k.

    Args:
      folder: of one tracker on one benchmark.
      name: of the sequence.
      length: number of frames the sequence has.
      one_based: whether the benchmark counts its first pixel as 1.

    Returns:
      At least one Result.

    Raises:
      ValueError: as `read_result`.
    """
    place = pathlib.Path(folder) / name
    files = sorted(place.glob(f"{place.name}_[0-9]*.txt"))
    if not files or place.with_name(f"{place.name}.txt").is_file():
        return [read_result(folder, name, length, one_based=one_based)]
    results = [read_result(place, file.stem, length, one_based=one_based) for file in files]
    times = place / f"{place.name}_time.txt"
    if times.is_file():
        columns = _read_numbers(times, length, len(files)).T
        results = [r._replace(seconds=column) for r, column in zip(results, columns, strict=True)]
    return results


def _read_numbers(path, length, width):
    lines = path.read_text(encoding="utf-8", errors="replace").replace(",", " ").split("\n")
    try:
        values = np.array([line.split() for line in lines if line.strip()], np.float64)
    except ValueError as error:
        raise ValueError(f"{path}: expected {width} numbers a line ({error})") from None
    if values.shape != (length, width):
        raise ValueError(
            f"{path} has {len(values)} lines of {values.shape[-1]} numbers; "
            f"the sequence has {length} frames and needs {width} a line"
        )
    return values


def write_archive(path, folder, names, boxes: str, times: str | None) -> None:
    """Packs results for a benchmark's server.

    Args:
      path: of the ZIP file.
      folder: of one tracker on one benchmark.
      names: of the sequences.
      boxes: name of a box file in the archive, `{0}` stands for the sequence.
      times: name of a time file, None for a server that takes none.

    Raises:
      ValueError: a result is missing.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            box_file, _, time_file, *_ = _places(folder, name)
            if not box_file.is_file():
                raise ValueError(f"no {box_file}; the server needs a result of every sequence")
            archive.write(box_file, boxes.format(name))
            if times and time_file.is_file():
                archive.write(time_file, times.format(name))
