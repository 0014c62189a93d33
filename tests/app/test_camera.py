"""The camera of the page: objects followed as pictures come, and what is kept of them."""

import csv
import io
import json
import os
import pathlib
import shutil

import cv2
import numpy as np
import page_attacks
import pytest
import tiny_networks

import track
from siamfc_jax.config import TrackerConfig
from siamfc_jax.media import video
from siamfc_jax.network.saved_models import Model
from siamfc_jax.tracking import tracker

pytest.importorskip("starlette", reason="needs pip install -r requirements-web.txt")
pytest.importorskip("uvicorn", reason="needs pip install -r requirements-web.txt")

from siamfc_jax.app import camera, exports

ROOT = pathlib.Path(track.__file__).parent
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
HEIGHT, WIDTH, SIDE = 240, 320, 48
STILL, MOVING, RATE = 40, 80, 20  # pictures, and how many a second


def scene(number):
    """Draws a red patch on grey noise that stands and then goes around: (picture, its box)."""
    picture = np.random.default_rng(0).integers(60, 200, (HEIGHT, WIDTH, 1), np.uint8)
    picture = np.repeat(cv2.GaussianBlur(picture, (0, 0), 2)[..., None], 3, axis=2)
    turn = 2 * np.pi * max(number - STILL, 0) / MOVING
    x, y = int(136 + 45 * np.cos(turn)), int(96 + 30 * np.sin(turn))
    patch = np.full((SIDE, SIDE, 3), [230, 30, 30], np.uint8)
    patch[10:24, 8:20] = [255, 90, 30]
    patch[28:40, 24:42] = [150, 10, 20]
    picture[y : y + SIDE, x : x + SIDE] = patch
    return picture, [x, y, SIDE, SIDE]


def jpeg(number):
    """Returns a picture of the scene as a camera sends it."""
    return cv2.imencode(".jpg", scene(number)[0][..., ::-1])[1].tobytes()


@pytest.fixture(scope="module")
def load():
    """Loads a tiny network."""
    model = Model(tiny_networks.variables(), tiny_networks.CONFIG, TrackerConfig(num_scales=1))
    params = tracker.prepare(model)
    return lambda: (params, model.tracker_config)


@pytest.fixture
def one(load, tmp_path):
    """A camera that has shown one picture."""
    opened = camera.open_camera(tmp_path, load)
    assert camera.follow(opened, jpeg(0)) == {"frame": 0, "rows": [], "recorded": True}
    return opened


def names(*identities):
    return [
        {"id": identity, "name": f"object {identity}", "color": "#ff0000", "hidden": False}
        for identity in identities
    ]


def test_boxes_of_a_camera_become_those_of_a_clip(one):
    camera.draw(one, jpeg(0), 1, 0, scene(0)[1])
    for number in (1, 2, 3):
        answer = camera.follow(one, jpeg(number))
        assert answer["frame"] == number
        assert [row[0] for row in answer["rows"]] == [1]
    # Another one is drawn in a picture of before; the first is corrected there.
    camera.draw(one, jpeg(2), 2, 2, [10, 10, 40, 40])
    camera.draw(one, jpeg(2), 1, 2, scene(2)[1])
    assert sorted(one.tracks[1]) == [1, 2]
    rows = camera.follow(one, jpeg(4))["rows"]
    assert sorted(row[0] for row in rows) == [1, 2]
    camera.remove(one, 2)
    assert [row[0] for row in camera.follow(one, jpeg(5))["rows"]] == [1]

    one.objects = names(1, 2)
    text = exports.write("csv", camera.describe_boxes(one), one.folder).read_text()
    found = [(row["frame"], row["object"], row["key"]) for row in csv.DictReader(io.StringIO(text))]
    assert found == [
        ("0", "object 1", "1"), ("1", "object 1", "0"), ("2", "object 1", "1"),
        ("2", "object 2", "1"), ("4", "object 1", "0"), ("4", "object 2", "0"),
        ("5", "object 1", "0"),
    ]  # fmt: skip

    clip = camera.make_clip(one)
    assert (clip.count, clip.shape) == (6, (HEIGHT, WIDTH, 3))
    assert 1 <= clip.fps <= 120
    assert clip.project.ends == {(2, 5)}
    assert clip.tracks == one.tracks
    assert exports.write("csv", clip, one.folder).read_text() == text
    kept = [frame for _, frame in video.open_source(clip.path).frames]
    np.testing.assert_array_equal(kept[4], camera._decode(one, jpeg(4)))


