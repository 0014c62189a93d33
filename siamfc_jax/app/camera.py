"""Objects that are followed on the pictures of a camera, one by one as they come."""

import dataclasses
import io
import pathlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from siamfc_jax.annotation import places
from siamfc_jax.app import jobs, projects, uploads
from siamfc_jax.app.frames import FrameReader
from siamfc_jax.app.projects import Tracks
from siamfc_jax.geometry import check_box
from siamfc_jax.images import read_rgb
from siamfc_jax.media import video

MAX_PICTURE = 4  # MiB
MAX_PIXELS = 1280 * 960  # of a picture
MAX_OBJECTS = 8  # at a time
MAX_ROWS = 1_000_000  # boxes that are remembered: 9 hours of one object
MAX_RECORDING = uploads.MAX_UPLOAD  # MiB of pictures that are kept


@dataclasses.dataclass
class Camera:
    """What a camera has shown so far.

    Attributes:
      folder: where its files lie; the pictures in `images`.
      load: () -> (params of `tracker.prepare`, settings of the tracker).
      shape: (H, W, 3) of its pictures, empty before the first.
      count: number of pictures so far.
      kept: how many of them, the first ones, lie in the folder.
      size: bytes of those.
      began: when the first one came, in seconds of `time.monotonic`.
      seen: when it was last heard of.
      model: what `load` returned.
      active: the objects under way, by identity as text.
      objects: how the page calls and paints them, as in a project.
      keys: (object, frame) -> box that a person drew.
      ends: (object, frame) from which on an object is no longer followed.
      tracks: where they were found.
      rows: number of those boxes.
      busy: whether a request for it is in work.
      ended: whether nobody asks for it any more.
    """

    folder: pathlib.Path
    load: Callable
    shape: tuple[int, ...] = ()
    count: int = 0
    kept: int = 0
    size: int = 0
    began: float = 0.0
    seen: float = 0.0
    model: tuple | None = None
    active: places.Places | None = None
    objects: list = dataclasses.field(default_factory=list)
    keys: dict = dataclasses.field(default_factory=dict)
    ends: set = dataclasses.field(default_factory=set)
    tracks: Tracks = dataclasses.field(default_factory=dict)
    rows: int = 0
    busy: bool = False
    ended: bool = False


def open_camera(folder: pathlib.Path, load: Callable) -> Camera:
    """Begins with a camera that has shown nothing.

    Args:
      folder: where its files shall lie.
      load: () -> (params of `tracker.prepare`, settings of the tracker).

    Returns:
      The camera.
    """
    (folder / "images").mkdir()
    return Camera(folder, load, seen=time.monotonic())


def follow(camera: Camera, jpeg: bytes) -> dict[str, Any]:
    """Finds all objects in the next picture.

    Args:
      camera: which.
      jpeg: the picture.

    Returns:
      `frame`, its number from 0; `rows`, `[object, x, y, w, h, confidence, lost]` of each; and
      `recorded`, whether the picture is kept.

    Raises:
      ValueError: it is no JPEG, too large, or of another size than those before.
    """
    picture, number = _decode(camera, jpeg), camera.count
    if camera.active is None:  # compiles all that later pictures need
        camera.model, camera.shape = camera.load(), picture.shape
        params, config = camera.model
        camera.active = places.make_places(params, picture, 1, config=config)
        camera.began = time.monotonic()
    assert camera.model is not None
    params, config = camera.model
    camera.active, estimates = places.update(params, camera.active, picture, config=config)
    rows = []
    for name, estimate in estimates.items():
        box = [round(float(value), 3) for value in estimate.box]
        row = [*box, round(float(estimate.confidence), 4), int(estimate.lost)]
        rows.append([int(name), *row])
        if camera.rows < MAX_ROWS:
            camera.tracks.setdefault(int(name), {})[number] = row
            camera.rows += 1
    # The first ones without a gap, so that their numbers are those of the clip.
    recorded = camera.kept == number and camera.size + len(jpeg) <= MAX_RECORDING * 2**20
    if recorded:
        (camera.folder / "images" / f"{number:08}.jpg").write_bytes(jpeg)
        camera.kept, camera.size = number + 1, camera.size + len(jpeg)
    camera.count, camera.seen = number + 1, time.monotonic()
    return {"frame": number, "rows": rows, "recorded": recorded}


