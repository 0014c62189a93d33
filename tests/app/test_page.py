"""The page: its server as a process, and a person's way through it in a real browser."""

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
import time
import types
import urllib.error
import urllib.request
import zipfile

import cv2
import numpy as np
import pytest
import tiny_networks

import track
from siamfc_jax.config import TrackerConfig
from siamfc_jax.media import video
from siamfc_jax.network.saved_models import Model, save_model

pytest.importorskip("starlette", reason="needs pip install -r requirements-web.txt")
pytest.importorskip("uvicorn", reason="needs pip install -r requirements-web.txt")

from siamfc_jax.app import page, uploads

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
        is_json = found["Content-Type"] == "application/json"
        return status, found, json.loads(data) if is_json else data

    return ask


def test_page_is_served_for_this_machine_only(ask):
    status, headers, text = ask("GET", "/")
    assert status == 200
    assert b"Which video?" in text
    assert f"up to {uploads.MAX_UPLOAD}&nbsp;MB".encode() in text
    script = (page.BROWSER / "page.js").read_text()
    assert f"const MEGABYTES = {uploads.MAX_UPLOAD};" in script
    assert ask("GET", "/browser/page.js")[2].decode() == script
    assert ask("GET", "/browser/..%2fpage.py")[0] == 404
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert ask("GET", "/", Host="elsewhere.example")[0] == 400
    assert ask("POST", "/clips", b"")[0] == 405


def put(ask, path, **data):
    status, _, answer = ask("PUT", path, json.dumps(data).encode())
    return status, answer


def finish(ask, here):
    """Waits for the end of a tracking and returns (phase, error, rows)."""
    rows, phase = [], "waiting"
    while phase in ("waiting", "tracking"):
        _, _, news = ask("GET", f"{here}/run?since={len(rows)}")
        rows, phase = rows + news["rows"], news["phase"]
        time.sleep(0.05)
    return phase, news["error"], rows


def test_track_and_fetch(ask, folder):
    _, _, clip = ask("PUT", "/clips/sample")
    assert (clip["width"], clip["height"], clip["count"], clip["fps"]) == (80, 60, 20, 10)
    assert clip["models"][1:] == ["siamfc", "siamfc-nano", "siamfc-small"]
    here = f"/clips/{clip['id']}"
    for number in (0, 19, 7):
        assert ask("GET", f"{here}/frames/{number}")[2].startswith(b"\xff\xd8")
    assert ask("GET", here + "/frames/20")[2]["error"] == "the video has no frame 20"
    for path in ("/run", "/live"):
        status, _, answer = ask("GET", here + path)
        assert (status, answer["error"]) == (404, "nothing was tracked in this video yet")
    assert ask("GET", here + "/exports/csv")[2]["error"].startswith("there is nothing to export")

    drawn = {"objects": [{"id": 1, "name": "patch", "color": "#ff0000", "hidden": False}]}
    drawn["keys"] = [
        {"object": 1, "frame": frame, "box": [20 + frame, 15, 24, 20]} for frame in (4, 12)
    ]
    drawn["ends"] = [{"object": 1, "frame": 17}]
    assert put(ask, here + "/project", version=0, **drawn) == (200, {"version": 1})
    # A second tab, which does not know of that.
    assert put(ask, here + "/project", version=0, **drawn) == (
        409, {"error": "this video was changed in another tab"}
    )  # fmt: skip
    assert put(ask, here + "/project", version=1)[1]["error"].startswith("a project holds objects")
    assert ask("PUT", here + "/project", b"[")[2]["error"] == "this is not a JSON object"
    what = {"model": clip["models"][0], "direction": "all", "backward": True}
    assert put(ask, here + "/run", **what | {"model": "x"})[1]["error"].startswith(
        "there is no model 'x'; expected "
    )
    assert put(ask, here + "/run", **what, scales=2)[1]["error"] == (
        "scales must be 1, 3 or 5, got 2"
    )
    assert put(ask, here + "/run", **what, scales=1)[0] == 200
    phase, error, rows = finish(ask, here)
    assert (phase, error) == ("done", "")
    # From 4 back to the beginning, between the key boxes, on to the end.
    assert {row[1] for row in rows} == {*range(4), *range(5, 12), *range(13, 17)}
    assert ask("GET", here + "/run?since=x")[2]["error"] == (
        "since must be a number of rows, got 'x'"
    )
    live = json.loads(ask("GET", here + "/live")[1]["Live"])
    assert live["rows"][0][:2] == [1, live["frame"]]

    _, _, clip = ask("GET", here)
    tracked = {frame: row for frame, *row in clip["tracks"]["1"]}
    assert tracked == {row[1]: row[2:] for row in rows}  # the last row of each frame
    found = ask("GET", here + "/exports/json")[2]
    assert [row["frame"] for row in found] == list(range(17))
    assert [row["frame"] for row in found if row["key"]] == [4, 12]
    for form in clip["forms"]:
        status, headers, data = ask("GET", f"{here}/exports/{form}")
        assert status == 200 and data and "filename=" in headers["Content-Disposition"]
    (folder / "made.mp4").write_bytes(ask("GET", here + "/exports/video")[2])
    assert len(list(video.open_source(folder / "made.mp4").frames)) == COUNT
    for name in ("none", "..%2fclip", "csv%00"):
        assert ask("GET", f"{here}/exports/{name}")[0] == 404

    # Only one span, and it leaves the rest alone.
    assert put(ask, here + "/run", **what | {"direction": "backward", "frame": 4, "objects": [1]})
    assert {row[1] for row in finish(ask, here)[2]} == {0, 1, 2, 3}


