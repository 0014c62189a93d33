"""Times our tracker against siamfc-pytorch's way and OpenCV's trackers, frame by frame.

    python -m venv build/torch && build/torch/bin/pip install torch==2.13.0 opencv-python-headless
    python benchmarks/tracking.py --peer-python build/torch/bin/python

All trackers follow the same objects through the same clip; ours and PyTorch's have the same
weights. Each tracker is a process that waits for its turn; rounds alternate, and their medians
are compared. OpenCV's CSRT and KCF need `make contrib` and PYTHONPATH=build/contrib.
A table takes one to three minutes on 2 cores, so the default is one of 480 lines; leave the
machine alone meanwhile. `--heights 240 480 1080 2160 --objects 2 4 8 16` are all tables.
"""

import argparse
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import cv2
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import figures  # noqa: E402

PEERS = {
    "ours": {"kind": "ours", "scales_on": "search"},
    "ours, peak": {"kind": "ours", "scales_on": "peak"},
    "ours, exemplar": {"kind": "ours", "scales_on": "exemplar"},
    "PyTorch": {"kind": "pytorch", "layout": "default"},
    "PyTorch channels_last": {"kind": "pytorch", "layout": "channels_last"},
    "CSRT": {"kind": "opencv", "name": "CSRT"},
    "KCF": {"kind": "opencv", "name": "KCF"},
    "MIL": {"kind": "opencv", "name": "MIL"},
}


