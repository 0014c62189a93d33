"""COCO: JSON of images and boxes, where each box has the identity of its track.

https://cocodataset.org/#format-data; `track_id`, `video_id` and `frame_id` as in TAO and
YouTube-VIS, and once more among the `attributes`, where CVAT and Datumaro look for them.
"""

import json
import pathlib

from siamfc_jax.annotation.tracks import Clip, Mark, Track, make_track
from siamfc_jax.files import write_whole


def image_name(clip: Clip, frame: int) -> str:
    """Returns the name of the image of a frame, such as `clip_000012.jpg`."""
    return f"{pathlib.Path(clip.name).stem}_{frame:06d}.jpg"


def write(path, clip: Clip, tracks: list[Track]) -> None:
    """Writes a JSON file; images are named as ffmpeg would store them, but not stored.

    Args:
      path: file to write.
      clip: the video.
      tracks: its objects; the category of each is its name.

    Raises:
      OSError: the place cannot be written.
    """
    annotations: list[dict] = []
    content = {
        "info": {"description": clip.name, "fps": clip.fps},
        "licenses": [],
        "videos": [{"id": 1, "name": clip.name, "width": clip.width, "height": clip.height}],
        "images": [
            {"id": frame + 1, "file_name": image_name(clip, frame), "width": clip.width,
             "height": clip.height, "video_id": 1, "frame_id": frame}
            for frame in clip.frames
        ],
        "categories": [
            {"id": number, "name": track.name, "supercategory": ""}
            for number, track in enumerate(tracks, start=1)
        ],
        "tracks": [
            {"id": number, "category_id": number, "video_id": 1}
            for number, _ in enumerate(tracks, start=1)
        ],
        "annotations": annotations,
    }  # fmt: skip
    for number, track in enumerate(tracks, start=1):
        for mark in track.marks:
            attributes = {"track_id": number, "keyframe": mark.key, "confidence": mark.confidence,
                          "lost": mark.lost}  # fmt: skip
            annotations.append({
                "id": len(annotations) + 1, "image_id": mark.frame + 1,
                "category_id": number, "bbox": list(mark.box),
                "area": round(mark.box[2] * mark.box[3], 3), "segmentation": [], "iscrowd": 0,
                "track_id": number, "video_id": 1, "attributes": attributes,
            })  # fmt: skip
    write_whole(path, json.dumps(content) + "\n")


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
        content = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        video = content["videos"][0]
        frames = {image["id"]: image["frame_id"] for image in content["images"]}
        names = {entry["id"]: entry["name"] for entry in content["categories"]}
        marks: dict[int, list[Mark]] = {track["id"]: [] for track in content["tracks"]}
        for each in content["annotations"]:
            extra = each["attributes"]
            marks[each["track_id"]].append(
                Mark(frames[each["image_id"]], tuple(each["bbox"]), extra["keyframe"],
                     extra["confidence"], extra["lost"])
            )  # fmt: skip
        fps = content["info"]["fps"]
        clip = Clip(video["name"], video["width"], video["height"], fps, tuple(frames.values()))
        tracks = [make_track(names[entry["category_id"]], marks[entry["id"]])
                  for entry in content["tracks"]]  # fmt: skip
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error
    except (KeyError, TypeError, IndexError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not COCO with tracks as written here: {error!r}") from None
    return clip, tracks
