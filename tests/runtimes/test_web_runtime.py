"""The page without a server, in a real browser, beside the tracker in Python."""

import csv
import functools
import http.server
import pathlib
import re
import shutil
import threading

import cv2
import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs pip install -r requirements-export.txt")
pytest.importorskip("onnxruntime", reason="needs pip install -r requirements-export.txt")

import exported

from siamfc_jax.export import checks
from siamfc_jax.media import video
from siamfc_jax.tracking import siamfc_onnx

RUNTIMES = pathlib.Path(__file__).parents[2] / "runtimes"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FPS = 10
CLIP, BOX = checks.make_clip(16)
HEIGHT, WIDTH, _ = CLIP[0].shape

if not (RUNTIMES / "web/vendor").is_dir():
    pytest.skip("needs onnxruntime-web: make web", allow_module_level=True)
if not CHROMIUM:
    pytest.skip("needs a browser: apt-get install chromium", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api", reason="needs pip install playwright")


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the page, isolated so that it may use threads, and a model made for the test."""

    def __init__(self, *args, model, **keywords):
        self.model = model
        super().__init__(*args, directory=RUNTIMES / "web", **keywords)

    def translate_path(self, path):
        if path.startswith("/model/"):
            return str(self.model / path.removeprefix("/model/"))
        return super().translate_path(path)

    def end_headers(self):
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An exported model and a clip."""
    root = tmp_path_factory.mktemp("web")
    exported.write(root / "model", exported.shipped(), exported.shipped().tracker_config)
    with video.video_writer(root / "clip.mp4", CLIP[0].shape, fps=FPS) as write:
        for frame in CLIP:
            write(frame)
    return root


@pytest.fixture(scope="module")
def address(folder):
    handler = functools.partial(Handler, model=folder / "model")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    # Without its sandbox, as it refuses to start with one for root; a made picture as camera.
    flags = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with playwright.sync_playwright() as tool:
        yield tool.chromium.launch(executable_path=CHROMIUM, args=flags)


@pytest.fixture
def tab(browser, address):
    """The page in a tab of its own, that must not fail unseen."""
    context = browser.new_context(viewport={"width": 1000, "height": 700})
    tab = context.new_page()
    failures = []
    tab.on("pageerror", lambda error: failures.append(error))
    tab.goto(address)
    yield tab
    context.close()
    assert not failures


def draw(tab, box):
    area = tab.locator("#pad").bounding_box()
    for move, (x, y) in ((tab.mouse.down, box[:2]), (tab.mouse.up, box[:2] + box[2:])):
        x, y = x / WIDTH * area["width"], y / HEIGHT * area["height"]
        tab.mouse.move(area["x"] + float(x), area["y"] + float(y))
        move()


def open_clip(tab, path):
    tab.set_input_files("#file", path)
    tab.wait_for_function("document.querySelector('#pad').viewBox.baseVal.width > 0")


def download_boxes(tab):
    with tab.expect_download() as download:
        tab.click("#csv")
    return list(csv.DictReader(download.value.path().read_text().splitlines()))


def test_boxes_are_those_of_the_python_runtime(tab, folder):
    assert tab.evaluate("crossOriginIsolated")
    open_clip(tab, folder / "clip.mp4")
    draw(tab, BOX)
    draw(tab, np.float32([120, 60, 60, 70]))  # the scene, which stands still
    tab.click("text=Follow 2 objects")
    tab.wait_for_selector("text=The video is over", timeout=60_000)
    speed = tab.inner_text("#speed")
    assert "frames a second" in speed and re.search(r"ms each on \d of \d+ cores", speed)
    rows = download_boxes(tab)
    assert {row["object"] for row in rows} == {"object 1", "object 2"}
    for name in ("object 1", "object 2"):
        # A slow machine may leave frames out; the same ones are left out here.
        found = {round(float(row["time"]) * FPS): row for row in rows if row["object"] == name}
        assert 0 in found and len(found) >= 8
        tracker, source = (
            siamfc_onnx.Tracker(folder / "model"),
            cv2.VideoCapture(str(folder / "clip.mp4")),
        )
        for number in range(len(CLIP)):
            frame = source.read()[1][:, :, ::-1]
            if number not in found:
                continue
            box = [float(found[number][key]) for key in "xywh"]
            if number == 0:
                tracker.init(frame, box)
            else:
                np.testing.assert_allclose(tracker.update(frame)[0], box, atol=1)
                confidence = float(found[number]["confidence"])
                assert tracker.confidence == pytest.approx(confidence, abs=0.05)


def test_a_gpu_that_refuses_leaves_the_work_to_the_cores(tab, folder):
    """An adapter without a device, as a driver may have it, stands in for one."""
    tab.add_init_script(
        """const adapter = {features: new Set(), limits: {}, info: {}, requestDevice: async () => {
             window.asked = true;
             throw new Error("no device");
           }};
           const value = {requestAdapter: async () => adapter};
           Object.defineProperty(navigator, "gpu", {value});"""
    )
    tab.reload()
    open_clip(tab, folder / "clip.mp4")
    draw(tab, BOX)
    tab.click("#follow")
    tab.wait_for_selector("text=The video is over", timeout=60_000)
    assert tab.evaluate("window.asked")
    assert re.search(r"ms each on \d of \d+ cores", tab.inner_text("#speed"))


def test_camera_is_followed_live(tab):
    tab.click("#camera")
    tab.wait_for_function("document.querySelector('#pad').viewBox.baseVal.width > 0")
    assert tab.is_hidden("#every")
    tab.focus("#pad")
    tab.keyboard.press("Enter")
    tab.click("#follow")
    tab.wait_for_function(
        "/ [3-9]\\d* frames done/.test(document.querySelector('#speed').innerText)"
    )
    tab.click("text=Pause")
    rows = download_boxes(tab)
    assert len(rows) > 3 and all(float(row["w"]) > 0 for row in rows)


def test_boxes_by_keyboard(tab, folder):
    open_clip(tab, folder / "clip.mp4")
    assert tab.is_disabled("#follow")
    tab.focus("#pad")
    tab.keyboard.press("Enter")
    first = tab.locator("#pad rect").bounding_box()
    tab.keyboard.press("ArrowLeft")
    tab.keyboard.press("Shift+ArrowDown")
    box = tab.locator("#pad rect").bounding_box()
    assert box["x"] == pytest.approx(first["x"] - 4, abs=0.5)
    assert box["height"] == pytest.approx(first["height"] + 4, abs=0.5)
    assert tab.is_enabled("#follow")
    tab.keyboard.press("Delete")
    assert tab.locator("#pad rect").count() == 0


def test_fits_a_phone(browser, address, folder):
    context = browser.new_context(viewport={"width": 360, "height": 740})
    tab = context.new_page()
    tab.goto(address)
    open_clip(tab, folder / "clip.mp4")
    draw(tab, BOX)
    assert tab.evaluate("document.documentElement.scrollWidth") == 360
    assert tab.locator("#follow").bounding_box()["height"] >= 44  # what a finger hits
    context.close()


def test_says_what_is_wrong(tab, tmp_path, folder):
    (tmp_path / "no.mp4").write_bytes(b"no video")
    tab.set_input_files("#file", tmp_path / "no.mp4")
    tab.wait_for_selector("text=this browser cannot play no.mp4")
    assert tab.is_visible("#choose")
    tab.route("**/model/manifest.json", lambda route: route.fulfill(status=404))
    open_clip(tab, folder / "clip.mp4")
    tab.wait_for_selector('text=model/manifest.json is missing; "make web" puts it there')
