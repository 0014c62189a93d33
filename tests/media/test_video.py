"""Sources and writers on clips made here, each frame of a grey level that names it."""

import fractions
import os
import pathlib
import subprocess
import sys

import av
import cv2
import imageio_ffmpeg
import numpy as np
import pytest

from siamfc_jax.media import video

COUNT, HEIGHT, WIDTH = 12, 46, 64


def picture(number, height=HEIGHT, width=WIDTH):
    """A frame of level 20 * number, its top left quarter red."""
    frame = np.full((height, width, 3), 20 * number, np.uint8)
    frame[: height // 2, : width // 2] = [255, 0, 0]
    return frame


def write_video(path, frames, *, fps=10):
    with video.video_writer(path, frames[0].shape, fps=fps) as write:
        for frame in frames:
            write(frame)


def numbers_of(frames):
    return [round(float(frame[-8:, -8:].mean()) / 20) for frame in frames]


def read(source, **settings):
    opened = video.open_source(str(source), **settings)
    numbers, frames = zip(*opened.frames, strict=True)
    return list(numbers), list(frames), opened


def ffmpeg(*words):
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", *map(str, words)]
    subprocess.run(command, check=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One clip in every form."""
    root = tmp_path_factory.mktemp("clips")
    (root / "images").mkdir()
    for number in range(COUNT):
        bgr = picture(number)[..., ::-1]
        cv2.imwrite(str(root / "images" / f"{number}.png"), bgr)  # 10.png is after 2.png
    write_video(root / "clip.mp4", [picture(number) for number in range(COUNT)])
    ffmpeg("-display_rotation", 90, "-i", root / "clip.mp4", "-c", "copy", root / "turned.mp4")
    for name in ("clip.gif", "clip.webp", "clip.avi"):
        ffmpeg("-i", root / "clip.mp4", root / name)
    ffmpeg("-i", root / "clip.mp4", "-g", 4, "-f", "mpegts", root / "clip.ts")
    return root


@pytest.mark.parametrize(
    "name, fps",
    [
        ("clip.mp4", 10),
        ("clip.avi", 10),
        ("clip.gif", 10),
        ("clip.webp", 10),
        ("clip.ts", 10),
        ("images", 30),
        ("images/*.png", 30),
    ],
)
def test_every_source_gives_the_same_frames(folder, name, fps):
    numbers, frames, opened = read(folder / name)
    assert numbers == list(range(COUNT)) == numbers_of(frames)
    assert opened.length == COUNT
    assert opened.fps == pytest.approx(fps, rel=0.02)
    assert {frame.shape for frame in frames} == {(HEIGHT, WIDTH, 3)}
    red, green, blue = frames[3][4:16, 4:24].reshape(-1, 3).mean(0)
    assert red > 230
    assert max(green, blue) < 25


@pytest.mark.parametrize("name", ["clip.mp4", "clip.gif", "images"])
def test_range_and_stride(folder, name):
    numbers, frames, opened = read(folder / name, start=2, stop=9, stride=3)
    assert numbers == [2, 5, 8] == numbers_of(frames)
    assert opened.length == 3
    assert opened.fps == pytest.approx((30 if name == "images" else 10) / 3, rel=0.02)


def test_stop_beyond_the_end(folder):
    numbers, _, opened = read(folder / "clip.mp4", start=10, stop=99)
    assert numbers == [10, 11]
    assert opened.length == 2


def test_still_image_is_one_frame(folder):
    _, frames, opened = read(folder / "images" / "4.png")
    np.testing.assert_array_equal(frames[0], picture(4))
    assert opened.length == 1


def test_rotation_of_the_file_is_applied(folder):
    _, frames, _ = read(folder / "turned.mp4")
    assert frames[0].shape == (WIDTH, HEIGHT, 3)
    # Turned by 90 degrees against the clock: the red quarter goes to the lower left.
    assert frames[0][-16:, :16, 0].mean() > 200
    assert frames[0][:16, :16, 0].mean() < 60


def test_resize(folder):
    _, frames, _ = read(folder / "clip.mp4", resize="32x23")
    assert frames[5].shape == (23, 32, 3)
    assert numbers_of(frames) == list(range(COUNT))


def test_frames_of_several_sizes(tmp_path):
    cv2.imwrite(str(tmp_path / "0.png"), picture(0))
    cv2.imwrite(str(tmp_path / "1.png"), picture(1, 20, 30))
    message = r"frame 1 of .* has 30 x 20 pixels, those before it 64 x 46; .* --resize"
    with pytest.raises(ValueError, match=message):
        read(tmp_path)
    _, frames, _ = read(tmp_path, resize="64x46")
    assert len(frames) == 2


@pytest.mark.parametrize(
    "name, message",
    [
        ("none.mp4", "no file .*; expected a video, an image, a folder or glob of images"),
        ("*.none", "no images in"),
        ("text.txt", "cannot read .*; expected a video that FFmpeg can decode"),
        ("empty.mp4", "cannot read .*; expected a video that FFmpeg can decode"),
        ("empty", "no images in"),
    ],
)
def test_no_such_source(tmp_path, name, message):
    (tmp_path / "text.txt").write_text("words\n" * 50)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=message):
        read(tmp_path / name)


def test_no_such_camera(capfd):
    with pytest.raises(ValueError, match="cannot reach 97; expected a camera number or"):
        read("97")
    assert not capfd.readouterr().err


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"start": COUNT}, f"has no frame {COUNT}; it has fewer"),
        ({"start": -1}, "frames need 0 <= start < stop and stride >= 1, got start -1"),
        ({"start": 3, "stop": 3}, "got start 3, stop 3"),
        ({"stride": 0}, "stride 0"),
        ({"resize": "32"}, "a size is WIDTHxHEIGHT in pixels such as 640x360, got '32'"),
        ({"resize": "0x5"}, "got '0x5'"),
    ],
)
def test_bad_settings(folder, settings, message):
    with pytest.raises(ValueError, match=message):
        read(folder / "clip.mp4", **settings)


def test_damaged_image_names_itself(folder, tmp_path):
    for name in ("0.png", "1.png"):
        (tmp_path / name).write_bytes((folder / "images" / name).read_bytes())
    (tmp_path / "2.png").write_bytes(b"no picture")
    frames = video.open_source(str(tmp_path)).frames
    assert [next(frames)[0], next(frames)[0]] == [0, 1]
    with pytest.raises(ValueError, match=r"cannot read image .*2\.png"):
        next(frames)


@pytest.mark.parametrize("height, width", [(46, 64), (47, 65), (1, 3)])
def test_written_video_plays_in_browsers(tmp_path, height, width):
    path = tmp_path / "new" / "out.mp4"
    write_video(path, [picture(number, height, width) for number in range(5)], fps=29.97)
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 5
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(29.97, rel=1e-5)
    fourcc = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little")
    assert fourcc in (b"avc1", b"h264")
    assert int(capture.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT)).to_bytes(4, "little") == b"I420"
    found, frame = capture.read()
    assert found
    assert frame.shape == (height + height % 2, width + width % 2, 3)
    capture.release()
    # Else the picture lags behind what is shown beside it by the frames the encoder delays.
    told = subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-i", path], stderr=subprocess.PIPE)
    assert b"start: 0.000000" in told.stderr


def streams(path):
    """Returns type -> (codec, first second, last second) of the streams of a file."""
    found = {}
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.size:
                begin = float(packet.pts * packet.time_base)
                end = begin + float(packet.duration * packet.time_base)
                name = packet.stream.codec_context.name
                _, low, high = found.get(packet.stream.type, (name, begin, end))
                found[packet.stream.type] = name, min(low, begin), max(high, end)
    return found


@pytest.mark.parametrize(
    "name, words, codec",
    [
        ("a.mp4", ["-c:a", "aac"], "aac"),
        ("a.mkv", ["-c:a", "mp3"], "mp3float"),
        ("a.webm", ["-c:v", "libvpx", "-c:a", "libopus"], "opus"),
        ("a.mkv", ["-c:a", "vorbis", "-strict", "-2", "-ac", 2], "aac"),
        ("a.avi", ["-c:a", "pcm_s16le"], "aac"),
    ],
)
def test_sound_of_the_source_is_kept(folder, tmp_path, name, words, codec, capfd):
    # Silence, and a tone from .6 s to .9 s.
    tone = ["-f", "lavfi", "-i", "aevalsrc=sin(2500*t)*between(t\\,.6\\,.9):duration=3"]
    ffmpeg("-i", folder / "clip.mp4", *tone, *words, tmp_path / name)
    source = video.open_source(tmp_path / name, start=3, stop=11, stride=2)
    with video.video_writer(tmp_path / "out.mp4", (46, 64, 3), fps=source.fps, source=source) as w:
        for number, frame in source.frames:
            w(frame, number)
    found = streams(tmp_path / "out.mp4")
    assert found["video"][1:] == pytest.approx((0, 0.8), abs=0.01)
    assert found["audio"][0] == codec
    assert found["audio"][1] < 0.05 and 0.7 < found["audio"][2] < 0.9
    with av.open(str(tmp_path / "out.mp4")) as container:
        loud = [f.time for f in container.decode(audio=0) if np.abs(f.to_ndarray()).max() > 0.1]
    assert min(loud) == pytest.approx(0.3, abs=0.06) and max(loud) == pytest.approx(0.6, abs=0.06)
    assert not capfd.readouterr().err


def test_sound_that_cannot_be_kept_is_told(folder, tmp_path, capfd):
    source = video.open_source(folder / "clip.mp4")._replace(sound="http://somewhere/a.mp4")
    with video.video_writer(tmp_path / "a.mp4", (46, 64, 3), fps=10, source=source) as write:
        write(picture(0))
    assert "the sound of http://somewhere/a.mp4 is left out" in capfd.readouterr().err
    source = source._replace(sound=str(tmp_path / "none.mp4"))
    with video.video_writer(tmp_path / "b.mp4", (46, 64, 3), fps=10, source=source) as write:
        write(picture(0))
    assert "none.mp4 is left out: No such file" in capfd.readouterr().err
    assert read(tmp_path / "b.mp4")[0] == [0]


def test_frames_keep_the_times_of_the_source(folder, tmp_path):
    held = ["-vf", "setpts=(N+30*gt(N\\,5))/10/TB", "-fps_mode", "vfr"]
    ffmpeg("-i", folder / "clip.mp4", *held, tmp_path / "held.mkv")
    source = video.open_source(tmp_path / "held.mkv", start=2)
    with video.video_writer(tmp_path / "out.mp4", (46, 64, 3), fps=source.fps, source=source) as w:
        for number, frame in source.frames:
            w(frame, number)
    numbers, frames, opened = read(tmp_path / "out.mp4")
    assert numbers_of(frames) == list(range(2, COUNT))
    times = [opened.time_of(number) for number in numbers]
    truth = [(n - 2 + 30 * (n > 5)) / 10 for n in range(2, COUNT)]
    np.testing.assert_allclose(times, truth, atol=2e-3)


@pytest.mark.parametrize("resize, shape", [(None, fractions.Fraction(64, 45)), ("64x46", None)])
def test_shape_of_pixels_is_kept(folder, tmp_path, resize, shape):
    ffmpeg("-i", folder / "clip.mp4", "-vf", "setsar=64/45", "-c:v", "mpeg4", tmp_path / "dvd.avi")
    source = video.open_source(tmp_path / "dvd.avi", resize=resize)
    with video.video_writer(tmp_path / "out.mp4", (46, 64, 3), fps=10, source=source) as write:
        for number, frame in source.frames:
            write(frame, number)
    with av.open(str(tmp_path / "out.mp4")) as container:
        written = container.streams.video[0].sample_aspect_ratio
    assert written == shape if shape else written in (None, 0, 1)  # None or 0: not said


def test_older_video_stands_until_the_new_one_is_whole(folder, tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")
    with video.video_writer(path, (46, 64, 3), fps=10) as write:
        write(picture(3))
        assert path.read_bytes() == b"old"
    assert numbers_of(read(path)[1]) == [3]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("end", ["kill", "disk"])
def test_what_was_written_can_be_played(tmp_path, end):
    script = f"""
import resource, sys, time
import numpy as np
from siamfc_jax.media import video
noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
if {end == "disk"}:
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    with video.video_writer("out.mp4", noise.shape, fps=30) as write:
        for number in range(400):
            write(np.roll(noise, 7 * number, axis=1))
        print("written", flush=True)
        time.sleep(60)
except ValueError as error:
    print(error, flush=True)
"""
    env = os.environ | {"PYTHONPATH": str(pathlib.Path(video.__file__).parents[2])}
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE) as process:
        line = process.stdout.readline().decode()
        process.kill()
    disk = "cannot write out.mp4: File too large\n"
    assert line == (disk if end == "disk" else "written\n")
    numbers, *_ = read(tmp_path / "out.mp4")
    assert len(numbers) > (20 if end == "disk" else 300)


@pytest.mark.parametrize("fps", [0.1, 24000 / 1001, 25, 30000 / 1001, 60000 / 1001, 1000])
def test_rate_of_the_written_video(tmp_path, fps):
    write_video(tmp_path / "a.mp4", [picture(number) for number in range(12)], fps=fps)
    assert video.open_source(tmp_path / "a.mp4").fps == pytest.approx(fps, rel=1e-5)


def test_writer_refuses(tmp_path):
    (tmp_path / "file").touch()
    for name, message in [
        ("out.avi", r"must end in \.mp4"),
        ("file/out.mp4", "cannot write .*; choose another place"),
    ]:
        with pytest.raises(ValueError, match=message):
            write_video(tmp_path / name, [picture(0)])


def test_encoder_that_fails(tmp_path):
    """A size beyond H.264 stands for a full disk: the encoder ends on its own."""
    frame = np.zeros((2, 40000, 3), np.uint8)
    with pytest.raises(ValueError, match=r"cannot write .*out\.mp4: "):
        write_video(tmp_path / "out.mp4", [frame] * 50)


def test_reading_ahead_changes_nothing_but_the_time():
    read = []

    def frames():
        for number in range(5):
            read.append(number)
            yield number
        raise ValueError("damaged")

    ahead, found = video.read_ahead(frames(), 2), []
    assert next(ahead) == 0
    assert len(read) <= 3  # the one that was asked for, and two more
    with pytest.raises(ValueError, match="damaged"):
        found.extend(ahead)
    assert found == [1, 2, 3, 4]
    assert list(video.read_ahead(iter(()), 2)) == []
