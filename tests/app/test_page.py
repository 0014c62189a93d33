"""The page: its server as a process, and a person's way through it in a real browser."""

import asyncio
import contextlib
import csv
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import types
import urllib.error
import urllib.request

import numpy as np
import pytest
import tiny_networks

import track
from siamfc_jax.config import TrackerConfig
from siamfc_jax.media import video
from siamfc_jax.network.saved_models import Model, save_model

pytest.importorskip("starlette", reason="needs pip install -r requirements-web.txt")
pytest.importorskip("uvicorn", reason="needs pip install -r requirements-web.txt")

from starlette.exceptions import HTTPException

from siamfc_jax.app import page

ROOT = pathlib.Path(track.__file__).parent
COUNT, HEIGHT, WIDTH = 20, 60, 80
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A clip of a patch that moves, a network of random weights, a place for temporary files."""
    root = tmp_path_factory.mktemp("page")
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    patch = rng.integers(0, 255, (20, 24, 3), np.uint8)
    with video.video_writer(root / "clip.mp4", scene.shape, fps=10) as write:
        for number in range(COUNT):
            frame = scene.copy()
            frame[15:35, 20 + number : 44 + number] = patch
            write(frame)
    network = Model(tiny_networks.variables(), tiny_networks.CONFIG, TrackerConfig(num_scales=1))
    save_model(root / "weights", network)
    (root / "temporary").mkdir()
    return root


@pytest.fixture(scope="module")
def server(folder):
    """`track.py --serve` as a process; `url` is what it says to open."""
    command = [sys.executable, ROOT / "track.py", "--serve", "--port", "0"]
    command += ["--weights", folder / "weights", "--video", folder / "clip.mp4"]
    process = subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(folder / "temporary")},
    )
    line = process.stdout.readline()
    assert re.fullmatch(r"open http://127.0.0.1:\d+ in a browser; Ctrl-C ends\n", line)
    yield types.SimpleNamespace(process=process, url=line.split()[1])
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture
def ask(server):
    """Asks the server: (status, headers, JSON or bytes)."""

    def ask(method, path, body=None, **headers):
        request = urllib.request.Request(server.url + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, found, data = answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                status, found, data = error.code, error.headers, error.read()
        is_json = found["Content-Type"] == "application/json" and path[-5:] != ".json"
        return status, found, json.loads(data) if is_json else data

    return ask


def test_page_is_served_for_this_machine_only(ask):
    status, headers, text = ask("GET", "/")
    assert status == 200
    assert b"Which video?" in text
    assert f"up to {page.MAX_UPLOAD}&nbsp;MB".encode() in text
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert ask("GET", "/", Host="elsewhere.example")[0] == 400
    assert ask("POST", "/clips", b"")[0] == 405


def test_track_and_fetch(ask, folder):
    _, _, clip = ask("PUT", "/clips/sample")
    assert (clip["width"], clip["height"], clip["count"], clip["fps"]) == (80, 60, 20, 10)
    here = f"/clips/{clip['id']}"
    assert ask("GET", here + "/first.jpg")[2].startswith(b"\xff\xd8")
    for path in ("/progress", "/tracked.mp4"):
        status, _, answer = ask("GET", here + path)
        assert (status, answer["error"]) == (404, "nothing was tracked in this video yet")
    objects = [{"name": "patch", "box": [20, 15, 24, 20]}]
    status, _, clip = ask("PUT", here + "/objects", json.dumps(objects).encode())
    assert (status, clip["objects"]) == (200, objects)
    rows, phase = [], "waiting"
    while phase in ("waiting", "tracking"):
        _, _, news = ask("GET", f"{here}/progress?since={len(rows)}")
        rows, phase = rows + news["rows"], news["phase"]
    assert (phase, news["error"]) == ("done", "")
    assert [row["frame"] for row in rows] == list(range(COUNT))
    assert rows[0]["scores"] == [None]
    assert isinstance(rows[1]["scores"][0], float)
    assert rows[0]["lost"] == [False]
    status, headers, part = ask("GET", here + "/tracked.mp4", Range="bytes=0-99")
    assert (status, len(part), headers["Content-Type"]) == (206, 100, "video/mp4")
    found = json.loads(ask("GET", here + "/boxes.json")[2])
    assert [row["score"] for row in found] == [row["scores"][0] for row in rows]
    assert [row["lost"] for row in found] == [row["lost"][0] for row in rows]
    for name in ("none.txt", "clip", "..%2f..%2fweights%2fconfig.json", "boxes.csv%00"):
        assert ask("GET", f"{here}/{name}")[0] == 404
    assert ask("GET", here + "/progress?since=x")[2]["error"] == (
        "since must be a number of rows, got 'x'"
    )
    assert ask("PUT", here + "/objects", b"[]")[2]["error"].startswith("1 to 20 boxes")


def test_bad_uploads_leave_nothing(ask, folder):
    kept = set(folder.glob("temporary/*/*"))
    not_a_video = "this is not a video; expected MP4, MOV, WebM, MKV, AVI or MPEG"
    damaged = "cannot read this video; expected a video that FFmpeg can decode"
    for body, message in [
        (b"", not_a_video),
        (b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", not_a_video),
        (b"\0\0\0\x20ftypisom" + bytes(100), damaged),
    ]:
        status, _, answer = ask("PUT", "/clips", body)
        assert (status, answer["error"]) == (400, message)
    assert set(folder.glob("temporary/*/*")) == kept
    status, _, answer = ask("GET", "/clips/none")
    assert (status, answer["error"]) == (404, "this video is no longer here; open it again")


def test_too_much_is_refused_on_its_way():
    taken = []

    class Request:
        async def stream(self):
            for _ in range(3):
                taken.append(page.MEBIBYTE // 2 + 1)
                yield bytes(taken[-1])

    async def read():
        return [chunk async for chunk in page._chunks(Request(), 1)]

    with pytest.raises(HTTPException, match="that is more than 1 MB"):
        asyncio.run(read())
    assert len(taken) == 2


def test_oldest_clip_goes_first(tmp_path):
    state = types.SimpleNamespace(folder=tmp_path, clips={})
    for _ in range(page.MAX_CLIPS + 2):
        made = page._new_folder(state)
        state.clips[made.name] = types.SimpleNamespace(folder=made, job=None)
    assert len(state.clips) == page.MAX_CLIPS
    assert {path.name for path in tmp_path.iterdir()} == set(state.clips)


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_without_web_packages(monkeypatch, capsys, missing):
    monkeypatch.delitem(sys.modules, "siamfc_jax.app.page", raising=False)
    monkeypatch.delattr("siamfc_jax.app.page", raising=False)
    for name in [name for name in sys.modules if name.split(".")[0] == missing]:
        monkeypatch.setitem(sys.modules, name, None)
    assert track.main(["--serve"]) == 2
    assert re.fullmatch(
        rf"error: {missing} is not installed; try: pip install {missing}, or all that goes "
        r"with it: pip install '\.\[web\]'\n",
        capsys.readouterr().err,
    )


def test_flags_that_do_not_go_together(capsys):
    assert track.main(["--serve", "--output", "out.mp4"]) == 2
    assert (
        "error: unrecognized arguments: --output out.mp4; see siamfc serve --help"
        in capsys.readouterr().err
    )
    assert track.main(["--box", "1,2,3,4", "--output", "out.mp4"]) == 2
    assert (
        "error: the following arguments are required: --video; see siamfc track"
        in capsys.readouterr().err
    )


def test_place_that_is_taken(folder, capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        words = ["--serve", "--port", str(port), "--weights", str(folder / "weights")]
        assert track.main(words) == 2
        assert re.match(
            rf"error: cannot listen on 127.0.0.1, port {port}: .*; choose another --host",
            capsys.readouterr().err,
        )


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="needs pip install playwright")
    if not CHROMIUM:
        pytest.skip("needs a browser: apt-get install chromium")
    with playwright.sync_playwright() as tool:
        # Without its sandbox, as it refuses to start with one for root.
        yield tool.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


def drag(tab, start, end, finger):
    """Drags over the picture, from and to (x, y) in frame pixels."""
    area = tab.locator("#pad").bounding_box()
    points = [
        {"x": area["x"] + x / WIDTH * area["width"], "y": area["y"] + y / HEIGHT * area["height"]}
        for x, y in (start, np.mean([start, end], 0), end)
    ]
    if finger:
        session = tab.context.new_cdp_session(tab)
        for kind, point in zip(["touchStart", "touchMove", "touchMove"], points, strict=True):
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    else:
        tab.mouse.move(**points[0])
        tab.mouse.down()
        for point in points[1:]:
            tab.mouse.move(**point)
        tab.mouse.up()


@pytest.mark.parametrize("size", [(1280, 800), (390, 844)], ids=["desktop", "phone"])
def test_in_a_browser(browser, server, folder, tmp_path, size):
    phone = size[0] < 500
    with contextlib.closing(
        browser.new_context(
            viewport={"width": size[0], "height": size[1]}, is_mobile=phone, has_touch=phone
        )
    ) as context:
        context.set_default_timeout(60_000)
        tab, complaints = context.new_page(), []
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.goto(server.url)

        (tmp_path / "notes.txt").write_text("no video")
        tab.set_input_files("#file", tmp_path / "notes.txt")
        tab.get_by_role("alert").get_by_text("this is not a video").wait_for()
        tab.on("console", lambda message: complaints.append(message.text))
        shutil.copy(folder / "clip.mp4", tmp_path / "..%2f'<b>.mp4")
        tab.set_input_files("#file", tmp_path / "..%2f'<b>.mp4")
        tab.locator("#pad").wait_for()
        assert tab.locator("#error").is_hidden()

        drag(tab, (20, 15), (40, 30), phone)
        drag(tab, (40, 30), (44, 35), phone)  # the corner again
        drag(tab, (70, 50), (55, 40), phone)
        drag(tab, (10, 50), (10, 50), phone)  # a tap
        names = tab.get_by_role("textbox")
        assert names.count() == 2
        names.first.fill("<i>patch")
        drawn = tab.evaluate("objects.map((object) => object.box)")
        np.testing.assert_allclose(drawn, [[20, 15, 24, 20], [55, 40, 15, 10]], atol=0.3)
        if phone:
            tab.get_by_role("button", name="Remove object 2").click()
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        tab.locator("#track").click()

        tab.locator("#video").wait_for()
        tab.get_by_text("Done").wait_for()
        count = 1 if phone else 2
        assert tab.locator("#chart polyline").count() == count
        assert tab.locator("#legend span").count() == count
        tab.locator("#video").evaluate(
            "(video) => video.readyState > 1 || new Promise((done) => video.onloadeddata = done)"
        )
        assert tab.evaluate("[video.videoWidth, video.videoHeight]") == [WIDTH, HEIGHT]
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")

        # The chart and the video show the same frame.
        area = tab.locator("#chart").bounding_box()
        x = tab.evaluate("$('chart').place(10)")
        tab.mouse.click(area["x"] + x, area["y"] + 30)
        assert tab.evaluate("video.currentTime") == pytest.approx(1.05, abs=1e-3)
        assert tab.evaluate("now()") == 10
        assert tab.evaluate("rows.every((row) => row.lost.length === objects.length)")
        tab.evaluate("rows.forEach((row, n) => row.lost = [n > 8 && n < 13, false]); chart()")
        assert tab.locator("#chart .lost").count() == 1
        assert tab.locator("#legend .lost").count() == 1

        files = {}
        for link in tab.locator("#downloads a").all():
            with tab.expect_download() as download:
                link.click()
            files[download.value.suggested_filename] = download.value.path()
        assert sorted(files) == sorted(page.RESULTS)
        with files["boxes.csv"].open() as file:
            found = list(csv.DictReader(file))
        assert len(found) == COUNT * count
        assert found[0].get("object", "<i>patch") == "<i>patch"
        np.testing.assert_allclose(
            [float(found[0][key]) for key in "xywh"], [20, 15, 24, 20], atol=0.3
        )
        assert len(json.loads(files["boxes.json"].read_text())) == COUNT * count
        copy = shutil.copy(files["tracked.mp4"], tmp_path / "copy.mp4")
        assert len(list(video.open_source(copy).frames)) == COUNT

        tab.reload()
        tab.get_by_text("Done").wait_for()
        tab.get_by_role("button", name="Other boxes").click()
        assert tab.get_by_role("textbox").count() == count
        assert complaints == []


def test_nothing_is_left_at_the_end(server, ask, folder):
    assert ask("PUT", "/clips", (folder / "clip.mp4").read_bytes())[0] == 200
    assert list(folder.glob("temporary/siamfc_jax-*/*/clip"))
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(timeout=30)
    assert not list(folder.glob("temporary/siamfc_jax-*"))
