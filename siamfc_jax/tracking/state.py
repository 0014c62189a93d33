"""What the tracker knows about an object."""

from typing import NamedTuple

import jax


class State(NamedTuple):
    """What the tracker knows about one object; of N objects, each array is [N, ...].

    `step` writes center (by `move`), size (by `resize`), and confidence, lost and low_frames
    (by `update_confidence`); `init` writes the others, which then stay.

    Attributes:
      exemplar: f32[1, 6, 6, C] features of the object in the first frame; f32[S, 6, 6, C]
        where the exemplar is cropped at all scales.
      center: f32[2] `(x, y)` in frame pixels.
      size: f32[2] width and height in frame pixels.
      initial_size: f32[2] size in the first frame.
      fill: f32[3] mean colour of the first frame, which stands for what lies outside a frame.
      confidence: f32[] in [0, 1], estimated probability that the box lies on the object.
      lost: bool[], whether the tracker reports the object as lost.
      low_frames: i32[] number of consecutive frames of low confidence until now.
    """

    exemplar: jax.Array
    center: jax.Array
    size: jax.Array
    initial_size: jax.Array
    fill: jax.Array
    confidence: jax.Array
    lost: jax.Array
    low_frames: jax.Array
