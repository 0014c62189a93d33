"""The one decoder of images, and the order of the files in a folder."""

import cv2
import numpy as np
import pytest

from siamfc_jax.images import list_images, read_rgb


def picture(height=40, width=60):
    """A noisy picture, so that its JPEG has a long scan to be cut."""
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)


def encode(suffix, image=None, *options):
    done, data = cv2.imencode(suffix, picture() if image is None else image, options)
    assert done
    return data.tobytes()


def with_thumbnail(data):
    """Puts a whole small JPEG into a segment before the scan, as cameras do."""
    small = encode(".jpg", picture(8, 8))
    segment = b"\xff\xe1" + (len(small) + 2).to_bytes(2) + small
    return data[:2] + segment + data[2:]


def turned(data, orientation=6):
    """Notes a rotation in a JPEG (EXIF, tag 0x112)."""
    entry = b"\x01\x12\x00\x03\x00\x00\x00\x01" + orientation.to_bytes(2) + b"\0\0"
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + entry + b"\0" * 4
    return data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2) + exif + data[2:]


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_lossless_images_come_back_in_rgb(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(encode(suffix))
    for source in (path, str(path), path.read_bytes()):
        np.testing.assert_array_equal(read_rgb(source), picture()[..., ::-1])


def test_every_kind_of_pixel_becomes_three_channels(tmp_path):
    grey = picture()[..., 0]
    np.testing.assert_array_equal(read_rgb(encode(".png", grey)), np.dstack([grey] * 3))
    deep = grey.astype(np.uint16) * 256 + 7
    np.testing.assert_array_equal(read_rgb(encode(".png", deep)), np.dstack([grey] * 3))
    clear = np.dstack([picture(), grey])
    np.testing.assert_array_equal(read_rgb(encode(".png", clear)), picture()[..., ::-1])


def test_a_noted_rotation_is_applied_unless_told_not_to():
    data = turned(encode(".jpg"))
    assert read_rgb(data).shape == (60, 40, 3)
    plain = read_rgb(data, turn=False)
    np.testing.assert_array_equal(plain, read_rgb(encode(".jpg")))
    np.testing.assert_array_equal(read_rgb(data), np.rot90(plain, -1))


PROGRESSIVE = (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
JPEGS = {
    "plain": encode(".jpg"),
    "progressive": encode(".jpg", None, *PROGRESSIVE),
    "thumbnail": with_thumbnail(encode(".jpg")),
    "turned": turned(encode(".jpg")),
}


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("part", [0.01, 0.3, 0.6, 0.9, 0.999])
def test_a_jpeg_that_is_cut_off_is_named(tmp_path, kind, part):
    path, data = tmp_path / "a.jpg", JPEGS[kind]
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(ValueError, match=r"^cannot read image .*a.jpg \("):
        read_rgb(path)


@pytest.mark.parametrize("kind", JPEGS)
def test_a_download_that_stopped_leaves_zeros_which_is_seen(kind):
    data = JPEGS[kind]
    with pytest.raises(ValueError, match=r"^cannot read image record 7 \(it is cut off\)"):
        read_rgb(data[: len(data) * 2 // 3].ljust(len(data), b"\0"), name="record 7")


@pytest.mark.parametrize("kind", JPEGS)
def test_what_stands_behind_the_end_of_an_image_does_not_matter(kind):
    expected = read_rgb(JPEGS[kind])
    for tail in (b"\0" * 100, b"\xff\xda", JPEGS["plain"][:300]):
        np.testing.assert_array_equal(read_rgb(JPEGS[kind] + tail), expected)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp"])
def test_other_images_that_are_cut_off_are_errors(suffix):
    data = encode(suffix)
    with pytest.raises(ValueError, match=r"cannot read image here \(it is damaged or no image\)"):
        read_rgb(data[: len(data) // 2], name="here")


@pytest.mark.parametrize("data", [b"", b"no image", b"\xff\xd8", b"\xff\xd8\xff", b"\xff" * 9])
def test_what_is_no_image_is_named(tmp_path, data):
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ValueError, match=r"^cannot read image .*a.png \(it is"):
        read_rgb(tmp_path / "a.png")


def test_a_file_that_is_not_there_is_named(tmp_path):
    for name in ("a.jpg", "nul\0.jpg"):
        with pytest.raises(ValueError, match=r"^cannot read image .*\.jpg \("):
            read_rgb(tmp_path / name)
    with pytest.raises(ValueError, match=r"a.jpg \(No such file or directory\)"):
        read_rgb(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    "names",
    [
        ["1.jpg", "2.jpg", "3.PNG", "10.jpg"],
        ["10.25.jpg", "10.5.jpg", "10.75.jpg", "11.jpg", "100.0.jpg"],  # seconds
        ["img_2_9.jpg", "img_2_10.jpg", "img_10_1.jpg"],
        ["2023-12-31_23-59-59.jpg", "2024-01-02_10-00-05.jpg", "2024-01-10_09-00-00.jpg"],
        ["2023.12.31.jpg", "2024.1.2.jpg", "2024.1.10.jpg"],
        ["frame1.jpg", "Frame2.jpg", "frame10.jpg"],
        ["1305031102.175304.png", "1305031102.211214.png"],
        ["a.jpg", "a1.jpg", "b.jpg"],
        ["9.jpg", "99999999999999999999.jpg"],
    ],
    ids=str,
)
def test_natural_order(tmp_path, names):
    for name in reversed(names):
        (tmp_path / name).touch()
    assert [path.name for path in list_images(tmp_path)] == names


def test_only_images_are_listed(tmp_path):
    for name in (
        "b.JPG",
        "a.jpeg",
        ".a.jpg",
        "._b.JPG",
        "Thumbs.db",
        "desktop.ini",
        "a.txt",
        "png",
    ):
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["a.jpeg", "b.JPG"]
    assert list_images(tmp_path / "missing") == []
    assert list_images(tmp_path / "a.txt") == []
