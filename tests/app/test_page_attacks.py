"""Attacks on the page, and what bounds it."""

import asyncio
import os
import pathlib
import signal
import subprocess
import sys
import time
import types

import page_attacks
import pytest
import tiny_networks

from siamfc_jax.config import TrackerConfig
from siamfc_jax.network.saved_models import Model, save_model

pytest.importorskip("starlette", reason="needs pip install -r requirements-web.txt")
pytest.importorskip("uvicorn", reason="needs pip install -r requirements-web.txt")

from starlette.exceptions import HTTPException

from siamfc_jax.app import gate, page, scratch, uploads

ROOT = pathlib.Path(page_attacks.__file__).parents[2]


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Starts servers with a tiny network: start(*words)."""
    folder = tmp_path_factory.mktemp("attacks")
    network = Model(tiny_networks.variables(), tiny_networks.CONFIG, TrackerConfig(num_scales=1))
    save_model(folder / "weights", network)
    servers = []

    def start(*words):
        place = folder / str(len(servers))
        place.mkdir()
        server = page_attacks.Server(ROOT, place, "--weights", folder / "weights", *words)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.end()
        assert not list(server.temporary.iterdir())


@pytest.fixture(scope="module")
def server(start):
    """A server for this machine."""
    return start()


@pytest.fixture(scope="module")
def open_server(start):
    """A server that others reach."""
    return start("--host", "0.0.0.0")


@pytest.mark.parametrize(
    "attack",
    [
        page_attacks.unfinished_uploads,
        page_attacks.uploads_at_once,
        page_attacks.eviction_while_downloaded,
        page_attacks.headers,
        page_attacks.ranges,
        page_attacks.far_frame,
        page_attacks.large_claim,
        page_attacks.empty_images,
        page_attacks.long_body,
        page_attacks.exports_at_once,
    ],
    ids=lambda attack: attack.__name__,
)
def test_attack(attack, server):
    outcome = attack(server)
    assert outcome.held, outcome.text


@pytest.mark.parametrize("name", page_attacks.JSON)
def test_bad_json(name, server):
    outcome = page_attacks.bad_json(server, page_attacks.JSON[name])
    assert outcome.held, outcome.text


def test_whole_characters_and_usual_numbers_pass():
    text = '{"name": "\\ud83d\\ude00 é", "n": -99999999999999, "x": 1e-400}'
    assert uploads.parse(text.encode()) == {"name": "\U0001f600 é", "n": 1 - 10**14, "x": 0}


def test_other_names_are_refused_on_this_machine(server):
    names = ["elsewhere.example", "127.0.0.1:1", "localhost", "127.0.0.1.elsewhere.example:80", ""]
    outcome = page_attacks.hosts(server, names)
    assert outcome.held, outcome.text
    for name in ("localhost", "127.0.0.1", "[::1]"):
        assert server.ask("GET", "/", Host=f"{name}:{server.port}")[0] == 200


def test_others_need_the_token_and_an_address_as_name(open_server):
    outcome = page_attacks.without_token(open_server)
    assert outcome.held, outcome.text
    names = ["elsewhere.example", "", "10.0.0.1.elsewhere.example", "10.0.0.1:x", "[::1"]
    outcome = page_attacks.hosts(open_server, names)
    assert outcome.held, outcome.text
    for name in ("10.0.0.1:8000", "[fe80::1]:80", "localhost"):
        assert open_server.ask("GET", "/", Host=name)[0] == 200
    # Without its last slash the page would look for its parts at the wrong place.
    status, headers, _ = open_server.ask("GET", "")
    assert (status, headers["Location"]) == (307, f"{open_server.path}/")
    here = page_attacks.opened(open_server)
    assert open_server.ask("GET", here + "/frames/0")[0] == 200


def answer(guarded, **scope):
    """Asks an application in this process: (status, headers)."""
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", **scope}
    asyncio.run(guarded(scope, None, send))
    pairs = [(name.decode().lower(), value.decode()) for name, value in sent[0]["headers"]]
    return sent[0]["status"], dict(pairs)


async def greet(scope, receive, send):
    """An application."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def test_a_notebook_may_show_the_page_in_a_frame_by_its_token_only():
    assert gate.make_token("127.0.0.1") is None
    token = gate.make_token("127.0.0.1", embed=True)
    guarded = gate.guard(greet, host="127.0.0.1", token=token, embed=True)
    host = {"headers": [(b"host", b"8000-colab.example")]}
    status, headers = answer(guarded, path=f"/{token}/", **host)
    assert status == 200
    assert "x-frame-options" not in headers
    assert "frame-ancestors" not in headers["content-security-policy"]
    assert answer(guarded, path="/", **host)[0] == 403
    assert answer(guarded, path=f"/{token[:-1]}/", **host)[0] == 403