def test_recording_ends_where_it_is_full_and_following_goes_on(one, monkeypatch):
    camera.draw(one, jpeg(0), 1, 0, scene(0)[1])
    assert camera.follow(one, jpeg(1))["recorded"]
    monkeypatch.setattr(camera, "MAX_RECORDING", one.size / 2**20)
    answer = camera.follow(one, jpeg(2))
    assert (answer["recorded"], len(answer["rows"])) == (False, 1)
    monkeypatch.setattr(camera, "MAX_RECORDING", 500)
    assert not camera.follow(one, jpeg(3))["recorded"]  # no gap: numbers stay those of the clip
    camera.draw(one, jpeg(3), 1, 3, scene(3)[1])
    one.objects = names(1)
    clip = camera.make_clip(one)
    assert (clip.count, set(clip.project.keys), set(clip.tracks[1])) == (2, {(1, 0)}, {1})
    assert camera.describe_boxes(one).count == 4


def test_what_a_camera_cannot_do(one, load, tmp_path):
    large = cv2.imencode(".jpg", np.zeros((1000, 1300, 3), np.uint8))[1].tobytes()
    other = cv2.imencode(".jpg", np.zeros((WIDTH, HEIGHT, 3), np.uint8))[1].tobytes()
    for picture, message in [
        (b"GIF89a", "this is no picture of a camera; expected a JPEG"),
        (b"\xff\xd8\xff", "an image cannot be read; expected jpg"),
        (large, "an image has 1300 x 1000 pixels; 1228800 at most are taken"),
        (other, "the camera showed 320 x 240 pixels and now 240 x 320; begin anew"),
        (jpeg(0)[:3000], "cannot read image of the camera"),
    ]:
        with pytest.raises(ValueError, match=message):
            camera.follow(one, picture)
    with pytest.raises(ValueError, match="has shown 1 pictures, none with number 1"):
        camera.draw(one, jpeg(0), 1, 1, [10, 10, 20, 20])
    with pytest.raises(ValueError, match="box must have positive width"):
        camera.draw(one, jpeg(0), 1, 0, [10, 10, 0, 20])
    with pytest.raises(ValueError, match="there is no object 3"):
        camera.remove(one, 3)
    with pytest.raises(ValueError, match="there is no box yet"):
        camera.describe_boxes(one)
    for identity in range(camera.MAX_OBJECTS):
        camera.draw(one, jpeg(0), identity, 0, [10, 10, 20, 20])
    with pytest.raises(ValueError, match="8 objects are followed at a time; remove one first"):
        camera.draw(one, jpeg(0), 99, 0, [10, 10, 20, 20])
    (tmp_path / "new").mkdir()
    with pytest.raises(ValueError, match="the camera has shown nothing yet"):
        camera.make_clip(camera.open_camera(tmp_path / "new", load))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """`siamfc serve` with the network that ships, at one scale, as no object changes its size."""
    with pytest.MonkeyPatch.context() as patch:
        # It follows some hundred pictures: what is a little optimised takes less in all.
        level = " --xla_backend_optimization_level=1"
        patch.setenv("XLA_FLAGS", os.environ["XLA_FLAGS"] + level)
        place = tmp_path_factory.mktemp("camera")
        started = page_attacks.Server(ROOT, place, "--num-scales", "1")
    yield started
    started.end()


