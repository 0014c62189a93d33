"""Our tracker behind the interfaces of the got10k and the VOT toolkit (`siamfc trax`)."""

import cv2
import numpy as np

from siamfc_jax.data.groundtruth import upright_boxes
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
            image = cv2.imread(request.image["color"].path(), cv2.IMREAD_COLOR)
            frame = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
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