def test_animations_and_images(ask, folder, tmp_path):
    frames = [np.full((20, 30, 3), 20 * n, np.uint8) for n in range(12)]
    coded = [cv2.imencode(".png", frame)[1].tobytes() for frame in frames]
    joined = uploads.IMAGES + b"".join(len(one).to_bytes(4, "little") + one for one in coded)
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for number, one in enumerate(coded):
            archive.writestr(f"in/{number}.png", one)  # 10 after 9
        archive.writestr("__MACOSX/in/._0.png", b"x")
        archive.writestr("readme.txt", b"x")
    for body in (joined, (tmp_path / "images.zip").read_bytes()):
        _, _, clip = ask("PUT", "/clips", body)
        assert (clip["count"], clip["width"], clip["height"]) == (12, 30, 20)
        jpeg = np.frombuffer(ask("GET", f"/clips/{clip['id']}/frames/11")[2], np.uint8)
        assert abs(cv2.imdecode(jpeg, 1).mean() - 220) < 2
    animation = cv2.Animation()
    animation.frames, animation.durations = frames, [40] * 12
    cv2.imwriteanimation(str(tmp_path / "a.gif"), animation)
    _, _, clip = ask("PUT", "/clips", (tmp_path / "a.gif").read_bytes())
    assert (clip["count"], clip["fps"]) == (12, 25)
    with zipfile.ZipFile(tmp_path / "none.zip", "w") as archive:
        archive.writestr("readme.txt", b"x")
    assert ask("PUT", "/clips", (tmp_path / "none.zip").read_bytes())[2]["error"] == (
        "this archive holds no images; expected jpg, png, bmp, tif or webp"
    )


