"""Images of every depth, order and kind, made here; what is cut off is an error."""

import struct

import cv2
import numpy as np
import PIL.Image
import pytest

from siamfc_jax.media import image_sources, video


def scene(number=0, dtype=np.uint8):
    """A picture whose red falls, green rises and blue is the number."""
    picture = np.zeros((32, 48, 3), dtype)
    picture[..., 0] = np.linspace(250, 5, 48)
    picture[..., 1] = np.linspace(5, 250, 32)[:, None]
    picture[..., 2] = number
    return picture


def read(path):
    opened = video.open_source(path)
    frames = [frame for _, frame in opened.frames]
    assert len(frames) == opened.length
    return np.stack(frames)


def test_modes_of_one_image(tmp_path):
    image = PIL.Image.fromarray(scene())
    grey = np.asarray(image.convert("L"))
    for name, mode in [("l.png", "L"), ("l.jpg", "L"), ("la.png", "LA"), ("l.tif", "L")]:
        image.convert(mode).save(tmp_path / name)
        assert np.abs(read(tmp_path / name)[0].astype(int) - grey[..., None]).max() <= 4
    image.convert("1").save(tmp_path / "one.png")
    assert set(np.unique(read(tmp_path / "one.png"))) == {0, 255}
    image.quantize(200).save(tmp_path / "palette.png")
    truth = np.asarray(image.quantize(200).convert("RGB"))
    np.testing.assert_array_equal(read(tmp_path / "palette.png")[0], truth)
    for name in ("a.bmp", "a.tif", "a.ppm", "a.png", "a.webp"):
        image.save(tmp_path / name, lossless=True)
        np.testing.assert_array_equal(read(tmp_path / name)[0], scene())
    clear = image.copy()
    clear.putalpha(0)
    clear.save(tmp_path / "alpha.png")
    np.testing.assert_array_equal(read(tmp_path / "alpha.png")[0], scene())
    for name in ("cmyk.jpg", "cmyk.tif"):
        image.convert("CMYK").save(tmp_path / name, quality=100)
        assert np.abs(read(tmp_path / name)[0].astype(int) - scene()).mean() < 3


@pytest.mark.parametrize("alone", [True, False])
def test_rotation_tag_is_obeyed(tmp_path, alone):
    image, tags = PIL.Image.fromarray(scene()), PIL.Image.Exif()
    tags[0x0112] = 6
    image.save(tmp_path / "a.jpg", exif=tags, quality=100, subsampling=0)
    frame = read(tmp_path / "a.jpg" if alone else tmp_path)[0]
    assert np.abs(frame.astype(int) - np.rot90(scene(), -1)).max() <= 8


@pytest.mark.parametrize("color", [True, False])
def test_pages_of_a_tiff(tmp_path, color):
    pages = [scene(20 * number) if color else scene(20 * number)[..., 0] for number in range(5)]
    cv2.imwritemulti(
        str(tmp_path / "a.tif"), [page[..., ::-1] if color else page for page in pages]
    )
    frames = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(frames, np.stack(pages).reshape(5, 32, 48, -1) + 0 * frames)
    numbers = [
        number for number, _ in video.open_source(tmp_path / "a.tif", start=1, stride=2).frames
    ]
    assert numbers == [1, 3]


def tiff(path, image, *, meaning=1, planes=1):
    """Writes a TIFF of 16 bits by hand, as no library here writes these kinds."""
    height, width, *rest = image.shape
    channels = rest[0] if rest else 1
    strips = [image] if planes == 1 else list(image.transpose(2, 0, 1))
    data = b"".join(strip.astype("<u2").tobytes() for strip in strips)
    size = len(data) // len(strips)
    lists = [[16] * channels, [8 + n * size for n in range(len(strips))], [size] * len(strips)]
    place = 8 + len(data)
    places, lists_data = [], b""
    for values, code in zip(lists, "HII", strict=True):
        packed = struct.pack(f"<{len(values)}{code}", *values)
        inline = int.from_bytes(packed.ljust(4, b"\0"), "little")
        places.append(inline if len(packed) <= 4 else place + len(lists_data))
        lists_data += packed if len(packed) > 4 else b""
    tags = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, channels, places[0]), (259, 3, 1, 1),
        (262, 3, 1, meaning), (273, 4, len(strips), places[1]), (277, 3, 1, channels),
        (278, 4, 1, height), (279, 4, len(strips), places[2]), (284, 3, 1, planes),
    ]  # fmt: skip
    head = struct.pack("<2sHI", b"II", 42, place + len(lists_data))
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    end = struct.pack("<H", len(tags)) + entries + bytes(4)
    path.write_bytes(head + data + lists_data + end)


@pytest.mark.parametrize("alone", [True, False])
def test_deep_tiff_in_which_0_is_white(tmp_path, alone):
    grey = scene()[..., 0].astype(np.uint16) * 257
    tiff(tmp_path / "a.tif", 65535 - grey, meaning=0)
    frames = read(tmp_path / "a.tif" if alone else tmp_path)
    np.testing.assert_array_equal(frames[0], np.repeat(scene()[..., :1], 3, 2))


