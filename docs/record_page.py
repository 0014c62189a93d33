"""Records the pictures of docs/page.md: an annotation from opening to export, a phone, a camera.

    python docs/record_page.py --video clip.mp4 --output docs/pictures

Serves the page, drives it in a real Chromium and takes a screenshot after each step. Needs
requirements-web.txt, playwright and chromium. The boxes are those of the helicopter of the clip
that the pictures show; for another clip, give your own with --first and --second.
"""

import argparse
import io
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from siamfc_jax.app.frames import encode  # noqa: E402
from siamfc_jax.media.video import open_source  # noqa: E402

COLORS = 128  # of the GIF
# Of boxes, tracked spans and buttons, which cover too little to get into the palette themselves.
KEPT = (230, 159, 0, 176, 128, 17, 80, 200, 255)
WIDTH = 720  # of the GIF in pixels
TRACKED = 24  # pictures of tracking that stay in the GIF
POINTER = """
  const dot = document.createElement("div");
  dot.style = "position:fixed;z-index:9;width:18px;height:18px;margin:-9px;border-radius:50%;"
    + "background:#fff9;border:2px solid #000;pointer-events:none;left:-50px";
  document.body.append(dot);
  addEventListener("pointermove", (event) => {
    dot.style.left = `${event.clientX}px`; dot.style.top = `${event.clientY}px`; }, true);
"""

# Whether the camera's picture is the one of the last time that this was asked.
STILL = """() => {
  const before = window.before;
  window.before = document.querySelector("#livepicture").toDataURL();
  return before === window.before;
}"""


