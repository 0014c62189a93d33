"""Follows an object through a video with files that `siamfc export` wrote.

    python siamfc_onnx.py EXPORTED/ --video clip.mp4 --box 62,36,50,64 --boxes out.csv

This file needs NumPy, OpenCV and onnxruntime, and nothing else of the project. In Python:

    tracker = Tracker("EXPORTED")
    tracker.init(frame, [62, 36, 50, 64])  # u8[H, W, 3] RGB and [x, y, w, h] in pixels
    box, score = tracker.update(next_frame)  # tracker.confidence and tracker.lost say how sure
"""

import argparse
import contextlib
import csv
import hashlib
import json
import pathlib
import sys

import numpy as np
import onnxruntime

FORMAT = 1  # of the manifest


class Tracker:
    """One object in one video: Bertinetto et al. 2016, section 3.4.

    Boxes are `[x, y, w, h]` in continuous, 0-based frame pixels: the left top pixel of the
    frame covers [0, 1) x [0, 1).

    Attributes:
      manifest: what the exporter wrote about the files.
      confidence: in [0, 1], how sure the tracker is of the last box.
      lost: whether it says that it has lost the object.
    """

    def __init__(self, folder, threads: int = 0):
        """Loads the files.

        Args:
          folder: where `siamfc export` wrote.
          threads: for the network; 0 takes as many as there are cores.

        Raises:
          ValueError: a file is missing or is not the one that the manifest describes.
        """
        self.manifest = _read_manifest(pathlib.Path(folder))
        self._settings = self.manifest["tracker"]
        self._crops = self.manifest["crops"]
        self._exemplar_graph, self._search_graph = (
            _open_graph(pathlib.Path(folder), self.manifest, name, threads)
            for name in ("exemplar.onnx", "search.onnx")
        )
        count = self._settings["num_scales"]
        self._factors = self._settings["scale_step"] ** (np.arange(count) - (count - 1) / 2)
        self._penalty = np.where(np.arange(count) == count // 2, 1, self._settings["scale_penalty"])
        self._exemplar: np.ndarray | None = None
        self.confidence, self.lost, self._low_frames = 1.0, False, 0

    def init(self, frame, box) -> None:
        """Takes the object of the first frame.

        Args:
          frame: u8[H, W, 3] RGB.
          box: `[x, y, w, h]` in frame pixels.

        Raises:
          ValueError: the box has no positive size, or its centre lies outside the frame.
        """
        box = np.array(box, np.float64)
        if box.shape != (4,) or not np.isfinite(box).all() or (box[2:] <= 0).any():
            raise ValueError(f"box must be x,y,w,h with positive width and height, got {box}")
        self._center, self._size = box[:2] + box[2:] / 2, box[2:]
        if (self._center < 0).any() or (self._center > frame.shape[1::-1]).any():
            raise ValueError(f"box must have its centre inside the frame, got {box}")
        self._initial_size = self._size
        self._fill = frame.mean((0, 1), dtype=np.float32)
        self.confidence, self.lost, self._low_frames = 1.0, False, 0
        self._exemplar = self._embed(frame, [self._exemplar_side()])
        own = self.manifest["adjust"]["gain"] * np.sum(self._exemplar**2)
        self._own_response = max(float(own), np.finfo(np.float32).tiny)

    def update(self, frame):
        """Finds the object in the next frame.

        Args:
          frame: u8[H, W, 3] RGB.

        Returns:
          (box f64[4] in frame pixels, score: logit of the peak as a float).

        Raises:
          ValueError: `init` was not called.
        """
        if self._exemplar is None:
            raise ValueError("update was called before init; give the first frame and its box")
        at_search = self._settings["scales_on"] == "search"
        exemplar_size, search_size = self._crops["exemplar_size"], self._crops["search_size"]
        factors = self._factors if at_search else np.ones(1)
        sides = self._exemplar_side() * factors * (search_size / exemplar_size)
        crops = self._cut(frame, sides, search_size)
        feed = {"crops": crops, "exemplar": self._exemplar}
        maximum, offset, score = self._search_graph.run(["maximum", "offset", "score"], feed)
        scale = int(np.argmax(maximum * self._penalty)) if at_search else 0
        moved = self._center + offset[scale] * (self._crops["stride"] * sides[scale] / search_size)
        self._center = np.clip(moved, 0, frame.shape[1::-1])
        if at_search:
            self._resize(self._factors[scale])
        elif len(self._factors) > 1:
            self._resize(self._factors[self._scale_at_peak(frame)])
        self._update_confidence(float(score[scale]))
        return np.concatenate([self._center - self._size / 2, self._size]), float(score[scale])

    def _exemplar_side(self):
        """Returns the side in frame pixels of the square that an exemplar crop shows."""
        width, height = self._size + self._settings["context"] * self._size.sum()
        return np.sqrt(width * height)

    def _scale_at_peak(self, frame):
        """Compares small crops at the new place with the exemplar; returns the best scale."""
        features = self._embed(frame, self._exemplar_side() * self._factors)
        adjust = self.manifest["adjust"]
        response = np.sum(features * self._exemplar, axis=(1, 2, 3))
        return int(np.argmax((adjust["gain"] * response + adjust["bias"]) * self._penalty))

    def _resize(self, factor):
        # One factor for both sides, so that clamping keeps the shape of the box.
        growth = self._size[0] / self._initial_size[0]
        growth *= 1 + self._settings["scale_rate"] * (factor - 1)
        limits = self._settings["min_scale"], self._settings["max_scale"]
        self._size = self._initial_size * np.clip(growth, *limits)

    def _update_confidence(self, score):
        """Says how sure the tracker is; lost after several frames in a row of low confidence."""
        settings = self._settings
        share = (score - self.manifest["adjust"]["bias"]) / self._own_response
        logit = settings["confidence_score"] * score + settings["confidence_share"] * share
        self.confidence = float(1 / (1 + np.exp(-(logit + settings["confidence_bias"]))))
        low = (
            self.confidence <= settings["found_above"]
            if self.lost
            else self.confidence < settings["lost_below"]
        )
        self._low_frames = self._low_frames + 1 if low else 0
        self.lost = low and (self.lost or self._low_frames >= settings["lost_after"])

    def _embed(self, frame, sides):
        crops = self._cut(frame, sides, self._crops["exemplar_size"])
        return self._exemplar_graph.run(["features"], {"crops": crops})[0]

    def _cut(self, frame, sides, size):
        """Cuts squares around the object; returns f32[S, 3, size, size]."""
        return np.stack([_crop(frame, self._center, side, self._fill, size) for side in sides])


def _crop(frame, center, side, fill, size):
    """Cuts one square, bilinear; `fill` mixes with the border pixels as if it were around them."""
    rows, row_weights = _taps(center[1], side, size, frame.shape[0])
    columns, column_weights = _taps(center[0], side, size, frame.shape[1])
    top, left = rows.min(), columns.min()
    part = frame[top : rows.max() + 1, left : columns.max() + 1].transpose(2, 0, 1)
    # Planes that lie as a whole in memory: `take` is then three times as fast.
    part = np.subtract(part, fill[:, None, None], dtype=np.float32, order="C")  # [3, h, w]
    strip = _mix(part, rows - top, row_weights[:, :, None], axis=1)  # [3, size, w]
    square = _mix(strip, columns - left, column_weights, axis=2)  # [3, size, size]
    square += fill[:, None, None]
    return square


def _mix(planes, pixels, weights, *, axis):
    """Mixes two pixels into each sample; in place, as new memory costs more than arithmetic."""
    mixed, other = planes.take(pixels[0], axis), planes.take(pixels[1], axis)
    mixed *= weights[0]
    other *= weights[1]
    mixed += other
    return mixed


def _taps(center, side, size, extent):
    """Returns for each of `size` samples the two pixels it lies between, and their weights."""
    positions = center - 0.5 + ((np.arange(size) + 0.5) / size - 0.5) * side
    first = np.floor(positions)
    pixels = np.stack([first, first + 1]).astype(int)
    weights = np.stack([first + 1 - positions, positions - first])
    inside = (pixels >= 0) & (pixels < extent)
    return np.clip(pixels, 0, extent - 1), (weights * inside).astype(np.float32)


def _read_manifest(folder):
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"no manifest.json in {folder}; write it: siamfc export MODEL {folder}"
        ) from error
    if manifest.get("format") != FORMAT:
        raise ValueError(
            f"{folder} is of format {manifest.get('format')}, this program reads {FORMAT}; "
            "export the model again"
        )
    return manifest


