"""Our tracker behind the interfaces of the got10k and the VOT toolkit (`siamfc trax`)."""

import numpy as np

from siamfc_jax.data.groundtruth import upright_boxes
from siamfc_jax.images import read_rgb
from siamfc_jax.tracking import loop
from siamfc_jax.tracking.tracker import Tracker, start, step


def got10k_tracker(weights, *, name: str, one_based: bool):
    """Makes a tracker for got10k's experiments: `ExperimentOTB(...).run(tracker)`.

    Args:
      weights: name or path of a model.
      name: of the tracker in the kit's results.
      one_based: whether the experiment counts the first pixel as 1: True for OTB, UAV123,
        LaSOT and the like, False for GOT-10k, VOT, TrackingNet and NfS.

    Returns:
      Tracker of got10k, marked deterministic.
    """
    from got10k.trackers import Tracker as Base  # optional: requirements-kits.txt

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

    The toolkit may send rectangles or polygons. The answer is a rectangle, with the score
    as its property `confidence`.

    Args:
      tracker: SiamFC, with its weights.
    """
    import trax  # optional: requirements-kits.txt

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
      tracker: ours.
      frame_size: (width, height).
    """
    width, height = frame_size
    frame, side = np.zeros((height, width, 3), np.uint8), 16
    params, config = tracker.params, tracker.config
    while side < 2 * max(frame_size):  # a region has another shape at another power of two
        box = np.array([(width - side) / 2, (height - side) / 2, side, side])
        first = start(params, frame, box, config=config)
        loop.warm_up(step, params, first.state, first.roi, config=config)
        side *= 2
