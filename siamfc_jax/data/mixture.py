"""Several training sets as one, mixed by weight: what `siamfc train --data` names."""

import pathlib

import numpy as np

from siamfc_jax.data import prepared


def split_weight(text: str) -> tuple[str, float]:
    """Reads a name with a weight.

    Args:
      text: `NAME` or `NAME:WEIGHT`; a colon before something else belongs to the name.

    Returns:
      (name, weight), 1 where no weight is given.

    Raises:
      ValueError: the weight is negative or not finite.
    """
    name, _, number = text.rpartition(":")
    try:
        weight = float(number)
    except ValueError:
        return text, 1.0
    if not name or not 0 <= weight < float("inf"):
        raise ValueError(f"--data takes weights from 0 upwards, got {text}")
    return name, weight


def read_mixture(entries):
    """Reads the tracks of several sets.

    Args:
      entries: list of `FOLDER[:WEIGHT][,SOURCE:WEIGHT...]`.

    Returns:
      (list of `Sequence`, f64[n] weight of each: that of its set times that of its source).

    Raises:
      ValueError: a set cannot be read, or has no such source.
    """
    tracks, weights = [], []
    for entry in entries:
        (folder, weight), *parts = map(split_weight, entry.split(","))
        read, by_source = prepared.read_tracks(folder), dict(parts)
        sources = {track.source for track in read}
        unknown = sorted(set(by_source) - sources)
        if unknown:
            raise ValueError(
                f"{folder} has no source {', '.join(unknown)}; it has {', '.join(sorted(sources))}"
            )
        tracks += read
        weights += [weight * by_source.get(track.source, 1.0) for track in read]
    return tracks, np.array(weights)


def find_held_out(entries, folder=None):
    """Finds the tracks that a run is validated on.

    Args:
      entries: of `read_mixture`; the first whose folder has a part `val` stands in for `folder`.
      folder: of held-out tracks, or None.

    Returns:
      The folder, whose part `val` is meant where it has several; None where there is none.
    """
    folders = [split_weight(entry.split(",")[0])[0] for entry in entries]
    beside = (place for place in folders if (pathlib.Path(place) / "val/list.txt").is_file())
    return folder or next(beside, None)
