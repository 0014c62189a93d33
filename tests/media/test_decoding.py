"""Videos of every kind, made here by ffmpeg, must come out as ffmpeg itself shows them."""

import gc
import http.server
import re
import subprocess
import threading

import av
import imageio_ffmpeg
import numpy as np
import pytest

from siamfc_jax.media import decoding, video

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
COUNT, HEIGHT, WIDTH = 12, 48, 64
SCENE = ["-f", "lavfi", "-i", f"testsrc2=size={WIDTH}x{HEIGHT}:rate=10:duration=1.2"]
SOUND = ["-f", "lavfi", "-i", "sine=440:duration=3"]
X264 = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "6"]
STILL = ["-f", "lavfi", "-i", "color=red:size=32x32:duration=0.04"]

# name: (words of ffmpeg that make it, frames that it must show).
KINDS = {
    "h264.mp4": ([*SCENE, *X264], 12),
    "hevc.mp4": ([*SCENE, "-c:v", "libx265", "-x265-params", "log-level=none"], 12),
    "av1.mp4": ([*SCENE, "-c:v", "libsvtav1", "-pix_fmt", "yuv420p"], 12),
    "vp8.webm": ([*SCENE, "-c:v", "libvpx"], 12),
    "vp9.webm": ([*SCENE, "-c:v", "libvpx-vp9"], 12),
    "prores.mov": ([*SCENE, "-c:v", "prores_ks"], 12),
    "raw.mjpeg": ([*SCENE, "-c:v", "mjpeg"], 12),
    "raw.h264": ([*SCENE, *X264], 12),
    "clip.ts": ([*SCENE, *X264], 12),
    "clip.avi": ([*SCENE, "-c:v", "mpeg4"], 12),
    "clip.flv": ([*SCENE, *X264], 12),
    "clip.wmv": ([*SCENE], 12),
    "clip.mpg": ([*SCENE, "-r", "25", "-c:v", "mpeg2video"], 30),
    "clip.gif": ([*SCENE], 12),
    "clip.y4m": ([*SCENE], 12),
    "interlaced.mp4": ([*SCENE, *X264, "-x264-params", "tff=1"], 12),
    "interlaced.mpg": (
        [*SCENE, "-r", "25", "-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-vf",
         "setfield=tff"], 30),
    "vfr.mkv": ([*SCENE, *X264, "-vf", "setpts=N*N/10/TB", "-fps_mode", "passthrough"], 12),
    "held.mp4": ([*SCENE, *X264, "-vf", "setpts=(N+30*gt(N\\,5))/10/TB", "-fps_mode", "vfr"], 12),
    "slow.mp4": ([*SCENE, *X264, "-vf", "setpts=2*N/TB", "-r", "0.5"], 12),
    "ten_bits.mp4": (
        [*SCENE, "-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-x265-params", "log-level=none"],
        12),
    "full_range.mp4": ([*SCENE, "-c:v", "libx264", "-pix_fmt", "yuvj420p"], 12),
    "bt709.mp4": ([*SCENE, *X264, "-vf", "scale=out_color_matrix=bt709", "-colorspace", "bt709"],
                  12),
    "grey.mkv": ([*SCENE, "-c:v", "ffv1", "-pix_fmt", "gray"], 12),
    "rgb.mkv": ([*SCENE, "-c:v", "ffv1", "-pix_fmt", "bgr0"], 12),
    "alpha.mov": ([*SCENE, "-c:v", "qtrle", "-pix_fmt", "argb"], 12),
    "palette.avi": ([*SCENE, "-c:v", "rawvideo", "-pix_fmt", "pal8"], 12),
    "odd.webm": ([*SCENE, "-c:v", "libvpx-vp9", "-vf", "crop=63:45:0:0"], 12),
    "long_sound.mp4": ([*SCENE, *SOUND, *X264], 12),
    "long_sound.webm": ([*SCENE, *SOUND, "-c:v", "libvpx"], 12),
    "late.mkv": ([*SCENE, *X264, "-output_ts_offset", "7"], 12),
    "b_frames.avi": ([*SCENE, "-c:v", "mpeg4", "-bf", "2"], 12),
    "camera.mpjpeg": ([*SCENE, "-f", "mpjpeg"], 12),
    "cover.mp4": ([*STILL, *SCENE, "-map", "0", "-map", "1", *X264, "-c:v:0", "png",
                   "-disposition:v:0", "attached_pic"], 12),
}  # fmt: skip


