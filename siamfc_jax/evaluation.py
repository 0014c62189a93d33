"""Runs a tracker over sequences, keeps its boxes in files and reports from the files.

A tracker is a generator function: `track(frames, box)` takes the frames, an
iterable of u8[H, W, 3] RGB, with the box f32[4] of the first one, and yields
`(box f32[4], score)` once a frame, the first time the box it was given. Whoever
runs it may stop asking, which is how a restart after a loss works, and can tell
the tracker's own seconds from those spent reading frames.
"""

import os
import pathlib
import time
from typing import NamedTuple

import numpy as np

from siamfc_jax import metrics


class Result(NamedTuple):
    """What a tracker did on one sequence of T frames.

    Attributes:
      boxes: f64[T, 4] `[x, y, w, h]` in frame pixels, 0-based; NaN for "no object".
      scores: f64[T] of the tracker's own scale, NaN where it gave none.
      seconds: f64[T] spent by the tracker; entry 0 is its start, with any compilation.
      read_seconds: f64[T] spent reading and decoding frames meanwhile.
    """

    boxes: np.ndarray
    scores: np.ndarray
    seconds: np.ndarray
    read_seconds: np.ndarray


def siamfc(params, *, config):
    """Makes our tracker a generator function.

    The step runs once on the first frame, so that compilation for a new frame size
    falls into the start.

    Args:
      params: from `tracker.prepare`.
      config: TrackerConfig.

    Returns:
      `track(frames, box)`.
    """
    from siamfc_jax import tracker  # here, so that other trackers run without JAX

    def track(frames, box):
        frames = iter(frames)
        frame = next(frames)
        state = tracker.init(params, frame, box, config=config)
        np.asarray(tracker.step(params, state, frame, config=config)[1])
        yield box, np.nan
        for frame in frames:
            state, box, score = tracker.step(params, state, frame, config=config)
            yield np.asarray(box), float(score)

    return track


class Step(NamedTuple):
    """What a tracker did on one frame.

    Attributes:
      box: f[4], or NaN for "no object".
      score: of the tracker's own scale, NaN for none.
      seconds: spent by the tracker.
      read_seconds: spent reading and decoding frames meanwhile.
    """

    box: np.ndarray
    score: float
    seconds: float
    read_seconds: float


def follow(track, frames, box):
    """Runs a tracker frame by frame, for as long as it is asked.

    Args:
      track: generator function, see above.
      frames: T frames that can be indexed.
      box: f[4] in frame 0.

    Yields:
      Step of each frame.

    Raises:
      ValueError: the tracker yields fewer boxes than there are frames.
    """
    reads = []
    steps = track(_timed(frames, reads), np.asarray(box, np.float32))
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
        yield Step(np.asarray(output[0]), float(output[1]), elapsed - reading, reading)


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
    columns = zip(*follow(track, sequence.frames, first), strict=True)
    return Result(*(np.asarray(column, np.float64) for column in columns))


def write_result(folder, name: str, result: Result, *, one_based: bool) -> None:
    """Writes a result in the form shared by got10k's OTB experiment and pysot.

    `NAME.txt` has one line `x,y,w,h` a frame, `times/NAME_time.txt` the tracker's
    seconds; ours alone are `times/NAME_read.txt` and `scores/NAME_score.txt`. The
    box file comes last and whole, so that its presence means "done".

    Args:
      folder: of one tracker on one benchmark; made if missing.
      name: of the sequence.
      result: what to write.
      one_based: whether the benchmark counts its first pixel as 1.
    """
    folder = pathlib.Path(folder)
    for sub in ("times", "scores"):
        (folder / sub).mkdir(parents=True, exist_ok=True)
    np.savetxt(folder / "times" / f"{name}_time.txt", result.seconds, fmt="%.8f")
    np.savetxt(folder / "times" / f"{name}_read.txt", result.read_seconds, fmt="%.8f")
    np.savetxt(folder / "scores" / f"{name}_score.txt", result.scores, fmt="%.6g")
    partial = folder / f"{name}.txt.part"
    np.savetxt(partial, result.boxes + [one_based, one_based, 0, 0], fmt="%.3f", delimiter=",")
    os.replace(partial, folder / f"{name}.txt")


def read_result(folder, name: str, length: int, *, one_based: bool) -> Result:
    """Reads what `write_result` or another kit wrote.

    Args:
      folder: of one tracker on one benchmark.
      name: of the sequence.
      length: number of frames the sequence has.
      one_based: whether the benchmark counts its first pixel as 1.

    Returns:
      Result; times and scores are NaN where there is no such file.

    Raises:
      ValueError: there is no box file, or a file has another number of lines.
    """
    folder = pathlib.Path(folder)
    path = folder / f"{name}.txt"
    if not path.is_file():
        raise ValueError(f"no {path}; expected a result file with one line x,y,w,h a frame")
    boxes = _read_numbers(path, length, 4) - [one_based, one_based, 0, 0]
    others = [
        _read_numbers(file, length, 1)[:, 0] if file.is_file() else np.full(length, np.nan)
        for file in (
            folder / "scores" / f"{name}_score.txt",
            folder / "times" / f"{name}_time.txt",
            folder / "times" / f"{name}_read.txt",
        )
    ]
    return Result(boxes, *others)


