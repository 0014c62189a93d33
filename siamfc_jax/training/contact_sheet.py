"""Draws random training samples on one picture, so that wrong boxes are seen at once.

Each sample is an exemplar and a search crop as training draws them, without the random
shift, stretch and colour; boxes are yellow, the positive cells of the label green.
"""

import cv2
import numpy as np

from siamfc_jax.config import TrainConfig
from siamfc_jax.data import pairs
from siamfc_jax.data.patches import cut_patch, patch_box
from siamfc_jax.data.sequences import Sequence
from siamfc_jax.geometry import EXEMPLAR_SIZE, PATCH_SIZE, STRIDE, TRAIN_SEARCH_SIZE
from siamfc_jax.training.losses import response_labels

YELLOW, GREEN, WHITE = (255, 220, 0), (0, 255, 0), (255, 255, 255)
CAPTION = 14  # px below each sample
RESPONSE_SIZE = 15  # cells of a training response


def draw_sample(track: Sequence, frames: np.ndarray, *, radius: float) -> np.ndarray:
    """Draws one training sample.

    Args:
      track: Sequence.
      frames: i64[2] indices of its frames that give the exemplar and the search.
      radius: distance up to which cells are positive, in search pixels.

    Returns:
      u8[253, 366, 3] RGB.
    """
    tile = np.zeros((TRAIN_SEARCH_SIZE + CAPTION, EXEMPLAR_SIZE + TRAIN_SEARCH_SIZE, 3), np.uint8)
    tile[:EXEMPLAR_SIZE, :EXEMPLAR_SIZE] = _cut(track, frames[0], EXEMPLAR_SIZE)
    search = tile[:TRAIN_SEARCH_SIZE, EXEMPLAR_SIZE:]
    search[:] = _cut(track, frames[1], TRAIN_SEARCH_SIZE)
    for cell in np.argwhere(response_labels(RESPONSE_SIZE, radius=radius)):
        row, column = (cell - RESPONSE_SIZE // 2) * STRIDE + (TRAIN_SEARCH_SIZE - STRIDE + 1) // 2
        area = search[row : row + STRIDE - 1, column : column + STRIDE - 1]
        area[:] = area // 2 + np.array(GREEN, np.uint8) // 2
    text = "{}  {} {}".format(track.name[-40:], *track.frame_numbers[frames])
    place = (2, TRAIN_SEARCH_SIZE + CAPTION - 4)
    return cv2.putText(tile, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.35, WHITE, 1, cv2.LINE_AA)


def _cut(track, frame, size):
    """Returns the middle of the patch around the object, its box drawn in."""
    box = track.boxes[frame]
    patch = cut_patch(track.frames[frame], box)
    x, y, width, height = patch_box(box)
    first, last = np.array([x, y]), np.array([x + width, y + height])
    corners = first.round().astype(int).tolist(), (last.round().astype(int) - 1).tolist()
    start = (PATCH_SIZE - size) // 2
    return cv2.rectangle(patch, *corners, YELLOW, 1)[start : start + size, start : start + size]


def draw_sheet(
    sequences: list[Sequence], *, rows: int, columns: int, config: TrainConfig
) -> np.ndarray:
    """Draws random samples; a track comes a second time only after all others came once.

    Args:
      sequences: `data.sequences.Sequence`s.
      rows: of samples.
      columns: of samples.
      config: of the training; its seed chooses the samples.

    Returns:
      u8[H, W, 3] RGB.

    Raises:
      ValueError: no track has a usable frame.
    """
    rng = np.random.default_rng(config.seed)
    usable = [(track, frames) for track in sequences if len(frames := pairs.usable_frames(track))]
    if not usable:
        raise ValueError(f"none of {len(sequences)} tracks has a visible box with a size")
    tiles = []
    order: list[int] = []
    for _ in range(rows * columns):
        order = order or rng.permutation(len(usable)).tolist()
        track, frames = usable[order.pop()]
        near = pairs.sample_frames(rng, track.frame_numbers[frames], max_gap=config.max_gap)
        tiles.append(draw_sample(track, frames[[*near]], radius=config.radius))
    return np.vstack([np.hstack(tiles[row * columns :][:columns]) for row in range(rows)])
