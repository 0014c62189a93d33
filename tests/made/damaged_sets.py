"""Damages a prepared set, one file at a time and always in the same ways, and draws pairs from it.

    python tests/made/damaged_sets.py

Each damaged set must give the pairs of the sound one, or one line that says what is wrong.
"""

import pathlib
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from training_trees import make_got10k

from siamfc_jax.commands import shell
from siamfc_jax.data.pairs import PairSource
from siamfc_jax.data.prepared import read_prepared
from siamfc_jax.preparation.builder import prepare

FLIPS, CUTS, ZEROS = 64, 20, 20  # of each file, spread over it evenly
FOREIGN = (b"", b"\x00" * 100, b"{}", b"[]", b"null", b"[" * 9999, b"\xff\xfe", b"PK\x03\x04")


def make(folder: pathlib.Path) -> pathlib.Path:
    """Prepares a small set and returns its folder."""
    for number in range(3):
        boxes = [[10 + frame, 8, 20, 16] for frame in range(4)]
        make_got10k(folder / "source" / "train", f"video_{number}", boxes)
    prepare("got10k", folder / "source", folder / "out", split=None, workers=1, as_is=True)
    return folder / "out"


def damages(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yields (what was done, content) of every damaged copy of a file."""
    for count in range(FLIPS):
        place = len(data) * count // FLIPS
        flipped = bytearray(data)
        flipped[place] ^= 1 << count % 8
        yield f"bit {count % 8} of byte {place} flipped", bytes(flipped)
    for count in range(CUTS):
        length = len(data) * count // CUTS
        yield f"cut to {length} bytes", data[:length]
        yield f"{length} bytes lost at the begin", data[length + 1 :]
    for count in range(ZEROS):
        place = len(data) * count // ZEROS
        hole = data[:place] + bytes(min(8, len(data) - place)) + data[place + 8 :]
        yield f"zeros from byte {place} on", hole
        yield f"8 bytes doubled at byte {place}", data[: place + 8] + data[place:]
    for content in FOREIGN:
        yield f"{content[:9]!r} in its place", content


def pairs(folder: pathlib.Path) -> list[bytes]:
    """Returns some pairs of a prepared set."""
    tracks = read_prepared(folder)
    source = PairSource(tracks, np.ones(len(tracks)), seed=4, max_gap=20)
    return [source[index]["search"].tobytes() for index in range(6)]


def outcome(folder: pathlib.Path, expected: list[bytes]) -> str:
    """Returns what comes of a damaged set: same, one line, other pairs, or traceback: ERROR."""
    try:
        return "same" if pairs(folder) == expected else "other pairs"
    except shell.EXPECTED as error:
        return "traceback: of lines" if "\n" in shell.describe(error) else "one line"
    except Exception as error:
        return f"traceback: {type(error).__name__}: {error}"[:200]


def count(root: pathlib.Path, report: Callable[[str], None] = print) -> Counter:
    """Damages a set in all ways.

    Args:
      root: an empty folder.
      report: takes a line for each set that gives something wrong.

    Returns:
      How often each outcome came; all tracebacks are counted together.
    """
    sound = make(root)
    expected = pairs(sound)
    outcomes: Counter = Counter()
    files = sorted(path.relative_to(sound) for path in sound.rglob("*") if path.is_file())
    for file in files:
        data = (sound / file).read_bytes()
        if not data:  # the lock
            continue
        for number, (what, content) in enumerate([("removed", None), *damages(data)]):
            # Never the same place: readers of a place stay open.
            damaged = root / f"{file.name}{number}"
            shutil.copytree(sound, damaged)
            (damaged / file).unlink()
            if content is not None:
                (damaged / file).write_bytes(content)
            came = outcome(damaged, expected)
            outcomes[came.partition(":")[0]] += 1
            if came not in ("same", "one line"):
                report(f"{file}, {what}: {came}")
            shutil.rmtree(damaged)
    return outcomes


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(dict(count(pathlib.Path(folder))))
