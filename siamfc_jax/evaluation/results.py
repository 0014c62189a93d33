"""Result files of a tracker, in the form that got10k's and pysot's kits share."""

import io
import pathlib
import zipfile
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from siamfc_jax.evaluation.runner import Result
from siamfc_jax.files import write_whole


class ResultPaths(NamedTuple):
    """The files of one result.

    Attributes:
      boxes: `NAME.txt`, a line `x,y,w,h` a frame.
      scores: `scores/NAME_score.txt`, the tracker's score of each frame.
      seconds: `times/NAME_time.txt`, the tracker's seconds for each frame.
      read_seconds: `times/NAME_read.txt`, the seconds for reading each frame.
      lost: `scores/NAME_lost.txt`, 1 for each frame where the object is lost, else 0.
    """

    boxes: pathlib.Path
    scores: pathlib.Path
    seconds: pathlib.Path
    read_seconds: pathlib.Path
    lost: pathlib.Path


def result_paths(folder, name: str) -> ResultPaths:
    """Returns where the files of a result are.

    Args:
      folder: of one tracker on one benchmark.
      name: of the sequence, or `FOLDER/NAME` of a run.
    """
    boxes = pathlib.Path(folder) / f"{name}.txt"
    scores, times = boxes.parent / "scores", boxes.parent / "times"
    return ResultPaths(
        boxes=boxes,
        scores=scores / f"{boxes.stem}_score.txt",
        seconds=times / f"{boxes.stem}_time.txt",
        read_seconds=times / f"{boxes.stem}_read.txt",
        lost=scores / f"{boxes.stem}_lost.txt",
    )


def write_result(folder, name: str, result: Result, *, one_based: bool) -> None:
    """Writes a result; the kits share `boxes` and `seconds`, the other files are ours.

    The box file comes last and whole, so that its presence means "done".

    Args:
      folder: of one tracker on one benchmark; made if missing.
      name: of the sequence, or `FOLDER/NAME` of a run.
      result: what to write; without `lost` there is no such file.
      one_based: whether the benchmark counts its first pixel as 1.
    """
    paths = result_paths(folder, name)
    for path in (paths.scores, paths.seconds):
        path.parent.mkdir(parents=True, exist_ok=True)
    _write_numbers(paths.scores, result.scores, "%.6g")
    _write_numbers(paths.seconds, result.seconds, "%.8f")
    _write_numbers(paths.read_seconds, result.read_seconds, "%.8f")
    if np.isfinite(result.lost).any():
        _write_numbers(paths.lost, result.lost, "%.0f")
    _write_numbers(paths.boxes, result.boxes + _first_pixel(one_based), "%.3f")


def _write_numbers(path, numbers, form):
    lines = io.StringIO()
    np.savetxt(lines, numbers, fmt=form, delimiter=",")
    write_whole(path, lines.getvalue())


def _first_pixel(one_based):
    """Returns what a benchmark's file adds to `[x, y, w, h]` counted from 0."""
    return np.array([one_based, one_based, 0, 0], np.float64)


def read_result(folder, name: str, length: int, *, one_based: bool) -> Result:
    """Reads a result that `write_result` or another kit wrote.

    Args:
      folder: of one tracker on one benchmark.
      name: of the sequence.
      length: number of frames T of the sequence.
      one_based: whether the benchmark counts its first pixel as 1.

    Returns:
      Result; times, scores and lost are NaN where there is no such file.

    Raises:
      ValueError: there is no box file, or a file has another number of lines.
    """
    paths = result_paths(folder, name)
    if not paths.boxes.is_file():
        raise ValueError(f"no {paths.boxes}; expected a result file with one line x,y,w,h a frame")
    return Result(
        boxes=_read_numbers(paths.boxes, length, 4) - _first_pixel(one_based),
        scores=_read_column(paths.scores, length),
        seconds=_read_column(paths.seconds, length),
        read_seconds=_read_column(paths.read_seconds, length),
        lost=_read_column(paths.lost, length),
    )


def read_repetitions(folder, name: str, length: int, *, one_based: bool) -> list[Result]:
    """Reads all results of a sequence.

    They are `NAME.txt`, or where there is none the repetitions `NAME/NAME_001.txt`, ...
    with a column each in `NAME/NAME_time.txt`: got10k's and pysot's form for GOT-10k.

    Args:
      folder: of one tracker on one benchmark.
      name: of the sequence.
      length: number of frames T of the sequence.
      one_based: whether the benchmark counts its first pixel as 1.

    Returns:
      At least one Result.

    Raises:
      ValueError: see `read_result`.
    """
    place = pathlib.Path(folder) / name
    files = sorted(place.glob(f"{place.name}_[0-9]*.txt"))
    if not files or place.with_name(f"{place.name}.txt").is_file():
        return [read_result(folder, name, length, one_based=one_based)]
    results = [read_result(place, file.stem, length, one_based=one_based) for file in files]
    times = place / f"{place.name}_time.txt"
    if times.is_file():
        columns = _read_numbers(times, length, len(files)).T  # f64[repetitions, T]
        results = [
            result._replace(seconds=column) for result, column in zip(results, columns, strict=True)
        ]
    return results


def _read_column(path, length):
    if not path.is_file():
        return np.full(length, np.nan)
    return _read_numbers(path, length, 1)[:, 0]


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


def write_archive(path, folder, names: Iterable[str], boxes: str, times: str | None) -> None:
    """Packs results for a benchmark's server.

    Args:
      path: of the ZIP file.
      folder: of one tracker on one benchmark.
      names: of the sequences.
      boxes: name of a box file in the archive; `{0}` stands for the sequence.
      times: name of a time file; None for a server that takes none.

    Raises:
      ValueError: a result is missing.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            paths = result_paths(folder, name)
            if not paths.boxes.is_file():
                raise ValueError(f"no {paths.boxes}; the server needs a result of every sequence")
            archive.write(paths.boxes, boxes.format(name))
            if times and paths.seconds.is_file():
                archive.write(paths.seconds, times.format(name))
    write_whole(path, content.getvalue())