def make_clip(path, height, frames, objects):
    """Writes a clip of squares that move over a ground; returns its shape and the first boxes."""
    rng = np.random.default_rng(0)
    width, side = height * 16 // 9, height // 6

    def blocks(rows, columns, cell):
        coarse = rng.integers(0, 256, (-(-rows // cell), -(-columns // cell), 3), np.uint8)
        return np.kron(coarse, np.ones((cell, cell, 1), np.uint8))[:rows, :columns]

    ground = cv2.GaussianBlur(blocks(height, width, height // 20), (0, 0), height / 60)
    textures = [blocks(side, side, side // 6) for _ in range(objects)]
    starts = rng.integers(side // 2, [width - side * 3 // 2, height - side * 3 // 2], (objects, 2))
    with open(path, "wb") as file:
        for time in range(frames):
            frame = ground.copy()
            for phase, (texture, start) in enumerate(zip(textures, starts, strict=True)):
                turn = np.sin(0.2 * time * np.array([1, 1.5]) + phase) - np.sin(phase)
                left, top = np.int64(start + side / 4 * turn)
                frame[top : top + side, left : left + side] = texture
            frame.tofile(file)
    boxes = np.concatenate([starts, np.full((objects, 2), side)], axis=1)
    return (frames, height, width, 3), boxes


def copy_clip(path, args, height, objects):
    """Writes the first frames of a video of the user's at a height; as `make_clip`."""
    from siamfc_jax.media import box_files, video

    frame = next(video.open_source(args.clip).frames)[1]
    scale = height / frame.shape[0]
    size = f"{round(frame.shape[1] * scale)}x{height}"
    source, count = video.open_source(args.clip, stop=args.frames, resize=size), 0
    with open(path, "wb") as file:
        for _, frame in source.frames:
            frame.tofile(file)
            count += 1
    box = np.array(box_files.parse_box(args.box)) * scale
    return (count, *frame.shape), np.tile(box, (objects, 1))


def export_weights(args, path):
    """Writes folded weights as `layer/name` arrays, which PyTorch's side reads as well."""
    import jax

    from siamfc_jax import config
    from siamfc_jax.network import model, saved_models

    if args.weights:
        variables = saved_models.load_model(args.weights).variables
    else:
        network = config.ModelConfig(width=args.width, first_kernel=args.first_kernel)
        variables = model.init_variables(jax.random.key(0), config=network)
    params = model.fold_batch_norm(variables)["params"]
    arrays = {f"{layer}/{name}": v for layer, group in params.items() for name, v in group.items()}
    np.savez(path, **arrays)


def ask(process):
    """Lets a peer run; returns its answer."""
    process.stdin.write("\n")
    process.stdin.flush()
    return answer(process)


def answer(process):
    """Returns the next line of a peer, None where it has ended."""
    line = process.stdout.readline()
    return json.loads(line) if line else None


def race(args, height, objects, folder):
    """Returns name -> (median seconds a frame, peak MiB, last boxes), rounds alternating."""
    clip = os.path.join(folder, "clip.raw")
    if args.clip:
        shape, boxes = copy_clip(clip, args, height, objects)
    else:
        shape, boxes = make_clip(clip, height, args.frames, objects)
    job = {
        "clip": clip, "shape": shape, "boxes": boxes.tolist(),
        "weights": os.path.join(folder, "weights.npz"),
    }  # fmt: skip
    with contextlib.ExitStack() as stack:
        peers = {}
        for name in args.peers:
            ours = PEERS[name]["kind"] != "pytorch"
            process = subprocess.Popen(
                [
                    sys.executable if ours else args.peer_python,
                    str(ROOT / "benchmarks" / "peers.py"),
                    json.dumps(job | PEERS[name]),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            if answer(process):
                peers[name] = process
            else:
                print(f"left out: {name}, see the line above", file=sys.stderr)
        seconds, last = {name: [] for name in peers}, {}
        for _ in range(args.rounds):
            for name, process in peers.items():
                told = ask(process)
                # The first frame starts the tracker, the next may still warm up.
                seconds[name] += told["seconds"][2:]
                last[name] = np.array(told["boxes"])
        found = {}
        for name, process in peers.items():
            process.stdin.close()
            found[name] = (float(np.median(seconds[name])), answer(process), last[name])
    return found


def table(found):
    """Returns the lines of a Markdown table about one race."""
    from siamfc_jax.evaluation.metrics import iou

    base = found.get("PyTorch")
    lines = [
        "| tracker | ms a frame | frames a second | speed, PyTorch = 1 | IoU with PyTorch | MiB |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, (seconds, memory, boxes) in found.items():
        ratio = f"{base[0] / seconds:.2f}" if base else ""
        overlap = f"{iou(boxes, base[2]).mean():.2f}" if base else ""
        lines.append(
            f"| {name} | {1e3 * seconds:.1f} | {1 / seconds:.1f} | {ratio} | {overlap} "
            f"| {memory:.0f} |"
        )
    return lines


def main(argv=None) -> int:
    """Runs the benchmark; returns its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    flag = parser.add_argument
    flag("--peer-python", metavar="PYTHON", help="interpreter that has PyTorch and OpenCV")
    flag("--peers", nargs="+", choices=PEERS, default=list(PEERS), help="only these")
    flag("--weights", metavar="NAME|PATH", help="a model; without, random weights of --width")
    flag("--width", type=float, default=1.0)
    flag("--first-kernel", type=int, default=11)
    flag("--clip", metavar="SOURCE", help="a video in place of a made one; needs --box")
    flag("--box", metavar="X,Y,W,H", help="the object in the first frame of --clip")
    flag("--heights", type=int, nargs="*", default=[480], help="with one object")
    flag("--objects", type=int, nargs="*", default=[], help="at 480 lines")
    flag("--frames", type=int, default=20)
    flag("--rounds", type=int, default=3)
    figures.add_flags(parser)
    args = parser.parse_args(argv)
    if args.peer_python is None:
        args.peers = [name for name in args.peers if PEERS[name]["kind"] != "pytorch"]
    busy = f"{os.getloadavg()[0]:.1f} processes were busy in the last minute"
    print(f"{os.cpu_count()} cores, of which {busy}")
    races = [(height, 1) for height in args.heights] + [(480, count) for count in args.objects]
    milliseconds = {}
    with tempfile.TemporaryDirectory() as folder:
        export_weights(args, os.path.join(folder, "weights.npz"))
        for height, objects in races:
            print(f"\n{height} lines, {objects} object{'s' * (objects > 1)}\n")
            raced = race(args, height, objects, folder)
            print("\n".join(table(raced)), flush=True)
            for name, (seconds, *_) in raced.items():
                milliseconds[f"{name}, {height} lines, {objects} objects"] = 1e3 * seconds
    figures.finish(args, milliseconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
