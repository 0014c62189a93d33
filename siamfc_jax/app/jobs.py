"""Clips that people opened, and the tracking of them in the background, one at a time."""

import concurrent.futures
import contextlib
import dataclasses
import functools
import pathlib
import threading
from collections.abc import Callable

import numpy as np

from siamfc_jax.annotation import annotator
from siamfc_jax.annotation import job as jobs
from siamfc_jax.app import projects
from siamfc_jax.app.frames import FrameReader
from siamfc_jax.app.projects import Project, Tracks
from siamfc_jax.media import drawing, video

MAX_WAITING = 4  # clips waiting to be tracked, the one in work included


@dataclasses.dataclass
class Run:
    """One tracking of a clip, filled by the worker and read by whoever wants to know.

    Attributes:
      phase: waiting, tracking, then done, stopped or failed.
      error: why it failed.
      done: frames that were tracked, of both passes, the backward one first.
      total: how many there will be.
      rows: `[object, frame, x, y, w, h, confidence, lost]` in the order in which they were found;
        a later row stands for an earlier one of the same object and frame.
      live: (frame number, u8[H, W, 3], its rows), what the worker saw last.
      stop: set to end it.
      future: the work.
    """

    phase: str = "waiting"
    error: str = ""
    done: int = 0
    total: int = 0
    rows: list = dataclasses.field(default_factory=list)
    live: tuple | None = None
    stop: threading.Event = dataclasses.field(default_factory=threading.Event)
    future: concurrent.futures.Future | None = None


@dataclasses.dataclass
class Clip:
    """A video that was opened.

    Attributes:
      folder: where its files lie.
      path: what `open_source` takes.
      shape: (H, W, 3) of its frames.
      count: number of frames.
      fps: frames a second.
      frames: reads any of them.
      open_source: `video.open_source`, settings filled in, which opened it.
      project: what a person drew.
      tracks: what was tracked from it.
      version: grows with each change of the project, so that two tabs notice each other.
      run: its latest tracking.
      users: requests that are being answered from it.
    """

    folder: pathlib.Path
    path: str
    shape: tuple
    count: int
    fps: float
    frames: FrameReader
    open_source: Callable
    project: Project = projects.EMPTY
    tracks: Tracks = dataclasses.field(default_factory=dict)
    version: int = 0
    run: Run | None = None
    users: int = 0


def open_clip(folder, path: str, *, open_source) -> Clip:
    """Opens a video and reads its first frame, or all where it does not say how many there are.

    Args:
      folder: where its files lie.
      path: what `open_source` takes.
      open_source: `video.open_source`, settings filled in.

    Returns:
      The clip.

    Raises:
      ValueError: it cannot be read; the text does not tell where it lies.
    """

    def open_frames(start):
        return _told(open_source(path, start=start).frames, path)

    try:
        source = open_source(path)
        _, first = next(source.frames)
        count = source.length or 1 + sum(1 for _ in source.frames)
    except ValueError as error:
        raise ValueError(_without_path(error, path)) from None
    source.frames.close()
    reader = FrameReader(open_frames)
    return Clip(pathlib.Path(folder), path, first.shape, count, source.fps, reader, open_source)


def active(clip: Clip) -> bool:
    """Says whether a clip waits to be tracked or is in work."""
    return clip.run is not None and clip.run.phase in ("waiting", "tracking")


def choose_spans(project: Project, what: dict) -> list[jobs.Span]:
    """Chooses what to track.

    Args:
      project: what a person drew.
      what: `{"direction": "all"}` for everything, with `"backward": true` also from the first
        key box of each object to the beginning; or `{"direction": "forward" or "backward",
        "frame": number, "objects": identities}` from their key boxes in one frame.

    Returns:
      The spans.

    Raises:
      ValueError: nothing is to be tracked.
    """
    whole = projects.make_job(project)
    # An object that has ended is gone until its next key box, so nothing leads back from there.
    spans = [s for s in jobs.spans(whole, backward=True) if s.first or s.stop is None]
    spans = [s for s in spans if s.first or (s.last and s.last.frame > 0)]
    # Two key boxes beside each other leave no frame between them.
    spans = [s for s in spans if not (s.first and s.last and s.last.frame - s.first.frame < 2)]
    if what.get("direction") in ("forward", "backward"):
        side = "first" if what["direction"] == "forward" else "last"
        names = {o.name for o in project.objects if o.id in (what.get("objects") or [])}
        here = [s for s in spans if s.name in names and getattr(s, side) is not None]
        spans = [s for s in here if getattr(s, side).frame == what.get("frame")]
    elif not what.get("backward"):
        spans = [s for s in spans if s.first]
    if not spans:
        raise ValueError("there is nothing to track; draw a box in this frame first")
    return spans