def test_who_takes_nothing_of_an_answer_is_left(monkeypatch):
    monkeypatch.setattr(gate, "MAX_STALL", 0.05)

    async def stuck(message):
        await asyncio.sleep(60)

    guarded = gate.guard(greet, host="::1", token=None)
    name = [(b"host", b"[::1]:80")]
    scope = {"type": "http", "path": "/", "server": ("::1", 80), "headers": name}
    begin = time.monotonic()
    asyncio.run(guarded(scope, None, stuck))
    assert time.monotonic() - begin < 5


class Request:
    """A request whose body comes part by part."""

    def __init__(self, parts, seconds=0.0, **headers):
        self.parts, self.seconds, self.headers, self.taken = parts, seconds, headers, 0

    async def stream(self):
        """Yields the parts, each after some time."""
        for part in self.parts:
            await asyncio.sleep(self.seconds)
            self.taken += 1
            yield part


def read(request):
    """Reads the body of a request of at most 1 MiB."""

    async def parts():
        return [part async for part in uploads.read(request, 1)]

    return asyncio.run(parts())


def test_too_much_is_refused_on_its_way():
    request = Request([bytes(uploads.MEBIBYTE // 2 + 1)] * 3)
    with pytest.raises(HTTPException, match="that is more than 1 MB"):
        read(request)
    assert request.taken == 2
    request = Request([b"x"], **{"content-length": "1" + "0" * 5000})
    with pytest.raises(HTTPException, match="that is more than 1 MB"):
        read(request)
    assert request.taken == 0
    assert read(Request([b"x", b"y"])) == [b"x", b"y"]


@pytest.mark.parametrize("name, seconds", [("MAX_SILENCE", 0.3), ("MAX_SECONDS", 0.02)])
def test_what_does_not_come_is_not_waited_for(monkeypatch, name, seconds):
    monkeypatch.setattr(uploads, name, 0.1)
    request = Request([b"x"] * 20, seconds)
    with pytest.raises(HTTPException, match="that came too slowly; send it again"):
        read(request)
    assert request.taken < 10


def kept_clip(folder, name, **more):
    """Makes a clip of which nothing but its folder is there."""
    (folder / name).mkdir()
    frames = types.SimpleNamespace(close=lambda: None)
    made = {"folder": folder / name, "run": None, "frames": frames, "users": 0} | more
    return types.SimpleNamespace(**made)


def test_the_clip_that_nobody_used_for_longest_goes_first(tmp_path):
    state = types.SimpleNamespace(clips={})
    tracked = types.SimpleNamespace(phase="tracking")
    for number in range(page.MAX_CLIPS + 2):
        more = {0: {"run": tracked}, 1: {"users": 1}}.get(number, {})
        asyncio.run(page._keep(state, kept_clip(tmp_path, str(number), **more)))
    # 0 is tracked and 1 in use, so 2 and 3 went.
    kept = {"0", "1", *map(str, range(4, page.MAX_CLIPS + 2))}
    assert set(state.clips) == {path.name for path in tmp_path.iterdir()} == kept
    for clip in state.clips.values():
        clip.users = 1
    with pytest.raises(HTTPException, match="8 videos are in use already; try again later"):
        asyncio.run(page._keep(state, kept_clip(tmp_path, "last")))
    assert set(state.clips) == kept


HOLD = """
import sys
from siamfc_jax.app import scratch
with scratch.temporary_folder() as folder:
    (folder / "clip").write_bytes(b"x")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def hold(tmp_path):
    """Starts processes that each have a temporary folder: hold() -> (process, folder)."""
    processes = []

    def hold():
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            cwd=ROOT, env=os.environ | {"TMPDIR": str(tmp_path)},
        )  # fmt: skip
        processes.append(process)
        return process, pathlib.Path(process.stdout.readline().strip())

    yield hold
    for process in processes:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_what_a_killed_process_left_is_removed_and_nothing_else(hold, tmp_path):
    killed, left = hold()
    living, kept = hold()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"{scratch.PREFIX}link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / f"{scratch.PREFIX}file").write_text("x")
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert left.is_dir() and kept.is_dir()
    third, own = hold()
    assert not left.exists()
    assert (kept / "clip").is_file() and (own / "clip").is_file()
    assert (tmp_path / "elsewhere").is_dir() and (tmp_path / f"{scratch.PREFIX}file").is_file()
    for process in (living, third):  # these end by themselves and take all with them
        process.stdin.close()
        process.wait()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["elsewhere", f"{scratch.PREFIX}file", f"{scratch.PREFIX}link"]
