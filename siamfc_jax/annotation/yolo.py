"""YOLO: a folder with a text file a frame, `class x y w h` in shares of the frame.

https://docs.ultralytics.com/datasets/detect/. x and y are those of the centre; what lies
outside the frame is cut off, and a frame without an object has an empty file.
"""

import json
import pathlib

from siamfc_jax.annotation.coco import image_name
from siamfc_jax.annotation.tracks import Clip, Mark, Track, make_track
from siamfc_jax.files import write_whole


def write(path, clip: Clip, tracks: list[Track]) -> None:
    """Writes `labels/train/*.txt` and `data.yaml`; the images go to `images/train`.

    Args:
      path: folder to write.
      clip: the video.
      tracks: its objects; the class of each is its name.

    Raises:
      OSError: the place cannot be written.
    """
    labels = pathlib.Path(path) / "labels" / "train"
    labels.mkdir(parents=True, exist_ok=True)
    (labels.parents[1] / "images" / "train").mkdir(parents=True, exist_ok=True)
    lines: dict[int, list[str]] = {frame: [] for frame in clip.frames}
    for number, track in enumerate(tracks):
        for mark in track.marks:
            x, y, w, h = mark.box
            left, right = (min(max(edge, 0), clip.width) / clip.width for edge in (x, x + w))
            top, bottom = (min(max(edge, 0), clip.height) / clip.height for edge in (y, y + h))
            if left < right and top < bottom:
                numbers = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
                text = " ".join(f"{value:.7f}" for value in numbers)
                lines[mark.frame].append(f"{number} {text}\n")
    for frame, rows in lines.items():
        name = pathlib.Path(image_name(clip, frame)).with_suffix(".txt")
        write_whole(labels / name, "".join(rows))
    # JSON is YAML, and quotes any name.
    names = "".join(f"  {n}: {json.dumps(track.name)}\n" for n, track in enumerate(tracks))
    head = f"# {clip.width} x {clip.height}, {clip.fps:g} frames a second\n"
    text = f"{head}path: .\ntrain: images/train\nval: images/train\nnames:\n{names}"
    write_whole(pathlib.Path(path) / "data.yaml", text)


def read(path, width: int, height: int) -> list[Track]:
    """Reads a folder that `write` wrote.

    Args:
      path: the folder.
      width: of a frame in pixels.
      height: of a frame in pixels.

    Returns:
      A track for each class; who drew a box is not known.

    Raises:
      ValueError: it is none.
    """
    names: dict[int, str] = {}
    marks: dict[int, list[Mark]] = {}
    try:
        for line in (pathlib.Path(path) / "data.yaml").read_text(encoding="utf-8").splitlines():
            number, _, name = line.strip().partition(": ")
            if number.isdecimal():
                names[int(number)] = json.loads(name)
        for file in sorted((pathlib.Path(path) / "labels" / "train").glob("*.txt")):
            frame = int(file.stem.rpartition("_")[2])
            for line in file.read_text().splitlines():
                number, *numbers = line.split()
                x, y, w, h = map(float, numbers)
                left, top = round((x - w / 2) * width, 3), round((y - h / 2) * height, 3)
                box = left, top, round(w * width, 3), round(h * height, 3)
                mark = Mark(frame, box, key=False)
                marks.setdefault(int(number), []).append(mark)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is no folder of YOLO labels as written here: {error}") from None
    return [make_track(names[number], found) for number, found in sorted(marks.items())]
