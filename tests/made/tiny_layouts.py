"""Folders in the OTB and GOT-10k layouts, of a few plain images."""

import cv2
import numpy as np


def write_images(folder, numbers, *, digits=4, suffix=".jpg", size=(12, 16)):
    """Writes plain images [H, W] named after their numbers, each as bright as its number."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        image = np.full((*size, 3), number % 250, np.uint8)
        assert cv2.imwrite(str(folder / f"{number:0{digits}d}{suffix}"), image)


def write_boxes(path, count, *, separator=",", end="\n"):
    """Writes boxes `i, 2, 5, 6` for i = 1, 2, ..."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [separator.join(map(str, (i, 2, 5, 6))) for i in range(1, count + 1)]
    path.write_bytes((end.join(lines) + end).encode())


def make_got10k(root, split="val", name="GOT-10k_Val_000001", *, count=4, boxes=4):
    """Makes a split of GOT-10k with one video; returns its folder."""
    write_images(root / split / name, range(1, count + 1), digits=8)
    write_boxes(root / split / name / "groundtruth.txt", boxes)
    (root / split / "list.txt").write_text(name + "\n")
    return root / split / name
