"""Numbers from boxes, NumPy only.

Boxes are `[x, y, w, h]`, truth and prediction in the same frame; whether the first pixel is
0 or 1 makes no difference. Everything is computed in float64. A prediction of NaN says "no
object here": it overlaps nothing and lies infinitely far away. The caller leaves out frames
without a true box.
"""

import numpy as np

# Wu, Lim and Yang 2013; a rate is the share of frames *above* an overlap or *within* an error.
SUCCESS_THRESHOLDS = np.linspace(0, 1, 21)
PRECISION_THRESHOLDS = np.arange(51)  # pixels
NORMALIZED_THRESHOLDS = np.arange(51) / 100  # shares of the true box, TrackingNet and LaSOT


def iou(a, b) -> np.ndarray:
    """Computes intersection over union.

    Args:
      a: f[..., 4] boxes.
      b: f[..., 4] boxes.

    Returns:
      f64[...] in [0, 1]; 0 where either box has no area or is NaN.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    intersection = np.prod(np.maximum(high - low, 0), axis=-1)
    union = np.prod(a[..., 2:], axis=-1) + np.prod(b[..., 2:], axis=-1) - intersection
    solid = (a[..., 2:] > 0).all(-1) & (b[..., 2:] > 0).all(-1) & np.isfinite(union)
    return np.where(solid, intersection / np.where(solid, union, 1), 0.0)


def center_error(predicted, truth) -> np.ndarray:
    """Computes the distance of centres in pixels.

    Args:
      predicted: f[..., 4] boxes.
      truth: f[..., 4] boxes.

    Returns:
      f64[...]; NaN where a box is NaN.
    """
    return np.linalg.norm(_center_offset(predicted, truth), axis=-1)


def normalized_error(predicted, truth) -> np.ndarray:
    """Computes the distance of centres in shares of the true width and height.

    Mueller et al. 2018 (TrackingNet), eq. 2. A true side below one pixel counts
    as one, as in got10k's `normalized_center_error`.

    Args:
      predicted: f[..., 4] boxes.
      truth: f[..., 4] boxes.

    Returns:
      f64[...]; NaN where a box is NaN.
    """
    size = np.maximum(np.asarray(truth, np.float64)[..., 2:], 1)
    return np.linalg.norm(_center_offset(predicted, truth) / size, axis=-1)


def _center_offset(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return (a[..., :2] + a[..., 2:] / 2) - (b[..., :2] + b[..., 2:] / 2)


def success_curve(overlaps, thresholds=SUCCESS_THRESHOLDS) -> np.ndarray:
    """Computes the share of frames with an overlap strictly above each threshold.

    A perfect tracker reaches 20/21 on average: nothing is above an overlap of 1.

    Args:
      overlaps: f[T], from `iou`.
      thresholds: f[N]; the 21 of OTB, or the 101 of GOT-10k's plot.

    Returns:
      f64[N] rates.

    Raises:
      ValueError: there is no frame.
    """
    return (_frames(overlaps)[:, None] > np.asarray(thresholds)).mean(axis=0)


def precision_curve(errors, thresholds=PRECISION_THRESHOLDS) -> np.ndarray:
    """Computes the share of frames with an error within each threshold.

    Args:
      errors: f[T], from `center_error`, or from `normalized_error` together with
        `NORMALIZED_THRESHOLDS`.
      thresholds: f[N], pixels 0..50.

    Returns:
      f64[N] rates; entry 20 is OTB's "precision at 20 px".

    Raises:
      ValueError: there is no frame.
    """
    return (_frames(errors)[:, None] <= np.asarray(thresholds)).mean(axis=0)


def _frames(values):
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"expected one number a frame, at least one, got shape {values.shape}")
    return values


def average_overlap(overlaps) -> float:
    """Computes the mean overlap: GOT-10k's AO when `got10k_overlaps` made the overlaps.

    Args:
      overlaps: f[T].

    Returns:
      mean in [0, 1].

    Raises:
      ValueError: there is no frame.
    """
    return float(_frames(overlaps).mean())


def success_rate(overlaps, threshold: float) -> float:
    """Computes the share of frames with an overlap strictly above one threshold.

    Args:
      overlaps: f[T].
      threshold: .5 or .75 for GOT-10k's SR.

    Returns:
      share in [0, 1].

    Raises:
      ValueError: there is no frame.
    """
    return float((_frames(overlaps) > threshold).mean())


def got10k_overlaps(predicted, truth, frame_size, *, visible=None) -> np.ndarray:
    """Computes the overlaps that GOT-10k averages.

    The first frame is left out, and so are frames where the object is hidden. Both
    boxes are clipped as got10k's `rect_iou(bound=...)` does: a corner outside the
    frame moves to its edge and *keeps its extent*, then the extent is cut.

    Args:
      predicted: f[T, 4] boxes.
      truth: f[T, 4] boxes.
      frame_size: (width, height) in pixels.
      visible: bool[T], `cover > 0` in GOT-10k's words; all by default.

    Returns:
      f64[at most T - 1].
    """
    overlaps = iou(_clip(predicted, frame_size), _clip(truth, frame_size))
    kept = np.ones(len(overlaps), bool) if visible is None else np.array(visible, bool)
    kept[0] = False
    return overlaps[kept]


def _clip(boxes, frame_size):
    boxes = np.asarray(boxes, np.float64)
    corner = np.clip(boxes[..., :2], 0, frame_size)
    size = np.clip(boxes[..., 2:], 0, np.asarray(frame_size) - corner)
    return np.concatenate([corner, size], axis=-1)


def f_score(overlaps, predicted, present, *, threshold: float = 0.5) -> float:
    """Computes ALOV's F-score of one video.

    Smeulders et al. 2014, section 5.1: a frame is a true positive when the overlap
    is at least one half, a false positive when the tracker shows a box elsewhere
    or without an object, a false negative when the object is present and not
    found. A wrong box on a visible object is both of the latter.

    Args:
      overlaps: f[T].
      predicted: bool[T], whether the tracker shows a box.
      present: bool[T], whether the object is there.
      threshold: overlap of a hit.

    Returns:
      2 P R / (P + R) in [0, 1]; 0 without a hit.

    Raises:
      ValueError: there is no frame.
    """
    present, predicted = np.asarray(present, bool), np.asarray(predicted, bool)
    hits = ((_frames(overlaps) >= threshold) & present & predicted).sum()
    return float(2 * hits / max(predicted.sum() + present.sum(), 1))
