"""The patch around an object, which training stores and cuts its crops from.

It is the search crop of the paper, section 3.4, with a margin for random shifts.
"""

import cv2
import numpy as np

from siamfc_jax.geometry import EXEMPLAR_SIZE, PATCH_SIZE, exemplar_side

CONTEXT = 0.5  # of a patch; the tracker's default


def patch_scale(box: np.ndarray) -> float:
    """Returns how many pixels of its patch one pixel of the image gives, for a box f32[4]."""
    return EXEMPLAR_SIZE / exemplar_side(box[2:], context=CONTEXT)


def patch_box(box: np.ndarray) -> np.ndarray:
    """Returns the box of an object in its own patch.

    Args:
      box: f32[4] `[x, y, w, h]` in image pixels.

    Returns:
      f32[4] in pixels of the patch, its centre in the middle.
    """
    size = box[2:] * patch_scale(box)
    return np.concatenate([PATCH_SIZE / 2 - size / 2, size]).astype(np.float32)


def cut_patch(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Cuts the square around an object at the scale of a search crop, with a margin.

    Args:
      image: u8[H, W, 3].
      box: f32[4] `[x, y, w, h]` in image pixels.

    Returns:
      u8[319, 319, 3], the object's centre in its middle, mean colour outside the image.
    """
    scale = patch_scale(box)
    center = box[:2] + box[2:] / 2
    # warpAffine counts from pixel centres: frame pixel i lies at i + .5 of our coordinates.
    shift = PATCH_SIZE / 2 - scale * (center - 0.5) - 0.5
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    return cv2.warpAffine(
        image,
        matrix,
        (PATCH_SIZE, PATCH_SIZE),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=cv2.mean(image)[:3],
    )