def begin(worker, clip: Clip, spans, clips, load: Callable) -> None:
    """Puts a clip in the queue of a worker.

    Args:
      worker: an executor with one thread.
      clip: what to track.
      spans: what of it, from `choose_spans`.
      clips: all there are.
      load: () -> (params of `tracker.prepare`, settings of the tracker).

    Raises:
      ValueError: the clip is in the queue already, or that is full.
    """
    if active(clip):
        raise ValueError("this video is being tracked; stop that first")
    if sum(map(active, clips)) >= MAX_WAITING:
        raise ValueError(f"{MAX_WAITING} videos wait already; try again when one is done")
    run = clip.run = Run()
    run.future = worker.submit(_track, clip, run, spans, load)
    run.future.add_done_callback(functools.partial(_finish, clip, run))


def cancel(clip: Clip) -> None:
    """Ends the tracking of a clip, after the frame that is in work."""
    if clip.run:
        clip.run.stop.set()
        if clip.run.future:
            clip.run.future.cancel()


def render(clip: Clip, path) -> None:
    """Writes a video with all boxes that are not hidden.

    Args:
      clip: what to write.
      path: the file, `.mp4`.

    Raises:
      ValueError: it cannot be read or written.
    """
    project = clip.project
    names = [o.name for o in project.objects]
    colors = [tuple(bytes.fromhex(o.color[1:])) for o in project.objects]
    listed = projects.frames(project, clip.tracks, clip.count)
    source = _told(clip.open_source(clip.path).frames, clip.path)
    with contextlib.closing(source), video.video_writer(path, clip.shape, fps=clip.fps) as write:
        for (_, frame), (_, shown) in zip(source, listed, strict=False):
            seen = [s for s in shown if not s.object.hidden]
            places = [project.objects.index(s.object) for s in seen]
            write(
                drawing.draw(
                    frame,
                    [np.asarray(s.box, np.float32) for s in seen],
                    [s.confidence for s in seen],
                    [s.lost for s in seen],
                    [names[place] for place in places],
                    colors=[colors[place] for place in places],
                )
            )


def _told(frames, path):
    """Hides where the video lies from the text of errors."""
    with contextlib.closing(frames):
        try:
            yield from frames
        except ValueError as error:
            raise ValueError(_without_path(error, path)) from None


def _track(clip, run, spans, load):
    run.phase = "tracking"
    identities = {o.name: o.id for o in clip.project.objects}
    landmarks: dict = {}
    behind: dict = {}  # frame -> name -> estimate of the backward pass

    def open_frames(start, stop):
        return clip.open_source(clip.path, start=start, stop=stop, landmarks=landmarks).frames

    def keep(row):
        rows = []
        known = behind.get(row.number, {})
        for name, estimate in row.estimates.items():
            if name in row.keys or estimate is known.get(name):
                continue
            box = [round(float(value), 3) for value in estimate.box]
            rest = [round(float(estimate.confidence), 4), int(estimate.lost)]
            rows.append([identities[name], row.number, *box, *rest])
        for identity, number, *values in rows:
            clip.tracks.setdefault(identity, {})[number] = values
        run.rows += rows
        run.done += 1
        run.live = row.number, row.frame, rows

    ahead = annotator.forward_range(spans, clip.count)
    run.total = len(annotator.backward_range(spans)) + len(ahead)
    params, config = load()
    for row in annotator.look_back(params, open_frames, spans, config=config):
        keep(row)
        behind[row.number] = row.estimates
        if run.stop.is_set():
            return
    frames = open_frames(ahead.start, ahead.stop) if ahead else ()
    for row in annotator.annotate(params, frames, spans, behind, config=config):
        keep(row)
        if run.stop.is_set():
            return


def _finish(clip, run, future):
    error = None if future.cancelled() else future.exception()
    if error:
        run.error = _without_path(error, clip.path)
    run.phase = "failed" if error else "stopped" if run.stop.is_set() else "done"


def _without_path(error, path):
    return str(error).replace(path, "this video").partition("\n")[0]