def _read_numbers(path, length, width):
    lines = path.read_text(encoding="utf-8").replace(",", " ").split("\n")
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


def measure(runs) -> dict:
    """Computes the curves of one sequence.

    Frames without a true box do not count; the first frame of a run does, with the
    true box, whatever the result says. Several runs (TRE, SRE) are pooled, so that
    a longer one weighs more, as in the OTB kit.

    Args:
      runs: list of (Result, Sequence of the same length).

    Returns:
      `success`, `precision` and `normalized_precision` curves, and the frame times
      `seconds`, `read_seconds` without the first frame of a run.
    """
    pairs = []
    for result, sequence in runs:
        boxes = np.concatenate([sequence.boxes[:1], result.boxes[1:]])
        kept = np.isfinite(sequence.boxes).all(axis=1)
        pairs.append((boxes[kept], sequence.boxes[kept]))
    boxes, truth = map(np.concatenate, zip(*pairs, strict=True))
    return {
        "success": metrics.success_curve(metrics.iou(boxes, truth)),
        "precision": metrics.precision_curve(metrics.center_error(boxes, truth)),
        "normalized_precision": metrics.precision_curve(
            metrics.normalized_error(boxes, truth), metrics.NORMALIZED_THRESHOLDS
        ),
        "seconds": np.concatenate([result.seconds[1:] for result, _ in runs]),
        "read_seconds": np.concatenate([result.read_seconds[1:] for result, _ in runs]),
    }


def summarize(curves: list[dict]) -> dict:
    """Computes the numbers of a benchmark from the curves of its sequences.

    Every sequence weighs the same, as in OTB's and got10k's kits; frame times are
    pooled.

    Args:
      curves: of `measure`, at least one.

    Returns:
      `success_auc` (mean of 21 rates), `success_50` (overlap above .5),
      `precision_20`, `normalized_precision_20` (error within .2) and
      `normalized_precision_auc` (0 to .5); frames a second `fps` (by the mean
      time of a frame), `fps_median`, and the same `_with_reading`. Speeds are
      None where no time is known.
    """
    success, precision, normalized = (
        np.mean([curve[key] for curve in curves], axis=0)
        for key in ("success", "precision", "normalized_precision")
    )
    seconds, read = (
        np.concatenate([curve[key] for curve in curves]) for key in ("seconds", "read_seconds")
    )
    return {
        "success_auc": float(success.mean()),
        "success_50": float(success[10]),
        "precision_20": float(precision[20]),
        "normalized_precision_20": float(normalized[20]),
        "normalized_precision_auc": float(normalized.mean()),
        "fps": _rate(np.mean, seconds),
        "fps_median": _rate(np.median, seconds),
        "fps_with_reading": _rate(np.mean, seconds + read),
        "fps_median_with_reading": _rate(np.median, seconds + read),
    }


def _rate(average, seconds):
    seconds = seconds[np.isfinite(seconds)]
    return float(1 / average(seconds)) if len(seconds) and average(seconds) > 0 else None


def report(runs: dict) -> dict:
    """Computes a benchmark's numbers, over all and by sequence.

    Args:
      runs: sequence name -> list of (Result, Sequence), one pair for OPE.

    Returns:
      `summarize` of all sequences, and `sequences`: name -> the same of one.
    """
    curves = {name: measure(pairs) for name, pairs in runs.items()}
    return {
        **summarize(list(curves.values())),
        "sequences": {name: summarize([curve]) for name, curve in curves.items()},
    }


def table(summaries: dict) -> str:
    """Returns trackers or sequences as a markdown table, best first.

    Args:
      summaries: name -> numbers of `summarize`.
    """
    columns = ("success_auc", "success_50", "precision_20", "normalized_precision_20")
    lines = ["| name | AUC | SR .5 | P 20 px | P norm .2 | fps |", "|---|---|---|---|---|---|"]
    for name in sorted(summaries, key=lambda name: -summaries[name]["success_auc"]):
        numbers = summaries[name]
        values = [f"{numbers[column]:.3f}" for column in columns]
        fps = "-" if numbers["fps"] is None else f"{numbers['fps']:.1f}"
        lines.append("| " + " | ".join([name, *values, fps]) + " |")
    return "\n".join(lines) + "\n"
