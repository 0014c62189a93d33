"""One tracker in a process of its own, for benchmarks/tracking.py.

Reads a job as JSON on the command line, prints "ready", then runs the clip once for each
line of standard input and answers with the seconds of each frame and the last boxes; at
the end of its input it says its peak memory. It imports only what the tracker that it runs
needs.
"""

import json
import pathlib
import sys
import time

import cv2
import numpy as np

CONTEXT, STEP, PENALTY, RATE, WINDOW = 0.5, 1.0375, 0.9745, 0.59, 0.176


def ours(job):
    """Returns (start, follow) of this project, all objects in one call."""
    from siamfc_jax.compilation import keep_memory
    from siamfc_jax.config import ModelConfig, TrackerConfig
    from siamfc_jax.network.saved_models import Model
    from siamfc_jax.tracking import tracker

    keep_memory()  # as track.py does
    arrays = np.load(job["weights"])
    params = {}
    for key in arrays.files:
        layer, name = key.split("/")
        params.setdefault(layer, {})[name] = arrays[key]
    config = TrackerConfig(scales_on=job["scales_on"])
    params = tracker.prepare(Model({"params": params}, ModelConfig(), config))

    def start(frame, boxes):
        return tracker.start(params, frame, boxes, config=config)

    def follow(last, frame):
        tracked = tracker.advance(params, last, frame, config=config)
        return tracked, tracked.boxes

    return start, follow


def pytorch(job):
    """Returns (start, follow) in the way of siamfc-pytorch: one object after the other."""
    import torch
    from torch import nn

    layout = {"default": torch.contiguous_format, "channels_last": torch.channels_last}
    layout = layout[job["layout"]]
    arrays, layers = np.load(job["weights"]), []
    for number, (stride, groups) in enumerate(((2, 1), (1, 2), (1, 1), (1, 2), (1, 2)), 1):
        kernel = torch.from_numpy(arrays[f"conv{number}/kernel"]).permute(3, 2, 0, 1)
        depth = kernel.shape[1] * groups
        conv = nn.Conv2d(depth, kernel.shape[0], kernel.shape[2], stride, groups=groups)
        with torch.no_grad():
            conv.weight.copy_(kernel)
            conv.bias.copy_(torch.from_numpy(arrays[f"conv{number}/bias"]))
        layers.append(conv)
        if number < 5:  # the weights are folded, so this changes nothing but the time
            layers += [nn.BatchNorm2d(kernel.shape[0], eps=1e-6), nn.ReLU(inplace=True)]
        if number < 3:
            layers.append(nn.MaxPool2d(3, 2))
    network = nn.Sequential(*layers).eval().to(memory_format=layout)
    factors = STEP ** np.array([-1.0, 0, 1])
    hann = np.outer(np.hanning(272), np.hanning(272))
    hann /= hann.sum()

    def embed(crops):
        crops = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float()
        return network(crops.contiguous(memory_format=layout))

    @torch.no_grad()
    def start_one(frame, box):
        center, size = box[:2] + box[2:] / 2, box[2:].astype(np.float64)
        side = np.sqrt(np.prod(size + CONTEXT * size.sum()))
        color = frame.mean(axis=(0, 1))
        exemplar = embed([cut(frame, center, side, 127, color)])
        return {
            "center": center, "size": size, "side": side * 255 / 127, "color": color,
            "exemplar": exemplar,
        }  # fmt: skip

    @torch.no_grad()
    def follow_one(state, frame):
        sides = state["side"] * factors
        crops = [cut(frame, state["center"], side, 255, state["color"]) for side in sides]
        response = nn.functional.conv2d(embed(crops), state["exemplar"])[:, 0].numpy() * 1e-3
        response = np.stack(
            [cv2.resize(r, (272, 272), interpolation=cv2.INTER_CUBIC) for r in response]
        )
        response[[0, 2]] *= PENALTY
        best = np.argmax(response.max(axis=(1, 2)))
        surface = response[best] - response[best].min()
        surface = (1 - WINDOW) * surface / (surface.sum() + 1e-16) + WINDOW * hann
        row, column = np.unravel_index(surface.argmax(), surface.shape)
        cells = (np.array([column, row]) - 135.5) / 16
        growth = 1 + RATE * (factors[best] - 1)
        center = state["center"] + cells * 8 * sides[best] / 255
        size, side = state["size"] * growth, state["side"] * growth
        return state | {"center": center, "size": size, "side": side}

    def start(frame, boxes):
        return [start_one(frame, box) for box in boxes]

    def follow(states, frame):
        states = [follow_one(state, frame) for state in states]
        boxes = [np.concatenate([s["center"] - s["size"] / 2, s["size"]]) for s in states]
        return states, np.stack(boxes)

    return start, follow


def cut(frame, center, side, size, color):
    """Cuts a square at whole pixels, pads it with a colour and resizes it, in OpenCV."""
    side = round(side)
    left, top = (int(value) for value in np.round(center - side / 2))
    margin = max(0, -left, -top, left + side - frame.shape[1], top + side - frame.shape[0])
    if margin:
        frame = cv2.copyMakeBorder(frame, *(4 * [margin]), cv2.BORDER_CONSTANT, value=color)
    patch = frame[top + margin :, left + margin :][:side, :side]
    return cv2.resize(patch, (size, size), interpolation=cv2.INTER_LINEAR)


def opencv(job):
    """Returns (start, follow) of one of OpenCV's trackers, one object after the other."""
    name = f"Tracker{job['name']}_create"
    create = getattr(getattr(cv2, "legacy", cv2), name, None) or getattr(cv2, name, None)
    if create is None:
        raise SystemExit(f"OpenCV {cv2.__version__} lacks {job['name']}; try `make contrib`")

    def start(frame, boxes):
        trackers = [create() for _ in boxes]
        for tracker, box in zip(trackers, boxes, strict=True):
            tracker.init(frame, tuple(round(float(value)) for value in box))
        return trackers

    def follow(trackers, frame):
        return trackers, np.array([tracker.update(frame)[1] for tracker in trackers])

    return start, follow


def run(job, start, follow):
    """Follows the objects through the clip; returns seconds of each frame and the last boxes."""
    shape, state, boxes = job["shape"], None, np.float32(job["boxes"])
    length, seconds = int(np.prod(shape[1:])), []
    for index in range(shape[0]):
        # Read before the clock starts, and not mapped, so that memory is the tracker's.
        frame = np.fromfile(job["clip"], np.uint8, length, offset=index * length)
        frame = frame.reshape(shape[1:])
        began = time.perf_counter()
        if index:
            state, boxes = follow(state, frame)
        else:
            state = start(frame, boxes)
        seconds.append(time.perf_counter() - began)
    return seconds, boxes


def main(job) -> None:
    """Answers with JSON lines, as described above."""
    root = str(pathlib.Path(__file__).resolve().parents[1])
    sys.path[0] = root
    from benchmarks import figures

    start, follow = {"ours": ours, "pytorch": pytorch, "opencv": opencv}[job["kind"]](job)
    run(job | {"shape": [2, *job["shape"][1:]]}, start, follow)
    print(json.dumps("ready"), flush=True)
    for _ in sys.stdin:
        seconds, boxes = run(job, start, follow)
        print(json.dumps({"seconds": seconds, "boxes": boxes.tolist()}), flush=True)
    print(json.dumps(figures.peak_memory()), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