def _open_graph(folder, manifest, name, threads):
    try:
        data = (folder / name).read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read {folder / name}: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != manifest["files"][name]["sha256"]:
        raise ValueError(f"{folder / name} is not the file of its manifest; export the model again")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that wait actively take cores from the crops, and are no faster.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _frames(source):
    import cv2  # only here: who has frames needs no OpenCV

    video = cv2.VideoCapture(source)
    if not video.isOpened():
        raise ValueError(f"cannot read {source}; expected a video, or images as name/%04d.jpg")
    while True:
        read, frame = video.read()
        if not read:
            return
        yield frame[:, :, ::-1]  # BGR -> RGB


def _parse_box(text):
    try:
        x, y, width, height = map(float, text.split(","))
    except ValueError:
        raise ValueError(f"--box must be four numbers x,y,w,h, got {text}") from None
    return [x, y, width, height]


def main(argv=None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", metavar="EXPORTED", help="folder that the export wrote")
    parser.add_argument("--video", required=True, help="video, or images as name/%%04d.jpg")
    parser.add_argument("--box", required=True, metavar="X,Y,W,H", help="object in frame 0")
    parser.add_argument("--boxes", metavar="FILE.csv", help="where boxes go (default: the screen)")
    parser.add_argument("--threads", type=int, default=0, help="of the network (default: cores)")
    args = parser.parse_args(argv)
    try:
        box = _parse_box(args.box)
        tracker = Tracker(args.folder, args.threads)
        frames = _frames(args.video)
        first = next(frames, None)
        if first is None:
            raise ValueError(f"{args.video} has no frame")
        tracker.init(first, box)
        with contextlib.ExitStack() as stack:
            target = sys.stdout
            if args.boxes:
                target = stack.enter_context(open(args.boxes, "w", newline="", encoding="utf-8"))
            writer = csv.writer(target, lineterminator="\n")
            writer.writerow(["frame", "x", "y", "w", "h", "score", "confidence", "lost"])
            writer.writerow([0, *box, "nan", 1, 0])
            for number, frame in enumerate(frames, start=1):
                box, score = tracker.update(frame)
                values = (f"{value:.4f}" for value in (*box, score, tracker.confidence))
                writer.writerow([number, *values, int(tracker.lost)])
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
