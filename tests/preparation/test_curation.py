"""Which boxes are left out, and what is cut around the others."""

import cv2
import numpy as np
import pytest
from training_trees import cut_short, make_coco, make_vid, write_image

from siamfc_jax.data.annotations import make_track
from siamfc_jax.data.patches import cut_patch
from siamfc_jax.data.sequences import ImageFiles
from siamfc_jax.preparation import curation
from siamfc_jax.preparation.curation import box_flaw, curate
from siamfc_jax.preparation.video_sets import READERS


@pytest.mark.parametrize(
    "box, flaw",
    [
        ([10, 10, 20, 20], ""),
        ([-9, -9, 20, 20], ""),
        ([-10.1, 10, 20, 20], "outside"),
        ([90, 10, 20, 20], "outside"),  # the centre lies on the right edge
        ([10, 40, 20, 20], "outside"),
        ([10, 10, 3.9, 20], "too small"),
        ([10, 10, 20, 0], "degenerate"),
        ([10, 10, -5, 20], "degenerate"),
        ([np.nan, 10, 20, 20], "degenerate"),
        ([10, 10, np.inf, 20], "degenerate"),
        ([0, 0, 100, 45], ""),  # exactly 90 %
        ([0, 0, 100, 46], "over 90 % of the frame"),
        ([-500, -20, 1100, 100], "over 90 % of the frame"),  # what lies outside does not count
        ([0, -500, 20, 1050], ""),
    ],
)
def test_box_flaw(box, flaw):
    assert box_flaw(np.float32(box), (100, 50)) == flaw


def decode(crop):
    return cv2.imdecode(np.frombuffer(crop.image, np.uint8), cv2.IMREAD_COLOR)


def test_crops_are_the_patches_of_training(tmp_path):
    path = write_image(tmp_path / "1.jpg")
    box = np.float32([20, 10, 24, 12])
    track = make_track("a", ImageFiles([path]), [box], source="s")
    (crops,), dropped, messages = curate([track], as_is=False)
    patch = decode(crops[0])
    assert patch.shape == (319, 319, 3) and not dropped and not messages
    expected = cut_patch(cv2.imread(str(path)), box)
    assert np.abs(patch.astype(int) - expected).mean() < 1.5  # what JPEG of quality 92 costs
    # 127 px show (24 + 18) (12 + 18) = 1260 px^2 of the frame; the object keeps the middle.
    size = 127 / np.sqrt(1260) * np.array([24, 12])
    np.testing.assert_allclose(crops[0].box, [*(159.5 - size / 2), *size], rtol=1e-5)
    assert crops[0].box.dtype == np.float32


def test_a_patch_cut_again_is_the_same_patch(tmp_path):
    """So training reads the same pixels from a prepared set and from frames."""
    box = np.float32([20, 10, 24, 12])
    track = make_track("a", ImageFiles([write_image(tmp_path / "1.jpg")]), [box], source="s")
    (crops,), *_ = curate([track], as_is=False)
    patch = decode(crops[0])
    assert np.abs(cut_patch(patch, crops[0].box).astype(int) - patch).max() <= 1


def test_as_is_keeps_bytes_and_boxes(tmp_path):
    path = write_image(tmp_path / "1.jpg")
    track = make_track("a", ImageFiles([path]), [[20, 10, 24, 12]], source="s")
    (crops,), *_ = curate([track], as_is=True)
    assert crops[0].image == path.read_bytes()
    np.testing.assert_array_equal(crops[0].box, [20, 10, 24, 12])


