"""Times how fast videos are read, and the memory that it takes, against OpenCV's reader.

python benchmarks/decode.py --lines 480 1080 2160 --rounds 5

Makes a clip of each size (H.264 and HEVC), then reads it in a process of its own, the readers
taking turns, and prints the median of frames a second and the largest peak memory.
"""

import argparse
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import figures  # noqa: E402

READERS = ("ours", "opencv")


def read(reader, path, threads):
    """Reads a video to its end; prints frames, seconds and peak MiB."""
    import cv2

    if reader == "ours":
        from siamfc_jax.media import decoding

        clip = decoding.open_clip(path)
        clip.stream.codec_context.thread_count = threads
        frames = (picture.image for picture in decoding.decode(clip, range(10**9), []))
    else:
        capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, threads])
        found = iter(capture.read, (False, None))
        frames = (cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) for _, frame in found)
    next(frames)
    began, count = time.perf_counter(), 0
    for _ in frames:
        count += 1
    seconds = time.perf_counter() - began
    print(count, seconds, figures.peak_memory())


def make_clip(path, lines, codec, count):
    """Writes a clip of moving noise and edges, 16:9."""
    import av

    width = lines * 16 // 9 // 2 * 2
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 255, (lines // 8 + 8, width // 8 + 8, 3)).astype(np.uint8)
    scene = scene.repeat(8, axis=0).repeat(8, axis=1)
    with av.open(str(path), "w") as container:
        settings = {"preset": "ultrafast", "x265-params": "log-level=none"}
        stream = container.add_stream(codec, rate=30, options=settings)
        stream.width, stream.height, stream.pix_fmt = width, lines, "yuv420p"
        for number in range(count):
            shift = number % 32
            picture = np.ascontiguousarray(scene[shift : shift + lines, shift : shift + width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def main(argv=None) -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, nargs="+", default=[480, 1080, 2160])
    parser.add_argument("--codecs", nargs="+", default=["libx264", "libx265"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="of the decoder")
    parser.add_argument("--frames", type=int, default=90)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--read", nargs=3, metavar=("READER", "PATH", "THREADS"), help="internal")
    args = parser.parse_args(argv)
    if args.read:
        read(args.read[0], args.read[1], int(args.read[2]))
        return
    print(
        "| codec | lines | threads | ours, frames/s | OpenCV, frames/s | ours, MiB | OpenCV, MiB |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for codec in args.codecs:
            for lines in args.lines:
                path = pathlib.Path(folder) / f"{codec}{lines}.mp4"
                make_clip(path, lines, codec, args.frames)
                for threads in args.threads:
                    row = measure(path, threads, args.rounds)
                    print(f"| {codec} | {lines} | {threads} | {row}", flush=True)


def measure(path, threads, rounds):
    """Returns the rest of a row of the table."""
    rates = {reader: [] for reader in READERS}
    memory = dict.fromkeys(READERS, 0.0)
    for _ in range(rounds):
        for reader in READERS:
            command = [sys.executable, __file__, "--read", reader, str(path), str(threads)]
            words = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            count, seconds, peak = map(float, words.split())
            rates[reader].append(count / seconds)
            memory[reader] = max(memory[reader], peak)
    columns = [f"{statistics.median(rates[reader]):.0f}" for reader in READERS]
    return " | ".join([*columns, *(f"{memory[reader]:.0f}" for reader in READERS)]) + " |"


if __name__ == "__main__":
    main()
