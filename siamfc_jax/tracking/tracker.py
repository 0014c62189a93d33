"""The algorithm: one frame in, the box of one object or of several out.

    state = init(params, frame, box, config=config)
    state, box, score = step(params, state, frame, config=config)

`step` is section 3.4 of Bertinetto et al. 2016 in the paper's order (tracking/tracker.m and
tracker_eval.m of the authors), compiled as one call from the uint8 frame to the box.

Shapes: all functions work on one object, on N objects and on N objects in each of V videos.
The leading axes of the state say which: none, [N], [V] or [V, N]. In the shapes below, `...`
stands for them; S is the number of scales. What objects share, as the frame, has axes of 1.
The functions are pure, so that `lax.scan` and `jax.vmap` of `step` give what a loop gives.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from siamfc_jax.config import TrackerConfig
from siamfc_jax.crops import check_frame
from siamfc_jax.geometry import EXEMPLAR_SIZE, SEARCH_SIZE, Array, center_of, check_box, make_box
from siamfc_jax.network import model
from siamfc_jax.network.saved_models import Model, load_model
from siamfc_jax.tracking.confidence import update_confidence
from siamfc_jax.tracking.peaks import best_scale, find_peak, move, resize
from siamfc_jax.tracking.redetection import with_redetection
from siamfc_jax.tracking.results import check_finite
from siamfc_jax.tracking.roi import Roi, crop_roi, padded_frames, whole_frame
from siamfc_jax.tracking.search import correlate, crop_scales, crop_squares, embed, equalize_norms
from siamfc_jax.tracking.state import State


def prepare(loaded: Model) -> dict:
    """Folds batch normalisation and moves the parameters to the device.

    Args:
      loaded: model, from `saved_models.load_model`.

    Returns:
      The folded network parameters, which all functions here take as `params`.
    """
    return jax.jit(model.fold_batch_norm)(loaded.variables)


@functools.partial(jax.jit, static_argnames="config")
def init(params: dict, frame: jax.Array | Roi, box: jax.Array, *, config: TrackerConfig) -> State:
    """Embeds an object, or several, in the first frame.

    Args:
      params: folded network parameters, from `prepare`.
      frame: u8[H, W, 3] RGB, or the `Roi` of it.
      box: f32[4] `[x, y, w, h]` in frame pixels, checked by `geometry.check_box`; or f32[N, 4].
      config: settings of the tracker.

    Returns:
      The state for the first `step`; its arrays are [N, ...] if the boxes are.
    """
    center, size = center_of(box), box[..., 2:]
    roi, scales = whole_frame(frame, axes=center.ndim - 1), crop_scales(config)
    fill = jnp.broadcast_to(jnp.asarray(roi.color), (*center.shape[:-1], 3))
    certain, no_frames = jnp.ones(size.shape[:-1]), jnp.zeros(size.shape[:-1], jnp.int32)
    nothing: Any = None  # the exemplar, which follows; `crop_squares` does not read it
    state = State(nothing, center, size, size, fill, certain, certain < 1, no_frames)
    crops, _ = crop_squares(roi, state, scales.exemplar, EXEMPLAR_SIZE, config=config)
    return state._replace(exemplar=equalize_norms(embed(params, crops)))  # [..., S, 6, 6, C]


@functools.partial(jax.jit, static_argnames="config")
@with_redetection
def step(
    params: dict, state: State, frame: jax.Array | Roi, *, config: TrackerConfig
) -> tuple[State, jax.Array, jax.Array]:
    """Finds the object in the next frame, or all of several in one pass of the network.

    Args:
      params: folded network parameters, from `prepare`.
      state: state after the last frame, from `init` or `step`.
      frame: u8[H, W, 3] RGB, for each size of which `step` is compiled once; or the `Roi` of
        it, which has few sizes.
      config: settings of the tracker.

    Returns:
      (new state, box f32[..., 4] in frame pixels, score f32[...], the logit of the peak).
    """
    roi, scales = whole_frame(frame, axes=state.lost.ndim), crop_scales(config)
    crops, sides = crop_squares(roi, state, scales.search, SEARCH_SIZE, config=config)
    logits = correlate(params, state.exemplar, embed(params, crops))  # [..., S, 17, 17]
    peak = find_peak(logits, sides, config=config)
    state, scale = move(state, peak.shift, roi.frame_size), peak.scale
    if len(scales.peak) > 1:  # The search had one scale; crops at the new place choose it instead.
        crops, _ = crop_squares(roi, state, scales.peak, EXEMPLAR_SIZE, config=config)
        logits = correlate(params, state.exemplar, embed(params, crops))  # [..., S, 1, 1]
        scale = best_scale(logits[..., 0, 0], config=config)
    state = resize(state, scale, config=config)
    state = update_confidence(params, state, peak.score, config=config)
    return state, make_box(state.center, state.size), peak.score


@functools.partial(jax.jit, static_argnames="config")
def step_videos(
    params: dict, states: State, frames: jax.Array, sizes: jax.Array, *, config: TrackerConfig
) -> tuple[State, jax.Array, jax.Array]:
    """Takes a step in each of several videos, in one pass of the network.

    Args:
      params: folded network parameters, from `prepare`.
      states: states [V, ...] of one object in each video, or [V, N, ...] of N objects.
      frames: u8[V, H, W, 3] RGB; smaller ones are padded with any values, right and below.
      sizes: i32[V, 2] width and height of each frame without its padding.
      config: settings of the tracker.

    Returns:
      (new states, boxes f32[V, ..., 4] in frame pixels, scores f32[V, ...]).
    """
    rois = padded_frames(frames, sizes, axes=states.lost.ndim)
    return step(params, states, rois, config=config)


@functools.partial(jax.jit, static_argnames="config")
def scan_frames(
    params: dict, state: State, frames: jax.Array, *, config: TrackerConfig
) -> tuple[State, State, jax.Array, jax.Array]:
    """Steps through several frames in one call, so that the device does not wait for the host.

    Args:
      params: folded network parameters, from `prepare`.
      state: state after the last frame, from `init` or `step`.
      frames: u8[T, H, W, 3] RGB.
      config: settings of the tracker.

    Returns:
      (state after the last frame, states [T, ...] after each frame, whose exemplar and fill
      are left out as they stay the same, boxes f32[T, ..., 4], scores f32[T, ...]).
    """

    def next_frame(state, frame):
        state, box, score = step(params, state, frame, config=config)
        return state, (state._replace(exemplar=None, fill=None), box, score)

    state, (states, boxes, scores) = lax.scan(next_frame, state, frames)
    return state, states, boxes, scores


@functools.partial(jax.jit, static_argnames="config")
def score_search(
    params: dict, state: State, frame: Array | Roi, *, config: TrackerConfig
) -> tuple[jax.Array, jax.Array]:
    """Scores every shift of the exemplar, at every scale, around the last place: `step`'s logits.

    Args:
      params: folded network parameters, from `prepare`.
      state: state before the frame.
      frame: u8[H, W, 3] RGB, or the `Roi` of it.
      config: settings of the tracker.

    Returns:
      (logits f32[..., S, 17, 17], sides f32[..., S] of the search squares in frame pixels).
    """
    roi, scales = whole_frame(frame, axes=state.lost.ndim), crop_scales(config)
    crops, sides = crop_squares(roi, state, scales.search, SEARCH_SIZE, config=config)
    logits = correlate(params, state.exemplar, embed(params, crops))
    return logits, jnp.broadcast_to(sides, logits.shape[:-2])


@functools.partial(jax.jit, static_argnames="config")
def track_clip(
    params: dict, frames: jax.Array, box: jax.Array, *, config: TrackerConfig
) -> tuple[jax.Array, jax.Array]:
    """Tracks one object through frames that are all in memory, in one call.

    Args:
      params: folded network parameters, from `prepare`.
      frames: u8[T, H, W, 3] RGB.
      box: f32[4] in frame 0.
      config: settings of the tracker.

    Returns:
      (boxes f32[T, 4], scores f32[T]); the first box is the given one, its score NaN.
    """
    state = init(params, frames[0], box, config=config)
    _, _, boxes, scores = scan_frames(params, state, frames[1:], config=config)
    first = jnp.asarray(box, jnp.float32)[None]
    return jnp.concatenate([first, boxes]), jnp.concatenate([jnp.full((1,), jnp.nan), scores])


class Tracked(NamedTuple):
    """What is known after a frame of a video that comes from the host, from `start` or `advance`.

    Attributes:
      state: of the objects, on the device.
      roi: the part of this frame that was used; that of the next frame has its shape, if it can.
      boxes: f32[..., 4] in frame pixels.
      scores: f32[...] logits of the peaks, NaN in the first frame.
      confidences: f32[...] in [0, 1].
      lost: bool[...].
    """

    state: State
    roi: Roi
    boxes: np.ndarray
    scores: np.ndarray
    confidences: np.ndarray
    lost: np.ndarray


def start(params: dict, frame: np.ndarray, boxes: Array, *, config: TrackerConfig) -> Tracked:
    """Takes the objects of the first frame: `init` on the part of the frame that it needs.

    Args:
      params: folded network parameters, from `prepare`.
      frame: u8[H, W, 3] RGB.
      boxes: f32[4] or f32[N, 4] in frame pixels, checked by `geometry.check_box`.
      config: settings of the tracker.

    Returns:
      What `advance` takes with the next frame.
    """
    boxes = np.asarray(boxes, np.float32)
    roi = crop_roi(frame, boxes, config=config)
    state = init(params, roi, boxes, config=config)
    scores = np.full(boxes.shape[:-1], np.nan, np.float32)
    return Tracked(state, roi, boxes, scores, *jax.device_get((state.confidence, state.lost)))


def advance(params: dict, last: Tracked, frame: np.ndarray, *, config: TrackerConfig) -> Tracked:
    """Finds the objects in the next frame: `step` on the part of the frame that it needs.

    Args:
      params: folded network parameters, from `prepare`.
      last: what is known after the last frame.
      frame: u8[H, W, 3] RGB, of any size.
      config: settings of the tracker.

    Returns:
      What is known after this frame.
    """
    roi = crop_roi(frame, last.boxes, last.roi, config=config)
    state, boxes, scores = step(params, last.state, roi, config=config)
    numbers = jax.device_get((boxes, scores, state.confidence, state.lost))
    return Tracked(state, roi, *numbers)


class Tracker:
    """The tracker as an object: a shell around `start` and `advance` for one box.

    Example:
      tracker = Tracker("siamfc-small")
      tracker.init(frame, [x, y, w, h])
      box, score = tracker.update(next_frame)

    Attributes:
      params: folded network parameters.
      config: settings of the tracker.
      state: state after the last frame, None before `init`.
      confidence: estimated probability, in [0, 1], that the last box lies on the object.
      lost: whether the tracker reports the object as lost.
    """

    def __init__(self, weights: str | Model, config: TrackerConfig | None = None):
        """Loads a model.

        Args:
          weights: name or path of a model, see `saved_models.load_model`; or a `Model`.
          config: settings in place of the model's own.

        Raises:
          ValueError: there is no such model.
        """
        loaded = weights if isinstance(weights, Model) else load_model(weights)
        self.params = prepare(loaded)
        self.config = config or loaded.tracker_config
        self.state, self.confidence, self.lost = None, 0.0, False

    def init(self, frame: Array, box: Array) -> None:
        """Takes the object of the first frame.

        Args:
          frame: u8[H, W, 3] RGB.
          box: `[x, y, w, h]` in frame pixels.

        Raises:
          ValueError: the frame or the box has another form.
        """
        frame = check_frame(frame)
        box = check_box(box, frame.shape)
        self._keep(start(self.params, frame, box, config=self.config))

    def update(self, frame: Array) -> tuple[np.ndarray, float]:
        """Finds the object in the next frame.

        Args:
          frame: u8[H, W, 3] RGB, of any size.

        Returns:
          (box f32[4] in frame pixels, score, the logit of the peak).

        Raises:
          ValueError: the frame has another form, or `init` was not called.
          FloatingPointError: the weights or the settings lead to NaN.
        """
        if self.state is None:
            raise ValueError("update was called before init; give the first frame and its box")
        frame = check_frame(frame)
        tracked = advance(self.params, self._tracked, frame, config=self.config)
        check_finite("this frame", tracked.boxes, tracked.scores, tracked.confidences)
        self._keep(tracked)
        return self._tracked.boxes, float(self._tracked.scores)

    def _keep(self, tracked):
        self._tracked, self.state = tracked, tracked.state
        self.confidence, self.lost = float(tracked.confidences), bool(tracked.lost)
