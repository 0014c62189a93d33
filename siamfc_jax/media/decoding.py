"""Video files and streams become RGB frames, by FFmpeg's own libraries (PyAV).

Each frame comes out as `ffmpeg -fps_mode passthrough -pix_fmt rgb24` gives it, once, in the
order in which it is shown: edit lists cut, pictures turned as the file says, interlaced ones
made whole, HDR brought to the range of a screen. What is damaged is left out up to the next
key frame, since the frames between lean on what is lost; the numbers go on as if it were there.
"""

import atexit
import collections
import contextlib
import fractions
import functools
import io
import math
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import av
import av.filter
import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type
from av.stream import Disposition

STREAM_TIMEOUT = 10.0  # seconds without a packet until a stream counts as gone
RECONNECTIONS = 3  # in a row, to a stream that drops
PATIENCE = 1.0  # seconds before each of them
STEADY = 60.0  # seconds after which a connection is no longer in a row with the last one
MAX_FAILURES = 20  # of the container in a row, until a file counts as ended
HOLE = 1024  # bytes between two packets of Matroska beyond which something was skipped
CUT_SECONDS, CUT_SHARE = 0.5, 0.01  # what a container may promise too much, the larger counts
WHITE = 203.0  # cd/m2 of white in HDR: ITU-R BT.2408, which becomes white of a screen
KNEE = 0.75  # share of that white up to which HDR light is left as it is
HDR = {"smpte2084": 16, "arib-std-b67": 18}  # transfer functions, numbers of ITU-T H.273
LUT_SIDE = 33  # colours an axis of the table for HDR
SEEKABLE = "mov|matroska"  # containers whose index leads to the key frame that is asked for
APART = 10  # frames from a landmark to the next, at least
# Titles may be in any encoding, which PyAV 19 and later take without being asked.
LENIENT: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
)


class Clip(NamedTuple):
    """An open video.

    Attributes:
      name: what was opened.
      container: of PyAV.
      stream: the pictures in it.
      fps: frames a second, 0 where nobody knows.
      length: about how many frames there are, None where nobody knows.
      has_sound: whether there is sound beside the pictures.
      pixel_shape: width of a pixel in heights, which is not 1 on DVDs; None where nobody knows.
      file: of Python that the container reads, None where it opened the name itself.
    """

    name: str
    container: av.container.InputContainer
    stream: av.VideoStream
    fps: float
    length: int | None
    has_sound: bool
    pixel_shape: fractions.Fraction | None
    file: io.BufferedReader | None


class Picture(NamedTuple):
    """A decoded frame.

    Attributes:
      number: of the frame in its source, from 0.
      seconds: when it is shown, by the container's clock; None where it has none.
      image: u8[H, W, 3] RGB, or u16[H, W, 3] of grey with more than 8 bits.
    """

    number: int
    seconds: float | None
    image: np.ndarray


def open_clip(source: str) -> Clip:
    """Opens a video file or the URL of a stream.

    Args:
      source: path or URL.

    Returns:
      Clip.

    Raises:
      ValueError: it cannot be reached, or holds no video that can be decoded.
    """
    remote = "://" in source
    # FFmpeg would take `10:30.mp4` for a protocol, and wants UTF-8 in names.
    file = None
    if any("\udc80" <= letter <= "\udcff" for letter in source):
        file = open(source, "rb")  # noqa: SIM115, closed by _close
    try:
        container = av.open(
            file or (source if remote else f"file:{source}"),
            mode="r",
            timeout=STREAM_TIMEOUT if remote else None,
            options={"rtsp_transport": "tcp"} if source.startswith("rtsp") else {},
            **LENIENT,
        )
    except (av.error.FFmpegError, OSError) as error:
        if file:
            file.close()
        if remote:
            raise ValueError(
                f"cannot reach {source}; expected a camera number or a running stream"
            ) from error
        raise ValueError(
            f"cannot read {source}; expected a video that FFmpeg can decode"
        ) from error
    try:
        stream = _pick_stream(container, source)
    except ValueError:
        _close(container, file)
        raise
    stream.thread_type = "AUTO"
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate
    fps = float(rate or 0)
    seconds = _duration(container, stream, fps)
    count = max(1, round(seconds * fps)) if seconds and fps else None
    has_sound, shape = bool(container.streams.audio), stream.sample_aspect_ratio
    # Since PyAV 19 a shape that nobody knows is 0 of a type of its own, before it is None.
    shape = fractions.Fraction(shape.numerator, shape.denominator) if shape else None
    return Clip(source, container, stream, fps, count, has_sound, shape, file)


