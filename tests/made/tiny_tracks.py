"""A training set small enough to train on in a test."""

import cv2
import numpy as np


def write(root, *, tracks=3, frames=9, source="made"):
    """Writes noise with a brighter box that moves, in the GOT-10k layout.

    Args:
      root: folder of `list.txt`.
      tracks: how many.
      frames: of each.
      source: named in `meta_info.ini`.

    Returns:
      `root`.
    """
    names = [f"{source}_{number}" for number in range(tracks)]
    for number, name in enumerate(names):
        folder = root / name
        folder.mkdir(parents=True)
        rng = np.random.default_rng(number)
        lines = []
        for frame in range(frames):
            image = rng.integers(0, 120, (48, 64, 3), np.uint8)
            x, y = 10 + 2 * frame, 8 + frame
            image[y : y + 12, x : x + 16] += np.uint8(100 + 30 * number)
            assert cv2.imwrite(str(folder / f"{frame + 1:08d}.jpg"), image)
            lines.append(f"{x},{y},16,12\n")
        (folder / "groundtruth.txt").write_text("".join(lines))
        (folder / "meta_info.ini").write_text(f"[METAINFO]\nsource: {source}\n")
    (root / "list.txt").write_text("\n".join(names) + "\n")
    return root