class Film:
    """Screenshots with the milliseconds for which each is shown."""

    def __init__(self, tab):
        self.tab, self.frames = tab, []

    def shoot(self, milliseconds: int) -> None:
        """Takes a screenshot."""
        picture = Image.open(io.BytesIO(self.tab.screenshot())).convert("RGB")
        height = round(picture.height * WIDTH / picture.width)
        self.frames.append((picture.resize((WIDTH, height), Image.LANCZOS), milliseconds))

    def click(self, button) -> None:
        """Moves the pointer to a button, shows that, and presses it."""
        button.scroll_into_view_if_needed()
        area = button.bounding_box()
        self.tab.mouse.move(area["x"] + area["width"] / 2, area["y"] + area["height"] / 2)
        self.shoot(600)
        button.click()

    def thin(self, begin: int, count: int) -> None:
        """Leaves `count` of the screenshots from `begin` on, evenly."""
        later = self.frames[begin:]
        chosen = np.unique(np.linspace(0, len(later) - 1, count).round().astype(int))
        self.frames[begin:] = [later[index] for index in chosen]

    def save(self, path) -> None:
        """Writes them as an animation, all in the colours of one palette."""
        pictures, times = zip(*self.frames, strict=True)
        sheet = Image.fromarray(np.vstack([np.asarray(picture) for picture in pictures[::4]]))
        palette = sheet.quantize(COLORS - len(KEPT) // 3)
        palette.putpalette([*palette.getpalette()[: 3 * COLORS - len(KEPT)], *KEPT])
        coded = [
            picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures
        ]
        coded[0].save(path, save_all=True, append_images=coded[1:], duration=times, loop=0)


def drag(tab, box, shown, pad="#pad", picture="picture"):
    """Draws a box in frame pixels; `shown` is called on the way."""
    area = tab.locator(pad).bounding_box()
    size = tab.evaluate(f"[{picture}.width, {picture}.height]")
    x, y, w, h = box
    for index, share in enumerate(np.linspace(0, 1, 5)):
        at = [(x + share * w) / size[0], (y + share * h) / size[1]]
        tab.mouse.move(area["x"] + at[0] * area["width"], area["y"] + at[1] * area["height"])
        if not index:
            tab.mouse.down()
        shown()
    tab.mouse.up()


def annotate(tab, first, second, film) -> None:
    """Goes from opening to export."""
    film.shoot(1500)
    film.click(tab.get_by_role("button", name="Use the sample clip"))
    tab.locator("#picture[aria-label='Frame 0']").wait_for()
    film.shoot(1000)
    drag(tab, first[1], lambda: film.shoot(150))
    name = tab.locator("#name1")
    name.fill("helicopter")
    name.press("Enter")
    tab.mouse.move(5, 5)
    film.shoot(1200)
    tab.locator("#frame").fill(str(second[0]))
    tab.locator("#frame").press("Enter")
    tab.locator(f"#picture[aria-label='Frame {second[0]}']").wait_for()
    film.shoot(900)
    drag(tab, second[1], lambda: film.shoot(150))
    tab.mouse.move(5, 5)
    film.shoot(1000)
    film.click(tab.get_by_role("button", name="Track all"))
    tab.locator("#timeline .tracked, #timeline .lost").first.wait_for()
    begin = len(film.frames)
    while tab.locator("#running").is_visible():
        film.shoot(180)
        tab.wait_for_timeout(100)
    film.thin(begin, TRACKED)
    tab.locator("#timeline").focus()
    tab.keyboard.press("Home")
    film.shoot(800)
    count = int(tab.locator("#frame").get_attribute("max"))
    for number in range(0, count, count // 10):
        tab.locator("#frame").fill(str(number))
        tab.locator("#frame").press("Enter")
        tab.locator(f"#picture[aria-label='Frame {number}']").wait_for()
        film.shoot(220)
    with tab.expect_download():
        film.click(tab.get_by_role("button", name="CVAT", exact=True))
    tab.get_by_text("is in your downloads").wait_for()
    film.shoot(2500)


def show_camera(tool, url, video, box, path) -> None:
    """Follows an object live: the camera shows the first frame for a while, then 30, to and fro."""
    frames = [frame for _, frame in open_source(video, stop=30).frames]
    shown = [*frames[:1] * 90, *frames, *frames[::-1]]
    with tempfile.TemporaryDirectory() as folder:
        camera = pathlib.Path(folder) / "camera.mjpeg"
        camera.write_bytes(b"".join(encode(frame) for frame in shown))
        browser = tool.chromium.launch(
            executable_path=find_chromium(),
            args=[
                "--no-sandbox", "--use-fake-ui-for-media-stream",
                "--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={camera}",
            ],
        )  # fmt: skip
        tab = browser.new_page(viewport={"width": 1180, "height": 860})
        tab.set_default_timeout(300_000)
        tab.goto(url)
        tab.get_by_role("button", name="Follow live with the camera").click()
        tab.get_by_text("Drag over the picture").wait_for()
        tab.wait_for_function(STILL, polling=200)
        # The browser cuts the picture of the camera to the usual shape, from its middle.
        width, height = tab.evaluate("[livepicture.width, livepicture.height]")
        corner = [(frames[0].shape[1] - width) / 2, (frames[0].shape[0] - height) / 2]
        box = [box[0] - corner[0], box[1] - corner[1], *box[2:]]
        drag(tab, box, lambda: None, "#livepad", "livepicture")
        tab.locator("#liveobjects .state", has_text="%").wait_for()
        name = tab.get_by_label("Name of object object 1")
        name.fill("helicopter")
        name.press("Enter")
        tab.wait_for_timeout(4000)
        tab.screenshot(path=path, type="jpeg", quality=85)
        browser.close()


def find_chromium():
    """Returns the path of the browser."""
    return shutil.which("chromium") or shutil.which("google-chrome")


def parse_place(text):
    """Reads FRAME:X,Y,W,H."""
    frame, box = text.split(":")
    return int(frame), [float(value) for value in box.split(",")]


def main() -> int:
    """Runs the command; returns the exit code."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--video", required=True)
    parser.add_argument("--output", type=pathlib.Path, required=True, help="folder")
    parser.add_argument("--first", type=parse_place, default=(0, [75, 245, 136, 92]))
    parser.add_argument("--second", type=parse_place, default=(140, [248, 88, 169, 130]))
    args = parser.parse_args()
    command = [sys.executable, "-m", "siamfc_jax", "serve", "--port", "0", "--video", args.video]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        url = server.stdout.readline().split()[1]
        with sync_playwright() as tool:
            # Without its sandbox, as it refuses to start with one for root.
            browser = tool.chromium.launch(
                executable_path=find_chromium(), args=["--no-sandbox"]
            )  # fmt: skip
            tab = browser.new_page(viewport={"width": 1180, "height": 860})
            tab.set_default_timeout(300_000)
            tab.goto(url)
            tab.evaluate(POINTER)
            film = Film(tab)
            annotate(tab, args.first, args.second, film)
            film.save(args.output / "page.gif")
            tab.screenshot(path=args.output / "page.jpg", type="jpeg", quality=85)
            phone = browser.new_context(
                viewport={"width": 390, "height": 844}, device_scale_factor=2, is_mobile=True,
                has_touch=True,
            ).new_page()  # fmt: skip
            phone.goto(tab.url)
            phone.locator("#timeline .tracked").first.wait_for()
            phone.wait_for_timeout(1000)
            phone.screenshot(path=args.output / "phone.jpg", type="jpeg", quality=80)
            browser.close()
            show_camera(tool, url, args.video, args.first[1], args.output / "live.jpg")
    finally:
        server.terminate()
        server.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