def _close(container, file):
    container.close()
    if file:
        file.close()


def _pick_stream(container, source):
    streams = [s for s in container.streams.video if s.codec_context is not None]
    moving = [s for s in streams if not s.disposition & Disposition.attached_pic]
    if not moving and streams:
        raise ValueError(f"cannot track in {source}; it holds sound and a cover picture, no video")
    if not moving or container.format.name == "tty":  # which shows any text as a video
        raise ValueError(f"cannot read {source}; expected a video that FFmpeg can decode")
    if container.metadata.get("major_brand", "")[:3] in ("hei", "hev", "mif") and len(moving) > 1:
        raise ValueError(f"cannot read {source}, a photo of several tiles; save it as JPEG or PNG")
    # As ffmpeg chooses: the largest, where one that is marked as default counts for more.
    stream = max(moving, key=lambda s: s.width * s.height + 5_000_000 * _is_default(s))
    if not stream.width:
        raise ValueError(f"cannot read {source}; expected a video that FFmpeg can decode")
    return stream


def _is_default(stream):
    return bool(stream.disposition & Disposition.default)


def _duration(container, stream, fps):
    """Returns the seconds of the pictures, None where nobody knows."""
    if container.format.name == "avi" and stream.frames and fps:
        return stream.frames / fps  # what its header says, however much there is
    if stream.duration:
        return float(stream.duration * stream.time_base)
    # Matroska writes a duration for each stream among its tags.
    tag = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if tag:
        end = 3600 * int(tag[1]) + 60 * int(tag[2]) + float(tag[3])
        return end - float((stream.start_time or 0) * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def decode(
    clip: Clip, numbers: range, gaps: list, landmarks: dict[int, int] | None = None
) -> Iterator[Picture]:
    """Decodes frames; those between are decoded, too, as a number is found by counting.

    Args:
      clip: of `open_clip`; it is closed at the end.
      numbers: which frames.
      gaps: takes a line for each damaged part.
      landmarks: takes number -> time stamp of key frames that are passed. Where it has one
        before `numbers`, decoding begins there in place of at the begin of the file.

    Yields:
      Picture.
    """
    try:
        at = _landmark_before(clip, numbers.start, landmarks)
        frames = _from_landmark(clip, at, gaps) if at else _numbered(clip, gaps, landmarks)
        for picture in _convert(frames, numbers):
            if picture.number >= numbers.stop:
                return
            if picture.number in numbers:
                yield picture
                if picture.number + numbers.step >= numbers.stop:
                    return
    finally:
        _close(clip.container, clip.file)


def _landmark_before(clip, start, landmarks):
    """Returns the last landmark (number, time stamp) from which frame `start` can be decoded."""
    if not landmarks or not _has_landmarks(clip):
        return None
    number = max((n for n in list(landmarks) if 0 < n <= start), default=None)
    return None if number is None else (number, landmarks[number])


def _has_landmarks(clip):
    return "://" not in clip.name and re.search(SEEKABLE, clip.container.format.name)


def _numbered(clip, gaps, landmarks=None, at=None):
    """Yields (number, frame of PyAV, seconds); tells what is missing, and goes on behind it.

    With a landmark `at`, to which the container was sought, it begins there. It yields nothing
    where the container does not lead there.
    """
    fps = clip.fps or 1.0
    number, lost, begin = -1, False, clip.stream.start_time
    before = None if begin is None else float(begin * clip.stream.time_base) - 1 / fps
    notes = landmarks is not None and at is None and _has_landmarks(clip)
    latest = 0
    ends: dict = {}
    for frame in _lasting(clip, ends):
        if at is not None:  # a key frame before it, and what is shown before it
            if frame is None or frame.pts is None or frame.pts < at[1]:
                continue
            if frame.pts > at[1] or not frame.key_frame:
                return
            number, at = at[0] - 1, None
        corrupt = frame is None or frame.is_corrupt
        lost = lost or corrupt
        if corrupt or (lost and not frame.key_frame):
            continue
        seconds, missing = None, 0
        if frame.pts is not None and not _endless(clip):
            seconds = float(frame.pts * clip.stream.time_base)
        if lost and not _endless(clip):
            if seconds is None or before is None:
                _tell(gaps, f"{clip.name} is damaged after frame {number}; frames are missing")
            elif missing := max(0, round((seconds - before) * fps) - 1):
                begins = before + 1 / fps
                _tell(gaps, f"{clip.name} is damaged from {begins:.2f} to {seconds:.2f} s; "
                      f"frames {number + 1} to {number + missing} are missing")  # fmt: skip
        number, lost = number + 1 + missing, False
        if seconds is not None:
            before = seconds
        # Behind damage numbers are estimates, and fields of two frames are woven into one.
        notes = notes and not (gaps or frame.interlaced_frame)
        if notes and frame.key_frame and frame.pts is not None and number >= latest + APART:
            landmarks[number], latest = frame.pts, number
        yield number, frame, seconds
    if number >= 0 and not _endless(clip) and (lost or _breaks_off(clip, ends)):
        when = "" if before is None else f", {before:.2f} s"
        of = f" of {clip.length}" if clip.length and clip.length > number + 1 else ""
        _tell(gaps, f"cannot decode {clip.name} beyond frame {number}{of}{when}; "
              "the file is damaged or cut off")  # fmt: skip


def _from_landmark(clip, at, gaps):
    """Yields what `_numbered` yields from a landmark on, else from the begin of the file."""
    try:
        clip.container.seek(at[1], stream=clip.stream)
        sought = _numbered(clip, gaps, at=at)
        first = next(sought, None)
    except av.error.FFmpegError:
        first = None
    if first is not None:
        yield first
        yield from sought
        return
    whole = open_clip(clip.name)
    try:
        yield from _numbered(whole, gaps)
    finally:
        _close(whole.container, whole.file)


def _tell(gaps, text):
    gaps.append(text)
    print(text, file=sys.stderr)


def _breaks_off(clip, ends):
    """Says whether the container promised more than all its streams had."""
    name, promised = clip.container.format.name, clip.container.duration
    if not re.search("mov|matroska|avi|flv", name) or not promised or not ends:
        return False
    promised /= av.time_base
    if name == "avi" and clip.length and clip.fps:
        promised = clip.length / clip.fps
    # Of a file that begins later than at 0, Matroska states the end, others the length.
    return max(ends.values()) < promised - max(CUT_SECONDS, CUT_SHARE * promised)


def _endless(clip):
    # A file behind a URL knows its length, and would begin anew.
    return "://" in clip.name and clip.length is None


def _lasting(clip, ends):
    """Yields what `_frames` yields, and connects again to a stream that drops."""
    position, tries, again = 0, 0, clip
    while again:
        opened = time.monotonic()
        try:
            for frame in _frames(again, ends):
                position += frame is not None and not frame.is_corrupt
                yield frame
        finally:
            if _endless(clip):
                again.container.close()
        if not _endless(clip):
            return
        if time.monotonic() - opened > STEADY:
            tries = 0
        again = None
        while not again and tries < RECONNECTIONS:
            tries += 1
            print(f"{clip.name} dropped after {position} frames; "
                  f"connecting again ({tries} of {RECONNECTIONS})", file=sys.stderr)  # fmt: skip
            time.sleep(PATIENCE)
            with contextlib.suppress(ValueError):
                again = open_clip(clip.name)


def _frames(clip, ends):
    """Yields frames of PyAV as they are shown, and None where something was lost.

    Args:
      clip: to decode.
      ends: takes the seconds at which each stream ends.
    """
    decoder, shown, began = clip.stream.codec_context, None, False
    for packet in _whole_packets(clip, ends):
        if packet is None:
            for frame in _drain(decoder):
                # Those behind the first that is missing have a number which nobody knows.
                if frame and None not in (shown, frame.pts):
                    if (frame.pts - shown) * clip.stream.time_base * clip.fps > 1.5:
                        break
                    shown = frame.pts
                yield frame
            yield None
            continue
        try:
            frames = decoder.decode(packet)
        except av.error.FFmpegError:
            # A recording that begins between two key frames is not damaged.
            if began or packet.is_keyframe:
                yield None
            continue
        if frames:
            began, shown = True, frames[-1].pts
        yield from frames
    yield from _drain(decoder)


def _whole_packets(clip, ends):
    """Yields the packets of the pictures, and None in place of those that are lost or damaged.

    The containers Matroska, MPEG-TS and AVI step over what they cannot read and say nothing.
    Then bytes are left out between two packets, and time as well; and the packet before them
    may have lost its end.
    """
    name, index = clip.container.format.name, clip.stream.index
    # The bytes of transparency lie between the packets, too.
    jumps = re.search("matroska|mpegts|avi", name) and "alpha_mode" not in clip.stream.metadata
    held, byte, place, newest, shift, began = None, None, None, None, 0, False
    for packet in _packets(clip):
        if packet is None:
            if held:
                yield held
            held = None
            yield None
            continue
        jump = 0 if not jumps or None in (byte, packet.pos) else packet.pos - byte
        if packet.pos is not None:
            # Of frames laced into one block all tell its place.
            byte = packet.size + (byte if packet.pos == place else packet.pos)
            place = packet.pos
        if not packet.size:
            continue
        if packet.stream_index == index and name == "avi" and packet.dts is not None:
            if jump > HOLE:  # which counts on behind it, but its index knows better
                numbers = {entry.pos + 8: entry.timestamp for entry in clip.stream.index_entries}
                shift = max(shift, numbers.get(packet.pos, packet.dts) - packet.dts)
            packet.dts += shift
            packet.pts = packet.pts if packet.pts is None else packet.pts + shift
        duration = packet.duration * packet.time_base
        if packet.stream_index == index and not duration:
            duration = 1 / clip.fps if clip.fps else 0
        for stamp in (packet.dts, packet.pts):
            if stamp is not None:
                last = float(stamp * packet.time_base + duration)
                ends[packet.stream_index] = max(last, ends.get(packet.stream_index, last))
        if packet.stream_index != index:
            continue
        # Matroska stores when a frame is shown; its dts is made up by FFmpeg.
        clock = packet.pts if "matroska" in name else packet.dts
        begin = None if clock is None else clock * packet.time_base
        hole = jump > HOLE and None not in (begin, newest) and begin > newest + duration * 3 / 2
        if begin is not None:
            newest = max(begin, newest or begin)
        if held and not hole:
            yield held
        if hole or (packet.is_corrupt and (began or packet.is_keyframe)):
            yield None
        held = None if packet.is_corrupt else packet
        began = began or held is not None
    if held:
        yield held


def _drain(decoder):
    try:
        frames = decoder.decode(None)
    except av.error.FFmpegError:
        frames = [None]
    decoder.flush_buffers()
    return frames


def _packets(clip):
    """Yields packets of all streams, and None where the container is damaged."""
    patience = 1 if "://" in clip.name else MAX_FAILURES
    packets = clip.container.demux()
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError:
            patience -= 1
            # A recording of a web camera ends without the boundary that FFmpeg waits for.
            if clip.container.format.name == "mpjpeg":
                return
            if not _endless(clip):  # such a one dropped
                yield None
            if not patience:
                return
            packets = clip.container.demux()  # goes on behind it
            continue
        if packet is None:
            return
        yield packet


def _convert(frames, numbers):
    """Yields Picture of (number, frame, seconds); leaves out at will what is not in `numbers`."""
    graph: av.filter.Graph | None = None
    kind, before = None, None
    waiting: collections.deque = collections.deque()
    interlaced = False
    for number, frame, seconds in frames:
        interlaced = interlaced or frame.interlaced_frame
        if number not in numbers and number < numbers.stop and not interlaced:
            continue
        new = _kind(frame, interlaced)
        broken = interlaced and before is not None and number != before + 1
        if graph is None or new != kind or broken:
            yield from _pull(graph, waiting, last=True)
            graph, kind = _make_graph(frame, interlaced), new
        before = number
        waiting.append((number, seconds))
        graph.push(frame)
        yield from _pull(graph, waiting)
    yield from _pull(graph, waiting, last=True)


def _kind(frame, interlaced):
    """Returns all on which the way to RGB depends."""
    colors = frame.colorspace, frame.color_range, frame.color_trc
    return frame.format.name, frame.width, frame.height, colors, interlaced, _matrix(frame)


def _matrix(frame):
    """Returns the nine numbers that turn the picture, None where it stands."""
    # Not `frame.side_data`, which ties the frame into a circle: its 12 MB (2160 lines) would wait
    # for the collector, which came every hundred frames.
    data = SideDataContainer(frame).get(Type.DISPLAYMATRIX)  # type: ignore[call-arg]
    return None if data is None else tuple(np.frombuffer(bytes(data), np.int32).tolist())


def _make_graph(frame, interlaced):
    """Returns filters that take frames like this one and give RGB, or grey of 16 bits."""
    filters = []
    if interlaced:
        filters.append(("yadif", "mode=send_frame:deint=interlaced"))
    filters += _turns(_matrix(frame))
    if frame.color_trc in HDR.values():
        # To RGB with as many bits as before, where the table holds.
        filters += [("format", "pix_fmts=gbrp12le"), ("lut3d", hdr_table(frame.color_trc))]
    grey = re.fullmatch(r"gray(9|1\d)[lb]e", frame.format.name)
    filters.append(("format", f"pix_fmts={'gray16le' if grey else 'rgb24'}"))
    graph = av.filter.Graph()
    last = graph.add_buffer(
        width=frame.width,
        height=frame.height,
        format=frame.format,
        time_base=frame.time_base or fractions.Fraction(1, 1000),  # of frames without a clock
    )
    for name, words in filters:
        new = graph.add(name, words)
        last.link_to(new)
        last = new
    last.link_to(graph.add("buffersink"))
    graph.configure()
    return graph


def _pull(graph, waiting, *, last=False):
    if graph is None:
        return
    if last:
        graph.push(None)
    while waiting:
        try:
            frame = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        image = frame.to_ndarray()
        if image.ndim == 2:
            image = np.repeat(image[..., None], 3, axis=2)  # [H, W] -> [H, W, 3]
        number, seconds = waiting.popleft()
        yield Picture(number, seconds, image)


def _turns(matrix):
    """Returns the filters by which ffmpeg applies a display matrix (ffmpeg_filter.c)."""
    if matrix is None:
        return []
    m = matrix
    across, down = math.hypot(m[0], m[3]), math.hypot(m[1], m[4])
    if not across or not down:
        return []
    angle = round(math.degrees(math.atan2(m[1] / down, m[0] / across))) % 360
    if angle == 90:
        return [("transpose", "cclock_flip" if m[3] > 0 else "clock")]
    if angle == 270:
        return [("transpose", "clock_flip" if m[3] < 0 else "cclock")]
    if angle == 180:
        return [(name, None) for name, value in (("hflip", m[0]), ("vflip", m[4])) if value < 0]
    if angle:
        return [("rotate", f"{angle}*PI/180")]
    return [("vflip", None)] if m[4] < 0 else []


@functools.cache
def hdr_table(transfer: int) -> str:
    """Writes a table from HDR colours to those of a screen, and returns FFmpeg's words for it.

    Light up to `KNEE` of white is left as it is and what is brighter comes ever closer to
    white, so that a scene looks as its version for screens does.

    Args:
      transfer: number of ITU-T H.273; 16 for PQ, 18 for HLG.

    Returns:
      Options of the filter `lut3d`.
    """
    axis = np.linspace(0, 1, LUT_SIDE)
    blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")
    signal = np.stack([red, green, blue], -1).reshape(-1, 3)  # red runs fastest
    light = _light(signal, transfer) / WHITE
    light = light @ BT2020_TO_BT709.T
    above = KNEE + (1 - KNEE) * -np.expm1((KNEE - np.maximum(light, KNEE)) / (1 - KNEE))
    light = np.clip(np.where(light > KNEE, above, light), 0, 1)
    screen = light ** (1 / 2.4)  # ITU-R BT.1886
    handle, path = tempfile.mkstemp(".cube")
    atexit.register(os.unlink, path)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(f"LUT_3D_SIZE {LUT_SIDE}\n")
        np.savetxt(file, screen, "%.6f")
    escaped = re.sub(r"([\\':])", r"\\\1", path)
    return f"file={escaped}"


# From the primaries of ITU-R BT.2020 to those of BT.709: ITU-R BT.2087, item 2.
BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
)


def _light(signal, transfer):
    """Returns cd/m2 of HDR signals, ITU-R BT.2100 tables 4 and 5."""
    if transfer == HDR["smpte2084"]:
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        root = signal ** (1 / m2)
        return 10_000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    luminance = scene @ np.array([0.2627, 0.6780, 0.0593])
    return 1_000 * scene * np.maximum(luminance, 1e-9)[:, None] ** 0.2  # a display of 1000 cd/m2