def ffmpeg(*words, output=False):
    command = [FFMPEG, "-y", "-loglevel", "error", *map(str, words)]
    return subprocess.run(command, check=True, capture_output=output).stdout


def shown(path, *filters, size=None):
    """Returns the frames of a video as ffmpeg gives them."""
    with av.open(f"file:{path}") as container:
        stream = decoding._pick_stream(container, str(path))
        width, height = size or (stream.codec_context.width, stream.codec_context.height)
        index = stream.index
    words = ["-i", path, "-map", f"0:{index}", "-fps_mode", "passthrough", *filters]
    data = ffmpeg(*words, "-f", "rawvideo", "-pix_fmt", "rgb24", "-", output=True)
    return np.frombuffer(data, np.uint8).reshape(-1, height, width, 3)


def read(path, **settings):
    """Returns (numbers, frames u8[T, H, W, 3], Source)."""
    opened = video.open_source(path, **settings)
    numbers, frames = zip(*opened.frames, strict=True)
    return list(numbers), np.stack(frames), opened


def check_landmarks(path, frames, monkeypatch):
    """Reads parts of a video again from key frames that were passed: they must be the same."""
    monkeypatch.setattr(decoding, "APART", 1)
    landmarks = {}
    read(path, landmarks=landmarks)
    for start in {1, len(frames) // 2, len(frames) - 1}:
        numbers, part, _ = read(path, start=start, landmarks=landmarks)
        assert numbers == list(range(start, len(frames)))
        np.testing.assert_array_equal(part, frames[start:])


@pytest.mark.parametrize("name", KINDS)
def test_frames_are_those_of_ffmpeg(tmp_path, name, capfd, monkeypatch):
    words, count = KINDS[name]
    ffmpeg(*words, tmp_path / name)
    filters = ["-vf", "yadif=deint=interlaced"] if "interlaced" in name else []
    truth = shown(tmp_path / name, *filters)
    capfd.readouterr()
    numbers, frames, opened = read(tmp_path / name)
    assert len(truth) == count
    assert numbers == list(range(count))
    assert frames.shape == truth.shape
    assert np.abs(frames.astype(int) - truth).max() <= 1
    assert frames[..., 1].std() > 20  # a picture
    assert not opened.gaps and not capfd.readouterr().err
    assert opened.length == count or not name.endswith((".mp4", ".webm", ".ts", ".mov"))
    check_landmarks(tmp_path / name, frames, monkeypatch)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_what_was_passed_is_not_decoded_again(tmp_path, name, monkeypatch):
    # Open groups: frames shown before a key frame come after it in the file.
    open_groups = ["-x264-params", "open-gop=1:bframes=3:keyint=6:min-keyint=6:scenecut=0"]
    ffmpeg(*SCENE, *X264[:-2], *open_groups, tmp_path / name)
    _, frames, _ = read(tmp_path / name)
    check_landmarks(tmp_path / name, frames, monkeypatch)
    decoded, inner = [], decoding._frames

    def spy(*args):
        for frame in inner(*args):
            decoded.append(frame)
            yield frame

    monkeypatch.setattr(decoding, "_frames", spy)
    landmarks = {}
    read(tmp_path / name, landmarks=landmarks)
    assert len(decoded) == COUNT and landmarks
    decoded.clear()
    _, (last,), _ = read(tmp_path / name, start=COUNT - 1, landmarks=landmarks)
    assert len(decoded) < COUNT
    np.testing.assert_array_equal(last, frames[-1])
    # A landmark that is none leads nowhere, so the file is counted from its begin.
    _, part, _ = read(tmp_path / name, start=9, landmarks={8: landmarks[max(landmarks)] + 1})
    np.testing.assert_array_equal(part, frames[9:])


@pytest.mark.parametrize(
    "matrix", ["-display_rotation 90", "-display_rotation 180", "-display_rotation 270",
               "-display_hflip", "-display_vflip", "-display_rotation 90 -display_hflip"],
)  # fmt: skip
def test_turned_and_mirrored_as_ffmpeg_does(tmp_path, matrix):
    ffmpeg(*SCENE, *X264, tmp_path / "a.mp4")
    ffmpeg(*matrix.split(), "-i", tmp_path / "a.mp4", "-c", "copy", tmp_path / "b.mp4")
    size = (HEIGHT, WIDTH) if "90" in matrix or "270" in matrix else (WIDTH, HEIGHT)
    _, frames, _ = read(tmp_path / "b.mp4")
    np.testing.assert_array_equal(frames, shown(tmp_path / "b.mp4", size=size))


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
def test_hdr_looks_like_the_scene(tmp_path, transfer):
    ffmpeg(*SCENE, "-c:v", "ffv1", "-pix_fmt", "bgr0", tmp_path / "scene.mkv")
    colors = f"colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc:log-level=none:crf=8"
    light = "zscale=matrixin=gbr:transferin=bt709:primariesin=bt709:npl=203"
    light += f":t={transfer}:p=bt2020:m=bt2020nc:r=tv,format=yuv420p10le"
    words = ["-vf", light, "-c:v", "libx265", "-x265-params", colors, tmp_path / "hdr.mp4"]
    ffmpeg("-i", tmp_path / "scene.mkv", *words)
    scene, hdr = (read(tmp_path / name)[1].astype(float) for name in ("scene.mkv", "hdr.mp4"))
    untouched = shown(tmp_path / "hdr.mp4").astype(float)
    assert abs(hdr.mean() - scene.mean()) < 12
    assert np.abs(hdr - scene).mean() < 0.7 * np.abs(untouched - scene).mean()


def test_of_several_videos_the_one_that_ffmpeg_takes(tmp_path):
    small = ["-f", "lavfi", "-i", "testsrc=size=32x24:rate=10:duration=1"]
    ffmpeg(*small, *SCENE, "-map", 0, "-map", 1, *X264, "-disposition", 0, tmp_path / "a.mkv")
    data = ffmpeg("-i", tmp_path / "a.mkv", "-f", "rawvideo", "-pix_fmt", "rgb24", "-", output=True)
    frames = np.frombuffer(data, np.uint8).reshape(-1, HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(read(tmp_path / "a.mkv")[1], frames)


def test_edit_list_is_obeyed(tmp_path, capfd, monkeypatch):
    ffmpeg(*SCENE, *X264, tmp_path / "a.mp4")
    ffmpeg("-ss", 0.25, "-i", tmp_path / "a.mp4", "-c", "copy", tmp_path / "b.mp4")
    numbers, frames, _ = read(tmp_path / "b.mp4")
    truth = shown(tmp_path / "b.mp4")
    assert len(truth) < COUNT
    np.testing.assert_array_equal(frames, truth)
    assert numbers == list(range(len(truth)))
    assert not capfd.readouterr().err
    check_landmarks(tmp_path / "b.mp4", frames, monkeypatch)


def test_avi_without_index(tmp_path, capfd):
    ffmpeg(*SCENE, "-c:v", "mjpeg", tmp_path / "a.avi")
    data = (tmp_path / "a.avi").read_bytes()
    (tmp_path / "b.avi").write_bytes(data[: data.rindex(b"idx1")])
    numbers, frames, _ = read(tmp_path / "b.avi")
    np.testing.assert_array_equal(frames, shown(tmp_path / "a.avi"))
    assert numbers == list(range(COUNT))
    assert not capfd.readouterr().err


def test_times_are_those_of_the_file(tmp_path):
    words, _ = KINDS["held.mp4"]
    ffmpeg(*words, tmp_path / "held.mp4")
    _, _, opened = read(tmp_path / "held.mp4")
    times = [opened.time_of(number) for number in range(COUNT)]
    np.testing.assert_allclose(times, [(n + 30 * (n > 5)) / 10 for n in range(COUNT)], atol=1e-3)


def test_recording_that_begins_between_key_frames(tmp_path, capfd):
    ffmpeg(*SCENE, *X264, tmp_path / "a.ts")
    data = (tmp_path / "a.ts").read_bytes()
    with av.open(str(tmp_path / "a.ts")) as container:
        third = [packet.pos for packet in container.demux(video=0) if packet.size][2]
    (tmp_path / "b.ts").write_bytes(data[: 3 * 188] + data[third:])
    numbers, frames, opened = read(tmp_path / "b.ts")
    np.testing.assert_array_equal(frames, shown(tmp_path / "a.ts")[6:])
    assert numbers == list(range(6))
    assert not opened.gaps


def damaged(tmp_path, name, *words):
    """Makes a clip with a key frame every 6 frames and 3 s, and zeros in its middle."""
    scene = ["-f", "lavfi", "-i", f"testsrc2=size={WIDTH}x{HEIGHT}:rate=10:duration=3"]
    ffmpeg(*scene, *words, "-g", 6, tmp_path / name)
    truth = shown(tmp_path / name)
    with av.open(str(tmp_path / name)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        first, last = packets[8].pos + 100, packets[15].pos
    data = bytearray((tmp_path / name).read_bytes())
    data[first:last] = bytes(last - first)
    (tmp_path / name).write_bytes(data)
    return truth


@pytest.mark.parametrize(
    "name, words",
    [
        ("a.mkv", X264),
        ("a.mp4", [*X264, "-movflags", "faststart"]),
        ("a.ts", X264),
        ("a.avi", ["-c:v", "mjpeg"]),
        ("vp8.webm", ["-c:v", "libvpx"]),
    ],
)
def test_damage_in_the_middle_is_left_out_and_told(tmp_path, name, words, capfd):
    truth = damaged(tmp_path, name, *words)
    numbers, frames, opened = read(tmp_path / name)
    assert 0 < len(numbers) < len(truth)
    assert numbers[:5] == list(range(5)) and numbers[-5:] == list(range(25, 30))
    # Each frame that is given is a true one, under its own number.
    assert np.abs(frames.astype(int) - truth[numbers]).max() <= 1
    missing = sorted(set(range(30)) - set(numbers))
    assert missing == list(range(missing[0], missing[-1] + 1))
    assert len(opened.gaps) == 1
    assert f"frames {missing[0]} to {missing[-1]} are missing" in opened.gaps[0]
    begin, end = missing[0] / 10, (missing[-1] + 1) / 10
    begin, end = (t + opened.time_of(0) for t in (begin, end))
    assert f"is damaged from {begin:.2f} to {end:.2f} s" in opened.gaps[0]
    assert capfd.readouterr().err == opened.gaps[0] + "\n"


def test_start_in_the_damage(tmp_path):
    damaged(tmp_path, "a.mkv", *X264)
    numbers, *_ = read(tmp_path / "a.mkv")
    gap = min(set(range(30)) - set(numbers))
    with pytest.raises(ValueError, match=rf"frame {gap} of .* is damaged; start with frame 1\d"):
        read(tmp_path / "a.mkv", start=gap)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.flv"])
def test_cut_off_is_told(tmp_path, name, capfd):
    scene = ["-f", "lavfi", "-i", f"testsrc2=size={WIDTH}x{HEIGHT}:rate=10:duration=6"]
    codec = ["-c:v", "mjpeg"] if name == "a.avi" else X264
    ffmpeg(*scene, *codec, *["-movflags", "faststart"] * (name == "a.mp4"), tmp_path / name)
    truth = shown(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    numbers, frames, opened = read(tmp_path / name)
    assert 10 < len(frames) < 50
    assert numbers == list(range(len(frames)))
    np.testing.assert_array_equal(frames, truth[: len(frames)])
    assert opened.gaps == [capfd.readouterr().err.rstrip("\n")]
    assert f"beyond frame {len(frames) - 1} of 6" in opened.gaps[0]
    assert opened.gaps[0].endswith("the file is damaged or cut off")
    read(tmp_path / name, stop=5)
    assert not capfd.readouterr().err


def test_cut_off_behind_the_first_frame_is_told(tmp_path, capfd):
    ffmpeg(*SCENE, "-c:v", "libvpx", tmp_path / "a.webm")
    with av.open(str(tmp_path / "a.webm")) as container:
        _, second, *_ = container.demux(video=0)
    data = (tmp_path / "a.webm").read_bytes()
    (tmp_path / "a.webm").write_bytes(data[: second.pos])
    numbers, _, opened = read(tmp_path / "a.webm")
    assert numbers == [0]
    assert opened.gaps == [capfd.readouterr().err.rstrip("\n")]
    assert "beyond frame 0 of 12" in opened.gaps[0]


def test_sixteen_bits_of_grey_are_stretched(tmp_path, capfd):
    thermal = "format=gray16le,geq=lum='30000+20*X'"
    words = ["-vf", thermal, "-c:v", "ffv1", tmp_path / "a.mkv"]
    ffmpeg(*SCENE, *words)
    _, frames, _ = read(tmp_path / "a.mkv")
    assert np.ptp(frames[0, 0, :, 0].astype(int)) > 180
    assert (np.diff(frames[0, 0, :, 0].astype(int)) >= 0).all()
    assert "values" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["10:30.mp4", "a%03d.mp4", "a [b] {c}.mp4", "ümlaut.mp4",
                                  b"latin-\xe4.mp4"])  # fmt: skip
def test_any_file_name(tmp_path, name):
    ffmpeg(*SCENE, *X264, tmp_path / "a.mp4")
    path = str(
        tmp_path / (name if isinstance(name, str) else name.decode(errors="surrogateescape"))
    )
    (tmp_path / "a.mp4").rename(path)
    assert len(read(path)[0]) == COUNT


def test_sound_alone(tmp_path):
    ffmpeg(*SOUND, tmp_path / "a.m4a")
    with pytest.raises(ValueError, match="expected a video that FFmpeg can decode"):
        read(tmp_path / "a.m4a")
    cover = ["-map", 0, "-map", 1, "-c:v", "png", "-disposition:v:0", "attached_pic"]
    ffmpeg(*SOUND, *STILL, *cover, tmp_path / "b.mp3")
    with pytest.raises(ValueError, match="holds sound and a cover picture, no video"):
        read(tmp_path / "b.mp3")


@pytest.fixture
def dropping_server(tmp_path, monkeypatch):
    """Serves two thirds of a stream to two visitors and hangs up; a whole file to all."""
    monkeypatch.setattr(decoding, "PATIENCE", 0.0)
    ffmpeg(*SCENE, *X264, tmp_path / "clip.mp4")
    ffmpeg("-i", tmp_path / "clip.mp4", "-c", "copy", tmp_path / "clip.ts")
    data, visits = (tmp_path / "clip.ts").read_bytes(), []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/clip.mp4":
                whole = (tmp_path / "clip.mp4").read_bytes()
                self.send_response(200)
                self.send_header("Content-Length", str(len(whole)))
                self.end_headers()
                self.wfile.write(whole)
                return
            visits.append(self.path)
            self.send_response(200 if len(visits) < 3 else 503)
            self.end_headers()
            self.wfile.write(data[: len(data) * 2 // 3] if len(visits) < 3 else b"")

        def log_message(self, *words):
            """Says nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_stream_that_drops_is_connected_to_again_and_ends(dropping_server, capfd):
    numbers, _, opened = read(f"{dropping_server}/clip.ts")
    assert opened.length is None
    # The picture that the drop cuts is there or not, as the socket ends in its midst or behind it.
    total = len(numbers)
    assert numbers == list(range(total))
    lines = [line for line in capfd.readouterr().err.splitlines() if "connecting again" in line]
    once = int(re.search(r"after (\d+) frames", lines[0])[1])
    assert 0 < once < COUNT and abs(total - 2 * once) <= 1
    assert lines == [
        f"{dropping_server}/clip.ts dropped after {count} frames; connecting again ({tries} of 3)"
        for tries, count in ((1, once), (2, total), (3, total))
    ]


def test_file_behind_a_url_is_read_once(dropping_server, capfd):
    numbers, *_ = read(f"{dropping_server}/clip.mp4")
    assert numbers == list(range(COUNT))
    assert not capfd.readouterr().err


def test_frames_are_freed_without_the_collector(tmp_path):
    """A circle of references would hold a hundred frames: 1.2 GB of 2160 lines."""
    path = tmp_path / "clip.mp4"
    subprocess.run([FFMPEG, "-v", "error", *SCENE, *X264, path], check=True)
    gc.collect()
    gc.disable()
    try:
        count = sum(1 for _ in video.open_source(str(path)).frames)
        held = sum(isinstance(thing, av.VideoFrame) for thing in gc.get_objects())
    finally:
        gc.enable()
    assert count == COUNT
    assert held <= 2, f"{held} frames of the decoder are still held"