def test_every_dropped_box_has_its_reason(tmp_path):
    good, short, empty = (write_image(tmp_path / f"{name}.jpg") for name in "abc")
    cut_short(short)
    empty.write_bytes(b"")
    paths = [good, short, empty, tmp_path / "missing.jpg", "nul\0", good, good, good]
    boxes = [[20, 10, 24, 12]] * 6 + [[200, 10, 24, 12], [20, 10, 24, 12]]
    visible = np.arange(8) != 5
    track = make_track("a", ImageFiles(paths), boxes, source="s")
    track = track._replace(sequence=track.sequence._replace(visible=visible))
    (crops,), dropped, messages = curate([track], as_is=False)
    assert list(crops) == [0, 7]
    assert dropped == {"corrupt image": 2, "missing image": 2, "absent": 1, "outside": 1}
    assert messages[:3] == [
        f"cannot read image {short} (it is cut off); expected a whole JPEG file",
        f"cannot read image {empty} (it is damaged or no image); "
        "expected a readable JPEG or PNG file",
        f"cannot read image {tmp_path / 'missing.jpg'} (No such file or directory)",
    ]
    assert len(messages) == 4 and messages[3].startswith("cannot read image nul\0 (")
    (crops,), dropped, _ = curate([track._replace(flaw="known bad")], as_is=False)
    assert crops == {} and dropped == {"known bad": 8}
    assert set(dropped) < set(curation.REASONS)


def test_frames_shared_by_objects_are_decoded_once(tmp_path, monkeypatch):
    tracks = READERS["vid"].read(
        make_vid(tmp_path), "train", "ILSVRC2015_VID_train_0000/ILSVRC2015_train_00000003"
    )
    curation._decode.cache_clear()
    decoded = []
    real = cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda *args: decoded.append(1) or real(*args))
    (dog, cat), dropped, messages = curate(tracks, as_is=False)
    assert [message.split()[3][-11:] for message in messages] == ["000004.JPEG", "000005.JPEG"]
    assert list(dog) == [0, 1, 2, 3] and list(cat) == [0, 1]
    assert dropped == {"missing image": 2, "corrupt image": 1, "over 90 % of the frame": 1}
    assert len(decoded) == 5  # frames 0 to 3 and 6, once each; 4 is missing, 5 is cut off


def test_flaws_of_stills(tmp_path):
    root, read = make_coco(tmp_path), READERS["coco"].read
    stills = READERS["coco"].list_units(root, "train2017")
    tracks = [track for still in stills for track in read(root, "train2017", still)]
    _, dropped, _ = curate(tracks, as_is=False)
    assert dropped == {"crowd": 1, "too small": 1, "outside": 1, "missing image": 1}


def note_rotation(path):
    """Notes in a JPEG that it was taken on the side (EXIF, tag 0x112)."""
    entry = b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + entry + b"\0" * 4
    data = path.read_bytes()
    path.write_bytes(data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2) + exif + data[2:])


def test_boxes_belong_to_the_image_of_the_size_that_was_annotated(tmp_path):
    plain, tilted = write_image(tmp_path / "1.jpg"), write_image(tmp_path / "2.jpg")
    note_rotation(tilted)

    def curate_one(path, size, **options):
        track = make_track("a", ImageFiles([path]), [[20, 10, 24, 12]], source="s", frame_size=size)
        (crops,), dropped, messages = curate([track], **{"as_is": False, **options})
        return crops, dropped, messages

    expected = curate_one(plain, (64, 48))[0][0]
    # Annotated as stored: cut from the image without its rotation.
    assert curate_one(tilted, (64, 48))[0][0].image == expected.image
    # Annotated as shown.
    crops, dropped, _ = curate_one(tilted, (48, 64))
    assert not dropped and crops[0].image != expected.image
    # Neither.
    crops, dropped, (message,) = curate_one(tilted, (640, 480))
    assert not crops and dropped == {"other size than annotated": 1}
    text = "2.jpg has 64 x 48 pixels without rotation, its annotation says 640 x 480"
    assert message.endswith(text)
    # Kept as it is, the image would be turned when training decodes it.
    crops, dropped, _ = curate_one(tilted, (64, 48), as_is=True)
    assert not crops and dropped == {"other size than annotated": 1}
    assert curate_one(tilted, (48, 64), as_is=True)[0]
