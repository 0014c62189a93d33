"""Clips that people opened, and the tracking of them in the background, one at a time."""

import concurrent.futures
import contextlib
import dataclasses
import functools
import json
import pathlib
import threading

import numpy as np

from siamfc_jax.geometry import check_box
from siamfc_jax.media import box_files, drawing, video
from siamfc_jax.tracking import loop

MAX_OBJECTS = 20
MAX_NAME = 40  # characters
MAX_WAITING = 4  # clips waiting to be tracked, the one in work included


@dataclasses.dataclass
class Job:
    """One tracking of a clip, filled by the worker and read by whoever wants to know.

    Attributes:
      names: of N objects.
      boxes: f32[N, 4] in the first frame.
      phase: waiting, tracking, then done, stopped or failed.
      error: why it failed, or what of the clip is damaged.
      rows: one a frame, `{"frame": number, "scores": N values or None, "lost": N booleans}`.
      picture: u8[H, W, 3], the newest frame with its boxes.
      stop: set to end it.
      future: the work.
    """

    names: list
    boxes: np.ndarray
    phase: str = "waiting"
    error: str = ""
    rows: list = dataclasses.field(default_factory=list)
    picture: np.ndarray | None = None
    stop: threading.Event = dataclasses.field(default_factory=threading.Event)
    future: concurrent.futures.Future | None = None


@dataclasses.dataclass
class Clip:
    """A video that was opened.

    Attributes:
      folder: where its results go.
      path: what `open_source` takes.
      first: u8[H, W, 3].
      count: number of frames, None where nobody knows.
      fps: frames a second.
      job: its latest tracking.
    """

    folder: pathlib.Path
    path: str
    first: np.ndarray
    count: int | None
    fps: float
    job: Job | None = None


def open_clip(folder, path: str, *, open_source) -> Clip:
    """Opens a video and reads its first frame.

    Args:
      folder: where its results shall go.
      path: what `open_source` takes.
      open_source: `video.open_source`, settings filled in.

    Returns:
      The clip.

    Raises:
      ValueError: it cannot be read; the text does not tell where it lies.
    """
    try:
        source = open_source(path)
        _, first = next(source.frames)
    except ValueError as error:
        raise ValueError(_without_path(error, path)) from None
    source.frames.close()
    return Clip(pathlib.Path(folder), path, first, source.count, source.fps)


def read_objects(text, frame_shape):
    """Reads what to follow.

    Args:
      text: JSON, `[{"name": "car", "box": [x, y, w, h]}, ...]`.
      frame_shape: (H, W, ...) of the frame.

    Returns:
      (names, boxes f32[N, 4]).

    Raises:
      ValueError: not of that form, too many, a name twice, or a box not of this frame.
    """
    try:
        objects = json.loads(text)
        names = [str(entry["name"]).strip()[:MAX_NAME] for entry in objects]
        boxes = [entry["box"] for entry in objects]
    except (KeyError, TypeError, ValueError):
        raise ValueError('objects are [{"name": text, "box": [x, y, w, h]}, ...]') from None
    if not 1 <= len(boxes) <= MAX_OBJECTS:
        raise ValueError(f"1 to {MAX_OBJECTS} boxes can be followed, got {len(boxes)}; draw some")
    if not all(names) or len(set(names)) < len(names):
        raise ValueError(f"every object needs a name of its own, got {', '.join(names)}")
    return names, np.stack([check_box(box, frame_shape) for box in boxes])


def active(clip: Clip) -> bool:
    """Says whether a clip waits to be tracked or is in work."""
    return clip.job is not None and clip.job.phase in ("waiting", "tracking")


def begin(worker, clip: Clip, job: Job, clips, **settings) -> None:
    """Puts a clip in the queue of a worker.

    Args:
      worker: an executor with one thread.
      clip: what to track.
      job: with what; becomes the clip's.
      clips: all there are.
      **settings: `params`, `config` and `open_source` of the tracking.

    Raises:
      ValueError: the clip is in the queue already, or that is full.
    """
    if active(clip):
        raise ValueError("this video is being tracked; stop that first")
    if sum(map(active, clips)) >= MAX_WAITING:
        raise ValueError(f"{MAX_WAITING} videos wait already; try again when one is done")
    clip.job = job
    job.future = worker.submit(_track, clip, job, **settings)
    job.future.add_done_callback(functools.partial(_finish, clip, job))


def cancel(clip: Clip) -> None:
    """Ends the tracking of a clip, after the frame that is in work."""
    if clip.job:
        clip.job.stop.set()
        clip.job.future.cancel()


def _track(clip, job, *, params, config, open_source):
    job.phase = "tracking"
    source = open_source(clip.path)
    steps = loop.follow(params, source.frames, job.boxes, config=config)
    with contextlib.ExitStack() as stack:
        writer = video.video_writer(clip.folder / "tracked.mp4", clip.first.shape, fps=source.fps)
        write_video = stack.enter_context(writer)
        writers = [
            stack.enter_context(box_files.box_writer(clip.folder / f"boxes.{form}", job.names))
            for form in ("csv", "json")
        ]
        for found in steps:
            job.picture = drawing.draw(
                found.frame, found.boxes, found.confidences, found.lost, job.names
            )
            write_video(job.picture)
            for write_boxes in writers:
                write_boxes(found.number, found.boxes, found.scores, found.confidences, found.lost)
            scores = [round(float(s), 4) if np.isfinite(s) else None for s in found.scores]
            row = {"frame": found.number, "scores": scores, "lost": found.lost.tolist()}
            job.rows.append(row)
            if job.stop.is_set():
                break
    if source.gaps:
        job.error = _without_path(source.gaps[0], clip.path)


def _finish(clip, job, future):
    error = None if future.cancelled() else future.exception()
    if error:
        job.error = _without_path(error, clip.path)
    job.phase = "failed" if error else "stopped" if job.stop.is_set() else "done"


def _without_path(error, path):
    return str(error).replace(path, "this video").partition("\n")[0]
