"""Label Studio: JSON of one task, whose objects are `videorectangle`s.

https://labelstud.io/tags/videorectangle. Frames count from 1, x, y, width and height are in
percent of the frame, and a box with `enabled: false` is the last one before the object is gone.
"""

import json
import pathlib

from siamfc_jax.annotation.tracks import Clip, Mark, Track, pieces
from siamfc_jax.files import write_whole

PLACES = 6  # decimals of a percentage: .0001 px of 10,000


def write(path, clip: Clip, tracks: list[Track]) -> None:
    """Writes a JSON file for Import, in a project with `<VideoRectangle name="box"
    toName="video"/>`.

    Args:
      path: file to write.
      clip: the video.
      tracks: its objects; the label of each is its name.

    Raises:
      OSError: the place cannot be written.
    """
    count = clip.frames[-1] + 1
    results = []
    for number, track in enumerate(tracks, start=1):
        sequence = []
        for piece in pieces(clip, track):
            for mark in piece:
                x, y, w, h = mark.box
                parts = x / clip.width, y / clip.height, w / clip.width, h / clip.height
                sequence.append({
                    "frame": mark.frame + 1, "time": round((mark.frame + 1) / clip.fps, 6),
                    "enabled": mark is not piece[-1], "rotation": 0,
                    **dict(zip(("x", "y", "width", "height"),
                               (round(100 * part, PLACES) for part in parts), strict=True)),
                    "score": mark.confidence, "drawn": mark.key, "lost": mark.lost,
                })  # fmt: skip
        value = {"framesCount": count, "duration": round(count / clip.fps, 6),
                 "labels": [track.name], "sequence": sequence}  # fmt: skip
        results.append({"id": f"track{number}", "from_name": "box", "to_name": "video",
                        "type": "videorectangle", "origin": "manual", "value": value})  # fmt: skip
    data = {"video": clip.name, "width": clip.width, "height": clip.height, "fps": clip.fps}
    data["frames"] = list(clip.frames)
    task = {"data": data, "annotations": [{"result": results}]}
    write_whole(path, json.dumps([task]) + "\n")


def read(path) -> tuple[Clip, list[Track]]:
    """Reads a file that `write` wrote.

    Args:
      path: the file.

    Returns:
      (clip, tracks).

    Raises:
      ValueError: the file is missing, or not of that form.
    """
    try:
        (task,) = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        data = task["data"]
        frames = tuple(data["frames"])
        clip = Clip(data["video"], data["width"], data["height"], data["fps"], frames)
        tracks = []
        for result in task["annotations"][0]["result"]:
            marks = []
            for each in result["value"]["sequence"]:
                sides = (clip.width, clip.height) * 2
                percents = (each[name] for name in ("x", "y", "width", "height"))
                box = tuple(round(p * s / 100, 3) for p, s in zip(percents, sides, strict=True))
                marks.append(
                    Mark(each["frame"] - 1, box, each["drawn"], each["score"], each["lost"])
                )
            tracks.append(Track(result["value"]["labels"][0], tuple(marks)))
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error
    except (KeyError, TypeError, IndexError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is not a task of Label Studio as written here: {error!r}"
        ) from None
    return clip, tracks
