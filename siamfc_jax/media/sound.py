"""The sound of a source goes into the video that is written."""

import sys

import av
import av.error

from siamfc_jax.media import decoding

# Codecs that go into MP4 as they are and play in browsers; others become AAC.
KEPT = {"aac", "flac", "mp3", "mp3float", "opus", "libopus"}


def copy_sound(path: str, output):
    """Adds the sound of a file to a video that is about to be written.

    Args:
      path: file whose first sound is taken.
      output: container of PyAV, to which nothing is written yet.

    Returns:
      advance(begin, end), which writes the sound up to `end`, both in seconds of the file;
      `begin`, the same in every call, becomes the start of the output. None where the sound
      cannot be kept, which a line says.
    """
    try:
        source = av.open(f"file:{path}", **decoding.LENIENT)
        stream = source.streams.best("audio")
        if not isinstance(stream, av.AudioStream):
            raise ValueError("it has no sound that can be read")
        decoder = stream.codec_context
        as_it_is = decoder.name in KEPT and (decoder.extradata or "mp3" in decoder.name)
        if as_it_is:
            track = output.add_stream_from_template(stream)
        else:
            layout = "mono" if decoder.channels == 1 else "stereo"
            track = output.add_stream("aac", rate=min(decoder.sample_rate, 48_000), layout=layout)
    except (av.error.FFmpegError, AttributeError, ValueError, OSError) as error:
        _complain(path, error)
        return None
    packets, waiting = None, None

    def advance(begin, end):
        nonlocal packets, waiting
        if packets is None:
            make = _copied if as_it_is else _encoded
            packets = make(source, stream, track, begin)
        while True:
            if waiting is None:
                try:
                    waiting = next(packets, None)
                except (av.error.FFmpegError, ValueError) as error:
                    _complain(path, error)
                    packets = iter(())
            if waiting is None or waiting.pts * waiting.time_base >= end - begin:
                return
            output.mux(waiting)
            waiting = None

    return advance


def _complain(path, error):
    reason = getattr(error, "strerror", None) or error
    print(f"the sound of {path} is left out: {reason}", file=sys.stderr)


def _copied(source, stream, track, begin):
    shift = round(begin / stream.time_base)
    for packet in source.demux(stream):
        if packet.dts is None or packet.pts is None or packet.pts < shift:
            continue
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        packet.stream = track
        yield packet


def _encoded(source, stream, track, begin):
    encoder = track.codec_context
    resampler = av.AudioResampler(encoder.format or "fltp", encoder.layout, encoder.rate)
    for frame in source.decode(stream):
        if frame.time is not None and frame.time < begin:
            continue
        if frame.pts is not None:
            frame.pts -= round(begin / frame.time_base)
        for part in resampler.resample(frame):
            yield from track.encode(part)
    for part in resampler.resample(None):
        yield from track.encode(part)
    yield from track.encode(None)
