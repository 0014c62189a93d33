"""Our tracker behind the interfaces of the got10k toolkit and of the VOT toolkit.

    python -m siamfc_jax.evaluation.adapters --weights siamfc-small --frame-size 640x480

is a TraX server, the command that the VOT toolkit starts; with `--print-ini` it
prints the entry for `trackers.ini` instead.
"""

import argparse
import sys

import numpy as np

from siamfc_jax.data.groundtruth import upright_boxes
from siamfc_jax.images import read_rgb
from siamfc_jax.tracking.tracker import Tracker


def got10k_tracker(weights, *, name: str, one_based: bool):
    """Makes a tracker for got10k's experiments: `ExperimentOTB(...).run(tracker)`.

    Args:
      weights: as of `tracker.Tracker`.
      name: under which results are kept.
      one_based: whether the experiment's boxes are: True for OTB, UAV123, LaSOT and
        the like, False for GOT-10k, VOT, TrackingNet and NfS.

    Returns:
      an instance of got10k's `Tracker`, marked deterministic.
    """
    from got10k.trackers import Tracker as Base  # an extra of the evaluation

    shift = np.array([one_based, one_based, 0, 0])

    class Adapter(Base):
        def __init__(self):
            super().__init__(name, is_deterministic=True)
            self.tracker = Tracker(weights)

        def init(self, image, box):
            self.tracker.init(np.asarray(image), box - shift)

        def update(self, image):
            return self.tracker.update(np.asarray(image))[0] + shift

    return Adapter()


def serve(tracker: Tracker) -> None:
    """Answers the VOT toolkit through TraX until it quits.

    Rectangles and polygons are understood; the answer is a rectangle and the score,
    as the property `confidence`.

    Args:
      tracker: ours.
    """
    import trax  # an extra of the evaluation

    formats = [trax.Region.RECTANGLE, trax.Region.POLYGON]
    with trax.Server(formats, [trax.Image.PATH], tracker_name="siamfc_jax") as server:
        while True:
            request = server.wait()
            if request.type == trax.TraxStatus.QUIT:
                return
            frame = read_rgb(request.image["color"].path())
            if request.type == trax.TraxStatus.INITIALIZE:
                box, score = _box_of(request.objects[0][0]), np.nan
                tracker.init(frame, box)
            else:
                box, score = tracker.update(frame)
            region = trax.Rectangle.create(*map(float, box))
            server.status([(region, {"confidence": float(score)})])


def _box_of(region):
    numbers = np.array(list(region) if region.type == "polygon" else region.bounds(), float)
    return upright_boxes([numbers.ravel()])[0]


def warm_up(tracker: Tracker, frame_size: tuple[int, int]) -> None:
    """Compiles for a frame size before anyone waits: the toolkit gives up after 30 s.

    Args:
      tracker: ours; it forgets its object.
      frame_size: (width, height).
    """
    width, height = frame_size
    frame, side = np.zeros((height, width, 3), np.uint8), 16
    while side < 2 * max(frame_size):  # a view has another shape at another power of two
        tracker.init(frame, [(width - side) / 2, (height - side) / 2, side, side])
        tracker.update(frame)
        side *= 2


def _size(text):
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"expected WIDTHxHEIGHT such as 640x480, got {text!r}")
    return int(width), int(height)


def main(argv=None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(description="TraX server for the VOT toolkit")
    parser.add_argument("--weights", default="siamfc-small", help="name or path of a model")
    parser.add_argument(
        "--frame-size", type=_size, action="append", default=[], metavar="WxH",
        help="compile for frames of this size before the first one comes; may be repeated",
    )  # fmt: skip
    parser.add_argument("--print-ini", action="store_true", help="print the entry of trackers.ini")
    args = parser.parse_args(argv)
    if args.print_ini:
        flags = [argument for argument in argv or sys.argv[1:] if argument != "--print-ini"]
        command = " ".join([sys.executable, "-m", "siamfc_jax.evaluation.adapters", *flags])
        print(f"[siamfc_jax]\nlabel = SiamFC\nprotocol = trax\ncommand = {command}\ntimeout = 120")
        return 0
    try:
        tracker = Tracker(args.weights)
        for frame_size in args.frame_size:
            warm_up(tracker, frame_size)
        serve(tracker)
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