def test_cameras_are_bounded(server):
    def ask(method, path, body=b"{}", **headers):
        status, _, text = server.ask(method, path, body, **headers)
        return status, json.loads(text)

    ids = [ask("PUT", "/cameras")[1]["id"] for _ in range(2)]
    assert ask("PUT", "/cameras") == (
        503, {"error": "2 cameras are followed already; try again later"}
    )  # fmt: skip
    assert len(server.folders()) == 2
    here = f"/cameras/{ids[0]}"
    assert ask("PUT", here + "/frame", jpeg(0))[0] == 200
    assert ask("PUT", here + "/objects/1", jpeg(0))[1]["error"] == (
        "expected the address to end in ?frame=N&box=x,y,w,h"
    )
    assert ask("PUT", here + "/objects/1?frame=0&box=1,nan,9,9", jpeg(0))[0] == 400
    assert ask("PUT", here + "/objects/1?frame=0&box=150,90,48,48", jpeg(0))[0] == 200
    assert ask("PUT", here + "/objects", b'{"objects": 7}')[0] == 200
    assert ask("GET", here + "/csv", None)[1]["error"].startswith("a project holds objects")
    assert ask("PUT", here + "/frame", b"x", Content_Length="10000000")[0] == 413
    # While one picture is on its way no other is taken: there is no queue.
    waiting = server.begin("PUT", here + "/frame", 1000, b"\xff\xd8")
    found = []
    for _ in range(50):
        found.append(ask("PUT", here + "/frame", jpeg(1))[0])
        if found[-1] == 503:
            break
    assert found[-1] == 503
    waiting.close()
    for one in ids:
        assert ask("DELETE", f"/cameras/{one}") == (200, {})
    assert ask("PUT", here + "/frame", jpeg(0))[1]["error"] == (
        "this camera has ended; begin anew"
    )  # fmt: skip
    assert ask("PUT", "/cameras", b'{"model": "x"}')[1]["error"].startswith("there is no model 'x'")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A browser whose camera shows the scene."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs pip install playwright")
    if not CHROMIUM:
        pytest.skip("needs a browser: apt-get install chromium")
    path = tmp_path_factory.mktemp("scene") / "camera.y4m"
    with path.open("wb") as file:
        file.write(b"YUV4MPEG2 W%d H%d F%d:1\n" % (WIDTH, HEIGHT, RATE))
        for number in range(STILL + MOVING):
            planes = cv2.cvtColor(scene(number)[0], cv2.COLOR_RGB2YUV_I420)
            file.write(b"FRAME\n" + planes.tobytes())
    with playwright.sync_playwright() as tool:
        # Without its sandbox, as it refuses to start with one for root.
        yield tool.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox", "--use-fake-ui-for-media-stream",
                "--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={path}",
            ],
        )  # fmt: skip


# Where the red patch is in the picture that is shown, and the box that is shown with it.
PLACES = """() => {
  const canvas = document.querySelector("#livepicture"), {width, height} = canvas;
  const {data} = canvas.getContext("2d").getImageData(0, 0, width, height);
  let left = width, top = height, right = 0, bottom = 0;
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const at = 4 * (y * width + x);
      if (data[at] - data[at + 2] < 70 || data[at] - data[at + 1] < 70) continue;
      left = Math.min(left, x); right = Math.max(right, x + 1);
      top = Math.min(top, y); bottom = Math.max(bottom, y + 1);
    }
  const box = document.querySelector("#livepad .box");
  const of = (name) => Number(box?.getAttribute(name));
  return {width, height, patch: [left, top, right - left, bottom - top],
    box: box && ["x", "y", "width", "height"].map(of)};
}"""