def test_bad_uploads_leave_nothing(ask, folder):
    kept = set(folder.glob("temporary/*/*"))
    not_a_video = "this is not a video; expected MP4, MOV, WebM, MKV, AVI, MPEG, GIF, or images"
    damaged = "cannot read this video; expected a video that FFmpeg can decode"
    for body, message in [
        (b"", not_a_video),
        (b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", not_a_video),
        (b"\0\0\0\x20ftypisom" + bytes(100), damaged),
        (b"PK\3\4" + bytes(100), "this archive cannot be read; expected a zip of images"),
    ]:
        status, _, answer = ask("PUT", "/clips", body)
        assert (status, answer["error"]) == (400, message)
    assert set(folder.glob("temporary/*/*")) == kept
    status, _, answer = ask("GET", "/clips/none")
    assert (status, answer["error"]) == (404, "this video is no longer here; open it again")


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
        "error: one of the arguments --video --manifest is required; see siamfc track"
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


@pytest.fixture(params=[(1280, 800), (390, 844)], ids=["desktop", "phone"])
def tab(request, browser, server):
    """A tab of a desktop or a phone; complaints of the browser fail the test."""
    width, height = request.param
    phone = width < 500
    context = browser.new_context(
        viewport={"width": width, "height": height}, is_mobile=phone, has_touch=phone
    )
    with contextlib.closing(context):
        context.set_default_timeout(60_000)
        tab, complaints = context.new_page(), []
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.goto(server.url)
        yield tab
        assert complaints == []
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


def fields(tab):
    """Returns the box in the fields, None where there is none."""
    values = [field.input_value() for field in tab.locator("[data-field]").all()]
    return [float(value) for value in values] if all(values) else None


def wait_for_frame(tab, number):
    tab.locator(f"#picture[aria-label='Frame {number}']").wait_for()


def check_accessibility(tab):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe")
    found = axe.Axe().run(tab)
    assert found.violations_count == 0, found.generate_report()


def test_annotation_by_mouse_and_touch(tab, folder, tmp_path):
    finger = tab.viewport_size["width"] < 500
    check_accessibility(tab)
    (tmp_path / "notes.txt").write_text("no video")
    tab.set_input_files("#file", tmp_path / "notes.txt")
    tab.get_by_role("alert").get_by_text("this is not a video").wait_for()
    shutil.copy(folder / "clip.mp4", tmp_path / "..%2f'<b>.mp4")
    tab.set_input_files("#file", tmp_path / "..%2f'<b>.mp4")
    wait_for_frame(tab, 0)
    assert tab.locator("#error").is_hidden()
    buttons = [button.bounding_box() for button in tab.locator("#transport button").all()]
    assert len({box["y"] for box in buttons}) == 1
    assert min(box["width"] for box in buttons) >= 32

    # Two objects, the one resized at its corner and moved, a tap that means nothing.
    drag(tab, (20, 15), (40, 30), finger)
    drag(tab, (40, 30), (44, 35), finger)
    np.testing.assert_allclose(fields(tab), [20, 15, 24, 20], atol=0.5)
    drag(tab, (70, 50), (55, 40), finger)
    drag(tab, (62, 45), (64, 46), finger)
    drag(tab, (10, 50), (10, 50), finger)
    assert tab.locator("#objects li").count() == 2
    tab.get_by_role("button", name="object 2, key box").click(force=True)
    np.testing.assert_allclose(fields(tab), [57, 41, 15, 10], atol=0.5)
    name = tab.get_by_label("Name of object object 1")
    name.fill("<i>patch")
    name.press("Enter")
    tab.locator("#name1").fill("object 2")
    tab.locator("#name1").press("Enter")
    tab.get_by_role("alert").get_by_text("there is an object object 2 already").wait_for()
    tab.get_by_label("Delete object 2").click()
    assert tab.locator("#timeline .row").count() == 1
    tab.get_by_label("Undo").click()
    assert tab.locator("#timeline .row").count() == 2
    tab.get_by_label("Redo").click()

    # A second key box, further on.
    tab.locator("#frame").fill("10")
    tab.locator("#frame").press("Enter")
    wait_for_frame(tab, 10)
    tab.locator("#objects #name1").click()
    assert fields(tab) is None
    drag(tab, (30, 15), (54, 35), finger)
    assert tab.locator("#timeline .key").count() == 2

    tab.get_by_role("button", name="Track all").click()
    tab.locator("#timeline .tracked, #timeline .lost").nth(1).wait_for()
    tab.locator("#running").wait_for(state="hidden")
    tab.locator("#timeline").focus()
    tab.keyboard.press("End")
    wait_for_frame(tab, 19)
    assert fields(tab) is not None

    # A correction by a drag becomes a key box, and can be undone.
    before = fields(tab)
    tab.locator("[data-field='0']").fill("5")
    tab.locator("[data-field='0']").press("Enter")
    assert tab.locator("#timeline .key").count() == 3
    assert fields(tab)[0] == 5
    tab.get_by_label("Undo").click()
    tab.locator("#timeline .key").nth(2).wait_for(state="detached")
    assert fields(tab) == before

    tab.get_by_role("button", name="Gone from here").click()
    assert tab.locator("#timeline .end").count() == 1
    tab.get_by_label("Boxes", exact=True).click()
    assert tab.locator("#pad.off").count() == 1
    tab.get_by_label("Hide <i>patch").click()
    assert tab.locator("#pad g").count() == 0
    check_accessibility(tab)

    files = {}
    for label in ["CSV", "COCO", "Video, MP4", "Save project"]:
        with tab.expect_download() as download:
            tab.get_by_role("button", name=label, exact=True).click()
        files[label] = shutil.copy(download.value.path(), tmp_path / f"{label}.saved")
    with open(files["CSV"], newline="") as file:
        found = list(csv.DictReader(file))
    assert [row["frame"] for row in found if row["key"] == "1"] == ["0", "10"]
    assert len(found) == COUNT - 1
    assert {row["object"] for row in found} == {"<i>patch"}

    # A reload goes on, in the same frame and the same shape.
    picture = tab.locator("#picture").bounding_box()
    tab.reload()
    wait_for_frame(tab, 19)
    assert tab.locator("#picture").bounding_box() == pytest.approx(picture, abs=0.5)
    assert tab.locator("#timeline .key").count() == 2
    tab.go_back()
    tab.get_by_text("Which video?").wait_for()

    # And so does the project, on another day.
    project = tmp_path / "project.json"
    shutil.copy(files["Save project"], project)
    tab.set_input_files("#projectfile", project)
    tab.get_by_text("Now open their video: 80").wait_for()
    tab.set_input_files("#file", folder / "clip.mp4")
    tab.locator("#timeline .key").nth(1).wait_for()
    assert tab.locator("#name1").input_value() == "<i>patch"
    assert tab.locator("#timeline .tracked, #timeline .lost").count() >= 2
    project.write_text('{"a": 1}')
    tab.set_input_files("#projectfile", project)
    tab.get_by_role("alert").get_by_text("is no project that this page saved").wait_for()


@pytest.mark.parametrize("tab", [(1280, 800)], indirect=True)
def test_annotation_by_keys(tab):
    tab.get_by_role("button", name="Use the sample clip").focus()
    tab.keyboard.press("Enter")
    wait_for_frame(tab, 0)
    tab.keyboard.press("n")  # a box in the middle, which has the focus
    box = tab.get_by_role("button", name="object 1, key box")
    box.wait_for()
    before = fields(tab)
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("Alt+ArrowUp")
    tab.keyboard.press("Shift+ArrowDown")
    tab.keyboard.press("Shift+ArrowLeft")
    tab.wait_for_timeout(100)
    assert fields(tab) == [before[0] + 1, before[1] - 10, before[2] - 1, before[3] + 1]
    tab.keyboard.press("Control+z")
    tab.wait_for_timeout(100)
    assert fields(tab) == [before[0] + 1, before[1] - 10, before[2], before[3] + 1]
    tab.keyboard.press("Escape")
    for key, number in [
        ("ArrowRight", 1), ("Shift+ArrowRight", 11), ("ArrowLeft", 10), ("PageUp", 0),
        ("PageDown", 10), ("End", 19), ("Home", 0), ("End", 19), (",", 0), ("PageDown", 10),
    ]:  # fmt: skip
        tab.keyboard.press(key)
        wait_for_frame(tab, number)
    assert tab.locator("#timeline").get_attribute("aria-valuenow") == "10"
    tab.keyboard.press("k")
    assert tab.locator("#timeline .key").count() == 2
    tab.keyboard.press("t")
    tab.locator("#timeline .tracked, #timeline .lost").nth(1).wait_for()
    tab.locator("#running").wait_for(state="hidden")

    # One step takes the run back, on the server as well, and one brings it again.
    exported = "fetch(`clips/${location.hash.slice(1, 17)}/exports/csv`).then((it) => it.text())"
    whole = tab.evaluate(exported)
    assert len(whole.splitlines()) == 1 + COUNT
    with tab.expect_response("**/project"):
        tab.keyboard.press("Control+z")
    assert tab.locator("#timeline .tracked, #timeline .lost").count() == 0
    assert tab.locator("#timeline .key").count() == 2
    assert len(tab.evaluate(exported).splitlines()) == 3
    with tab.expect_response("**/project"):
        tab.keyboard.press("Control+Shift+z")
    tab.locator("#timeline .tracked, #timeline .lost").nth(1).wait_for()
    assert tab.evaluate(exported) == whole
    tab.keyboard.press("Delete")
    tab.locator("#timeline .key").nth(1).wait_for(state="detached")


@pytest.mark.parametrize("tab", [(1280, 800)], indirect=True)
def test_two_tabs_and_a_lost_connection(tab):
    tab.get_by_role("button", name="Use the sample clip").click()
    wait_for_frame(tab, 0)
    other = tab.context.new_page()
    other.goto(tab.url)
    wait_for_frame(other, 0)
    with tab.expect_response("**/project"):
        tab.keyboard.press("n")
    other.keyboard.press("n")
    other.get_by_role("alert").get_by_text("this video was changed in another tab").wait_for()
    other.get_by_role("button", name="Load its changes").click()
    other.locator("#error").wait_for(state="hidden")
    assert other.locator("#objects li").count() == 1
    other.close()

    tab.context.set_offline(True)
    tab.keyboard.press("n")
    tab.get_by_role("alert").get_by_text("Your boxes are kept in this tab").wait_for()
    tab.context.set_offline(False)
    tab.locator("#error").wait_for(state="hidden")
    tab.reload()
    tab.locator("#objects li").nth(1).wait_for()


def test_nothing_is_left_at_the_end(server, ask, folder):
    assert ask("PUT", "/clips", (folder / "clip.mp4").read_bytes())[0] == 200
    assert list(folder.glob("temporary/siamfc_page-*/*/clip"))
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(timeout=30)
    assert not list((folder / "temporary").iterdir())