def draw(camera: Camera, jpeg: bytes, identity: int, number: int, box) -> None:
    """Begins to follow an object, or corrects it: from now on its appearance is that of the box.

    Boxes that were found of it in later pictures, while the person drew, are forgotten.

    Args:
      camera: which.
      jpeg: the picture that the box was drawn on, one of those that it has shown.
      identity: of the object.
      number: of the picture.
      box: `[x, y, w, h]` in its pixels.

    Raises:
      ValueError: there is no such picture, the box is none in it, or there are too many objects.
    """
    if not 0 <= number < camera.count:
        raise ValueError(f"the camera has shown {camera.count} pictures, none with number {number}")
    picture, box = _decode(camera, jpeg), check_box(box, camera.shape)
    assert camera.active is not None and camera.model is not None  # as there was a picture
    names = [name for name in camera.active.names if name]
    if str(identity) not in names and len(names) >= MAX_OBJECTS:
        raise ValueError(f"{MAX_OBJECTS} objects are followed at a time; remove one first")
    params, config = camera.model
    name = str(identity)
    camera.active = places.add(params, camera.active, picture, box, name, config=config)
    track = camera.tracks.get(identity, {})
    for later in [frame for frame in track if frame > number]:
        del track[later]
    camera.ends = {(o, frame) for o, frame in camera.ends if o != identity or frame <= number}
    camera.keys[identity, number] = [round(float(value), 3) for value in box]


def remove(camera: Camera, identity: int) -> None:
    """Follows an object no longer; its boxes so far stay.

    Args:
      camera: which.
      identity: of the object.

    Raises:
      ValueError: it is not followed.
    """
    if camera.active is None or str(identity) not in camera.active.names:
        raise ValueError(f"there is no object {identity}")
    camera.active = places.remove(camera.active, str(identity))
    camera.ends.add((identity, camera.count))


def describe_boxes(camera: Camera) -> jobs.Clip:
    """Describes all boxes so far as those of a clip without pictures, to be written to a file.

    Args:
      camera: which.

    Returns:
      The clip.

    Raises:
      ValueError: there is no box, or the names of the objects are none.
    """
    if not camera.keys:
        raise ValueError("there is no box yet; draw one first")
    rate, reader = _rate(camera), FrameReader(lambda start: iter(()))
    clip = jobs.Clip(
        camera.folder, "", camera.shape, camera.count, rate, reader, video.open_source
    )  # fmt: skip
    return _fill(clip, camera)


def make_clip(camera: Camera) -> jobs.Clip:
    """Makes a clip of the pictures that were kept and the boxes in them.

    Args:
      camera: which; it must show nothing more.

    Returns:
      The clip, with pictures as long as they were recorded.

    Raises:
      ValueError: there is no picture.
    """
    if not camera.kept:
        raise ValueError("the camera has shown nothing yet")
    path = str(camera.folder / "images")
    clip = jobs.open_clip(camera.folder, path, open_source=video.open_source)
    clip.fps = _rate(camera)
    return _fill(clip, camera)


def _fill(clip, camera):
    data = {
        "objects": camera.objects,
        "keys": [
            {"object": o, "frame": frame, "box": box}
            for (o, frame), box in camera.keys.items()
            if frame < clip.count
        ],
        "ends": [
            {"object": o, "frame": frame} for o, frame in camera.ends if frame < clip.count
        ],
    }  # fmt: skip
    clip.project = projects.read_project(data, clip.shape, clip.count)
    clip.tracks = {
        o: {frame: row for frame, row in track.items() if frame < clip.count}
        for o, track in camera.tracks.items()
    }
    return clip


def _rate(camera):
    """Returns the frames a second with which the pictures came, as a video has them."""
    seconds = camera.seen - camera.began
    return round(min(max(camera.count / seconds, 1.0), 120.0), 2) if seconds > 0 else 25.0


def _decode(camera, jpeg) -> np.ndarray:
    if not jpeg.startswith(b"\xff\xd8"):
        raise ValueError("this is no picture of a camera; expected a JPEG")
    width, height = uploads.check_pixels(io.BytesIO(jpeg), MAX_PIXELS)
    if camera.shape and (height, width) != camera.shape[:2]:
        raise ValueError(
            f"the camera showed {camera.shape[1]} x {camera.shape[0]} pixels and now {width} x "
            f"{height}; begin anew"
        )
    return read_rgb(jpeg, name="of the camera", turn=False)