@pytest.mark.parametrize("size", [(1280, 800), (390, 844)], ids=["desktop", "phone"])
def test_boxes_follow_the_camera(server, browser, size):
    phone = size[0] < 500
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, is_mobile=phone, has_touch=phone,
        permissions=["camera"],
    )  # fmt: skip
    context.set_default_timeout(120_000)
    tab, complaints = context.new_page(), []
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto(f"http://{server.host}:{server.port}/")
    tab.get_by_role("button", name="Follow live with the camera").click()
    tab.locator("#livestatus", has_text="frames a second").wait_for()
    tab.locator("#livehint", has_text="Drag over the picture").wait_for()
    area = tab.locator("#livepad").bounding_box()
    begin = tab.evaluate(PLACES)
    assert begin["box"] is None
    assert abs(begin["width"] / begin["height"] - 4 / 3) < 0.01
    scale, unit = area["width"] / WIDTH, begin["width"] / WIDTH

    def watch(seconds):
        """Returns the places of some pictures in frame pixels, while time goes by."""
        found = []
        for _ in range(round(10 * seconds)):
            tab.wait_for_timeout(100)
            places = tab.evaluate(PLACES)
            found.append([np.array(places[name] or [0] * 4) / unit for name in ("patch", "box")])
        return np.array(found)  # [pictures, patch and box, 4]

    def wait_until(holds):
        for _ in range(100):
            if holds():
                return
        pytest.fail("that never came")

    x, y, width, height = scene(0)[1]
    wait_until(lambda: np.abs(watch(0.2)[:, 0] - [x, y, width, height]).max() < 3)
    tab.mouse.move(area["x"] + x * scale, area["y"] + y * scale)
    tab.mouse.down()
    tab.mouse.move(area["x"] + (x + width) * scale, area["y"] + (y + height) * scale, steps=3)
    tab.mouse.up()
    tab.locator("#liveobjects .state", has_text="%").wait_for()

    wait_until(lambda: np.ptp(watch(0.3)[:, 0, 0]) > 2)
    patches, boxes = (places[..., :2] + places[..., 2:] / 2 for places in watch(2).swapaxes(0, 1))
    offs = np.linalg.norm(patches - boxes, axis=1)
    assert np.ptp(patches, axis=0).max() > 50  # it does move
    assert np.median(offs) < 4
    assert offs.max() < 12
    check_accessibility(tab)

    # The picture stands while a person draws in it, who needs some time.
    wait_until(lambda: np.ptp(watch(0.3)[:, 0, 0]) > 2)
    tab.mouse.move(area["x"] + 3, area["y"] + 3)
    tab.mouse.down()
    assert np.ptp(watch(0.5)[:, 0], axis=0).max() == 0
    tab.mouse.up()
    wait_until(lambda: np.ptp(watch(0.5)[:, 0, 0]) > 2)

    # A second object by keys, renamed, and no longer followed.
    tab.keyboard.press("n")
    name = tab.get_by_label("Name of object object 2")
    name.fill("wall")
    name.press("Enter")
    assert tab.locator("#livepad g").count() == 2
    with tab.expect_download() as download:
        tab.get_by_role("button", name="Boxes, CSV").click()
    rows = list(csv.DictReader(download.value.path().read_text().splitlines()))
    assert {row["object"] for row in rows} == {"object 1", "wall"}
    assert sum(row["key"] == "1" for row in rows) == 2
    tab.get_by_role("button", name="Stop following wall").click()
    tab.locator("#livepad g").nth(1).wait_for(state="detached")
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")

    # It goes on as a clip with all boxes on the timeline.
    tab.get_by_role("button", name="Stop and correct").click()
    tab.locator("#timeline .tracked, #timeline .lost").first.wait_for()
    assert tab.locator("#timeline .key").count() == 2
    assert tab.locator("#name2").input_value() == "wall"
    assert int(tab.locator("#frame").get_attribute("max")) > 20
    tab.locator("#picture[aria-label='Frame 0']").wait_for()
    check_accessibility(tab)

    # Back to the start, and a camera that is left without a word.
    tab.get_by_role("button", name="Other video").click()
    tab.get_by_role("button", name="Follow live with the camera").click()
    tab.locator("#livehint", has_text="Drag over the picture").wait_for()
    check_accessibility(tab)
    before = len(server.folders())
    tab.get_by_role("button", name="End", exact=True).click()
    tab.get_by_text("Which video?").wait_for()
    for _ in range(100):
        if len(server.folders()) < before:
            break
        tab.wait_for_timeout(50)
    assert len(server.folders()) == before - 1
    # Nothing was refused: one frame at a time was on its way, or the server had said so.
    assert tab.locator("#error").is_hidden()
    assert complaints == []
    context.close()


def check_accessibility(tab):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe")
    found = axe.Axe().run(tab)
    assert found.violations_count == 0, found.generate_report()
