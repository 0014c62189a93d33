"""OpenCV's trackers behind our interface; a made one stands in where contrib is missing."""

import types

import cv2
import numpy as np
import pytest

from siamfc_jax.evaluation import opencv_trackers

FRAMES = [np.full((40, 60, 3), (10 * n, 0, 255), np.uint8) for n in range(4)]


class Stub:
    """Finds the object in every frame but the third, each time one pixel further."""

    def __init__(self):
        self.calls = []

    def init(self, image, box):
        self.calls.append((image, box))

    def update(self, image):
        self.calls.append((image, None))
        found = len(self.calls) != 3
        x = 5.0 + len(self.calls)
        return found, (x, 6.0, 7.0, 8.0)


def test_the_last_box_is_repeated_when_the_object_is_lost(monkeypatch):
    stub = Stub()
    legacy = types.SimpleNamespace(TrackerKCF_create=lambda: stub)
    monkeypatch.setattr(cv2, "legacy", legacy, raising=False)
    steps = list(opencv_trackers.opencv("kcf")(FRAMES, np.float32([5, 6, 7, 8])))
    assert [step[1] for step in steps] == [1, 1, 0, 1]
    assert [float(step[0][0]) for step in steps] == [5, 7, 7, 9]
    image, box = stub.calls[0]
    assert box == (5.0, 6.0, 7.0, 8.0)
    np.testing.assert_array_equal(image[0, 0], [255, 0, 0])  # BGR of FRAMES[0]
    np.testing.assert_array_equal(stub.calls[3][0][0, 0], [255, 0, 30])


class NetworkStub:
    """Moves by a pixel a frame, and is unsure of the last one."""

    def init(self, image, box):
        self.box, self.score = box, 0.9

    def update(self, image):
        self.box = (self.box[0] + 1, *self.box[1:])
        self.score -= 0.2
        return self.score > 0.4, self.box

    def getTrackingScore(self):  # noqa: N802 (OpenCV's name)
        return self.score


def test_networks_take_files_whole_pixels_and_give_scores(monkeypatch, tmp_path):
    files = tmp_path / "backbone.onnx", tmp_path / "head.onnx"
    for path in files:
        path.touch()
    made = []

    def create(params):
        made.append((params.backbone, params.neckhead))
        return NetworkStub()

    monkeypatch.setattr(cv2, "TrackerNano_create", create, raising=False)
    monkeypatch.setattr(cv2, "TrackerNano_Params", types.SimpleNamespace, raising=False)
    track = opencv_trackers.opencv("nano", tuple(map(str, files)))
    steps = list(track(FRAMES, np.float32([5.4, 6.6, 7, 8])))
    assert set(made) == {tuple(map(str, files))}
    np.testing.assert_array_equal(steps[1][0], [6, 7, 7, 8])
    np.testing.assert_array_equal(steps[3][0], steps[2][0])  # said to be lost
    assert [step[1] for step in steps] == pytest.approx([1, 0.7, 0.5, 0])


def test_says_what_is_wrong_with_a_network(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match=r"dasiamrpn needs 3 model files, --tracker-files MODEL"):
        opencv_trackers.opencv("dasiamrpn", ("a", "b"))
    with pytest.raises(ValueError, match=r"no file a; the tracker vit needs it"):
        opencv_trackers.opencv("vit", ("a",))
    with pytest.raises(ValueError, match=r"the tracker kcf takes no files, got a; leave out"):
        opencv_trackers.opencv("kcf", ("a",))
    broken = tmp_path / "a.onnx"
    broken.write_bytes(b"no network")
    if hasattr(cv2, "TrackerVit_create"):
        with pytest.raises(
            ValueError, match=r"OpenCV cannot read .*a.onnx as the tracker vit: "
        ) as error:
            opencv_trackers.opencv("vit", (str(broken),))
        assert "\n" not in str(error.value)
    monkeypatch.delattr(cv2, "TrackerVit_create", raising=False)
    with pytest.raises(ValueError, match=r"lacks the tracker vit: it has no TrackerVit; install"):
        opencv_trackers.opencv("vit", (str(broken),))


@pytest.mark.skipif(hasattr(cv2, "legacy"), reason="this OpenCV has the contrib modules")
def test_says_what_is_missing():
    with pytest.raises(ValueError, match=r"OpenCV .* lacks the tracker mosse, .*`make contrib`"):
        opencv_trackers.opencv("mosse")


@pytest.mark.skipif(not hasattr(cv2, "legacy"), reason="opencv-contrib is not on the path")
@pytest.mark.parametrize("name", opencv_trackers.CLASSIC)
def test_follows_a_square(name):
    frames, boxes = [], []
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 255, (40, 40, 3), np.uint8)
    for n in range(6):
        frame = np.full((120, 160, 3), 90, np.uint8)
        frame[30:70, 40 + 2 * n : 80 + 2 * n] = texture
        frames.append(frame)
        boxes.append([40 + 2 * n, 30, 40, 40])
    steps = list(opencv_trackers.opencv(name)(frames, np.float32(boxes[0])))
    assert len(steps) == 6
    again = opencv_trackers.opencv(name)(frames, np.float32(boxes[0]))
    for first, second in zip(steps, again, strict=True):
        np.testing.assert_array_equal(first[0], second[0])
    assert np.abs(steps[-1][0][:2] - boxes[-1][:2]).max() < 12