@pytest.mark.parametrize("alone", [True, False])
def test_deep_tiff_whose_channels_lie_apart_is_refused(tmp_path, alone):
    colors = scene().astype(np.uint16) * 257
    tiff(tmp_path / "a.tif", colors, meaning=2)
    np.testing.assert_array_equal(read(tmp_path / "a.tif" if alone else tmp_path)[0], scene())
    tiff(tmp_path / "a.tif", colors, meaning=2, planes=2)
    with pytest.raises(ValueError, match=r"a\.tif; its channels of more than 8 bits lie apart"):
        read(tmp_path / "a.tif" if alone else tmp_path)


def test_aerial_images_are_not_too_large(tmp_path, recwarn):
    PIL.Image.new("1", (14400, 12800)).save(tmp_path / "a.png")
    assert video.open_source(tmp_path / "a.png").length == 1  # which decodes nothing yet
    assert not recwarn.list


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_animations_are_read_frame_by_frame(tmp_path, name):
    pictures = [PIL.Image.fromarray(scene(20 * number)) for number in range(8)]
    settings = {"lossless": True} if name == "a.webp" else {}
    pictures[0].save(
        tmp_path / name, save_all=True, append_images=pictures[1:], duration=200, **settings
    )
    frames = read(tmp_path / name)
    assert len(frames) == 8
    assert np.abs(frames.astype(int) - np.stack([np.asarray(p) for p in pictures])).mean() < 6
    opened = video.open_source(tmp_path / name, start=2, stop=6, stride=3)
    assert [number for number, _ in opened.frames] == [2, 5]
    assert opened.fps == pytest.approx(5 / 3)
    assert opened.time_of(5) == pytest.approx(1)


def deep(folder, low, high, count=7, dtype=np.uint16):
    """Writes grey images of values from low to high, one hot pixel in the last."""
    folder.mkdir(exist_ok=True)
    row = np.linspace(low, high, 48)
    for number in range(count):
        picture = np.tile(row, (32, 1)).astype(dtype)
        cv2.imwrite(str(folder / f"{number}.tiff"), picture)


@pytest.mark.parametrize("low, high", [(0, 900), (7000, 9000), (0, 4095), (29000, 30000)])
def test_few_levels_of_sixteen_bits_are_stretched_and_said(tmp_path, low, high, capfd):
    deep(tmp_path / "a", low, high)
    frames = read(tmp_path / "a").astype(int)
    assert (frames == frames[0]).all()
    line = frames[0, 0, :, 0]
    # An eighth of the span is left free on both sides: 204 of 255 levels.
    np.testing.assert_allclose(line, 25.5 + np.linspace(0, 204, 48), atol=2)
    said = capfd.readouterr().err
    assert said.count("\n") == 1 and "holds more than 8 bits; its values" in said


def test_full_range_of_sixteen_bits(tmp_path, capfd):
    deep(tmp_path / "a", 0, 65535)
    np.testing.assert_allclose(read(tmp_path / "a")[0, 0, :, 0], np.linspace(0, 255, 48), atol=1)
    cv2.imwrite(str(tmp_path / "color.png"), scene()[..., ::-1].astype(np.uint16) * 257)
    np.testing.assert_array_equal(read(tmp_path / "color.png")[0], scene())
    assert not capfd.readouterr().err


def test_later_frames_keep_the_range_of_the_first(tmp_path):
    deep(tmp_path / "a", 7000, 9000, count=8)
    cv2.imwrite(str(tmp_path / "a" / "7.tiff"), np.full((32, 48), 60000, np.uint16))
    frames = read(tmp_path / "a")
    assert (frames[6] == frames[0]).all() and (frames[7] == 255).all()


def test_floating_point_images(tmp_path):
    deep(tmp_path / "a", -3, 5, dtype=np.float32)
    assert np.ptp(read(tmp_path / "a")[0].astype(int)) > 200
    deep(tmp_path / "b", 0, 1, dtype=np.float32)
    np.testing.assert_allclose(read(tmp_path / "b")[0, 0, :, 0], np.linspace(0, 255, 48), atol=1)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.bmp", "a.webp", "a.gif"])
def test_image_that_is_cut_off_names_itself(tmp_path, name, capfd):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    PIL.Image.fromarray(noise).save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) * 2 // 3])
    for source in (tmp_path / name, tmp_path):
        with pytest.raises(ValueError, match=rf"cannot read image .*{name}"):
            read(source)
    assert not capfd.readouterr().err


def test_hidden_and_system_files_are_left_out(tmp_path):
    for name in ("1.png", "._1.png", ".hidden.png"):
        cv2.imwrite(str(tmp_path / "x.png"), scene())
        (tmp_path / "x.png").rename(tmp_path / name)
    (tmp_path / "._1.png").write_bytes(b"\0\5\x16\7")
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "dir.png").mkdir()
    for source in (tmp_path, f"{tmp_path}/*"):
        assert [path.name for path in image_sources.find_images(str(source))] == ["1.png"]


def test_brackets_in_the_name_of_a_file_that_is_there(tmp_path):
    cv2.imwrite(str(tmp_path / "x.png"), scene()[..., ::-1])
    (tmp_path / "x.png").rename(tmp_path / "a [b].png")
    (tmp_path / "c [d]").mkdir()
    (tmp_path / "c [d]" / "0.png").write_bytes((tmp_path / "a [b].png").read_bytes())
    for source in (tmp_path / "a [b].png", tmp_path / "c [d]", f"{tmp_path}/a?[[]b].png"):
        np.testing.assert_array_equal(read(source), scene()[None])
