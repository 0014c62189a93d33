"""One object, one frame: the algorithm.

    state = init(params, frame, box, config=config)
    state, box, score = step(params, state, frame, config=config)

One jitted call takes the uint8 frame to the box: crops of all scales, embedding,
correlation, up-sampling, scale penalty, window, peak, damped scale. Both
functions are pure: `lax.scan` over frames and `jax.vmap` over states give the
boxes that the loop gives. One compilation for each frame size.
Bertinetto et al. 2016, section 3.4; tracking/tracker.m, tracker_eval.m.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from siamfc_jax import model
from siamfc_jax.checkpoints import Model, load_model
from siamfc_jax.config import TrackerConfig
from siamfc_jax.crops import crop, crop_pyramid, mean_color
from siamfc_jax.geometry import (
    EXEMPLAR_SIZE,
    SEARCH_SIZE,
    cells_to_frame,
    center_of,
    check_box,
    exemplar_side,
    make_box,
    scale_factors,
)

UPSAMPLING = 16  # samples from one response cell to the next (tracker.m, responseUp)


class State(NamedTuple):
    """What the tracker knows about one object.

    Attributes:
      exemplar: f32[6, 6, C] features of the object in the first frame.
      center: f32[2] `(x, y)` in frame pixels.
      size: f32[2] width and height in frame pixels.
      initial_size: f32[2] of the first frame.
      fill: f32[3] mean colour of the first frame.
    """

    exemplar: jax.Array
    center: jax.Array
    size: jax.Array
    initial_size: jax.Array
    fill: jax.Array


class Peak(NamedTuple):
    """Where the response says the object is.

    Attributes:
      scale: i32[] index of the chosen scale.
      offset: f32[2] `(x, y)` from the response's centre, in cells.
      score: f32[] logit at that place, before penalty and window.
    """

    scale: jax.Array
    offset: jax.Array
    score: jax.Array


def prepare(loaded: Model):
    """Returns what `init` and `step` take: the variables, folded, on the device."""
    return jax.device_put(model.fold_batch_norm(loaded.variables))


@functools.partial(jax.jit, static_argnames="config")
def init(params, frame, box, *, config: TrackerConfig) -> State:
    """Looks at an object for the first time.

    Args:
      params: of `prepare`.
      frame: u8[H, W, 3] RGB.
      box: f32[4] `[x, y, w, h]` in frame pixels; see `geometry.check_box`.
      config: settings of the tracker.

    Returns:
      The state for the first `step`.
    """
    center, size = center_of(box), box[2:]
    fill = mean_color(frame)
    side = exemplar_side(size, context=config.context)
    exemplar = crop(frame, center, side, fill, size=EXEMPLAR_SIZE)
    return State(model.embed(params, exemplar[None])[0], center, size, size, fill)


@functools.partial(jax.jit, static_argnames="config")
def step(params, state: State, frame, *, config: TrackerConfig):
    """Finds the object in the next frame.

    Args:
      params: as of `init`.
      state: of `init` or of the last `step`.
      frame: u8[H, W, 3] RGB.
      config: settings of the tracker.

    Returns:
      (new state, box f32[4] in frame pixels, score f32[] logit of the peak).
    """
    logits, sides = respond(params, state, frame, config=config)
    peak = find_peak(logits, config=config)
    factor = scale_factors(config.num_scales, step=config.scale_step)[peak.scale]
    moved = state.center + cells_to_frame(peak.offset, sides[peak.scale])
    center = jnp.clip(moved, 0, jnp.array(frame.shape[1::-1], jnp.float32))
    # One factor for both sides, so that clamping keeps the shape of the box.
    growth = state.size[0] / state.initial_size[0] * (1 + config.scale_rate * (factor - 1))
    size = state.initial_size * jnp.clip(growth, config.min_scale, config.max_scale)
    state = state._replace(center=center, size=size)
    return state, make_box(center, size), peak.score


def respond(params, state: State, frame, *, config: TrackerConfig):
    """Scores every shift of the exemplar at every scale around the last position.

    Args:
      params: as of `init`.
      state: where the object was.
      frame: u8[H, W, 3] RGB.
      config: settings of the tracker.

    Returns:
      (logits f32[S, 17, 17], sides f32[S] of the search squares in frame pixels).
    """
    side = exemplar_side(state.size, context=config.context) * (SEARCH_SIZE / EXEMPLAR_SIZE)
    sides = side * scale_factors(config.num_scales, step=config.scale_step)
    searches = crop_pyramid(frame, state.center, sides, state.fill, size=SEARCH_SIZE)
    features = model.embed(params, searches)
    response = model.cross_correlate_all(state.exemplar[None], features)[0]
    return model.adjust(params, response), sides


@functools.partial(jax.jit, static_argnames="config")
def init_many(params, frame, boxes, *, config: TrackerConfig) -> State:
    """Looks at several objects: `init` of each of boxes f32[N, 4], the states stacked."""
    return jax.vmap(lambda box: init(params, frame, box, config=config))(boxes)


@functools.partial(jax.jit, static_argnames="config")
def step_many(params, states: State, frame, *, config: TrackerConfig):
    """Finds several objects: `step` of each of N stacked states; returns all stacked."""
    return jax.vmap(lambda state: step(params, state, frame, config=config))(states)


@functools.partial(jax.jit, static_argnames="config")
def respond_many(params, states: State, frame, *, config: TrackerConfig):
    """Scores the surroundings of several objects: `respond` of each of N stacked states."""
    return jax.vmap(lambda state: respond(params, state, frame, config=config))(states)


def find_peak(logits, *, config: TrackerConfig) -> Peak:
    """Finds the best scale, then the best place in it.

    Args:
      logits: f32[S, R, R].
      config: scale penalty and window influence.

    Returns:
      The peak, at a precision of 1 / 16 cell.
    """
    count, size, _ = logits.shape
    fine = _upsample(logits)
    others = np.arange(count) != count // 2
    penalty = np.where(others, config.scale_penalty, 1.0).astype(np.float32)
    scale = jnp.argmax(jnp.max(fine, axis=(1, 2)) * penalty)
    surface = fine[scale] - jnp.min(fine[scale])
    surface = surface / jnp.maximum(jnp.sum(surface), jnp.finfo(jnp.float32).tiny)
    hann = np.hanning(fine.shape[-1])
    window = (np.outer(hann, hann) / hann.sum() ** 2).astype(np.float32)
    surface = (1 - config.window_influence) * surface + config.window_influence * window
    row, column = jnp.unravel_index(jnp.argmax(surface), surface.shape)
    offset = jnp.stack([column, row]) / UPSAMPLING - (size - 1) / 2
    return Peak(scale, offset.astype(jnp.float32), fine[scale, row, column])


def _upsample(logits):
    matrix = _cubic_matrix(logits.shape[-1])
    return jnp.einsum("ur,srq,vq->suv", matrix, logits, matrix, precision=lax.Precision.HIGHEST)


@functools.cache
def _cubic_matrix(size):
    """Returns f32[16 (size - 1) + 1, size]: cell i stands at sample 16 i, so the centre is exact.

    Keys' cubic with a = -.5, that of MATLAB's imresize; the border cell is repeated.
    """
    positions = np.arange(UPSAMPLING * (size - 1) + 1) / UPSAMPLING
    first = np.floor(positions).astype(int)
    matrix = np.zeros((len(positions), size))
    for tap in range(-1, 3):
        distance = np.abs(positions - (first + tap))
        near = 1.5 * distance**3 - 2.5 * distance**2 + 1
        far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
        weights = np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
        cells = np.clip(first + tap, 0, size - 1)
        np.add.at(matrix, (np.arange(len(positions)), cells), weights)
    return matrix.astype(np.float32)


@functools.partial(jax.jit, static_argnames="config")
def track_clip(params, frames, box, *, config: TrackerConfig):
    """Tracks one object through frames that are all in memory, in one call.

    Args:
      params: as of `init`.
      frames: u8[T, H, W, 3] RGB.
      box: f32[4] in frame 0.
      config: settings of the tracker.

    Returns:
      (boxes f32[T, 4], scores f32[T]); the first box is the given one, its score NaN.
    """

    def next_frame(state, frame):
        state, box, score = step(params, state, frame, config=config)
        return state, (box, score)

    state = init(params, frames[0], box, config=config)
    _, (boxes, scores) = lax.scan(next_frame, state, frames[1:])
    first = jnp.asarray(box, jnp.float32)[None]
    return jnp.concatenate([first, boxes]), jnp.concatenate([jnp.full((1,), jnp.nan), scores])


class Tracker:
    """The tracker as an object, for people: a shell around `init` and `step`.

    Example:
      tracker = Tracker("siamfc-small")
      tracker.init(frame, [x, y, w, h])
      box, score = tracker.update(next_frame)
    """

    def __init__(self, weights, config: TrackerConfig | None = None):
        """Loads a model.

        Args:
          weights: as `checkpoints.load_model` takes them, or a `Model`.
          config: settings in place of the model's own.

        Raises:
          ValueError: there is no such model.
        """
        loaded = weights if isinstance(weights, Model) else load_model(weights)
        self.params = prepare(loaded)
        self.config = config or loaded.tracker_config
        self.state = None

    def init(self, frame, box) -> None:
        """Takes the object of the first frame.

        Args:
          frame: u8[H, W, 3] RGB.
          box: `[x, y, w, h]` in frame pixels.

        Raises:
          ValueError: frame or box are not of that form.
        """
        frame = _check_frame(frame)
        box = check_box(box, frame.shape)
        self.state = init(self.params, frame, box, config=self.config)

    def update(self, frame):
        """Finds the object in the next frame.

        Args:
          frame: u8[H, W, 3] RGB, of any size; a new size compiles once more.

        Returns:
          (box f32[4] in frame pixels, score as a float).

        Raises:
          ValueError: the frame is not of that form, or `init` was not called.
        """
        if self.state is None:
            raise ValueError("update was called before init; give the first frame and its box")
        frame = _check_frame(frame)
        self.state, box, score = step(self.params, self.state, frame, config=self.config)
        return np.asarray(box), float(score)


def _check_frame(frame):
    frame = np.asarray(frame)
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[-1] != 3 or 0 in frame.shape:
        raise ValueError(
            f"frame must be uint8 [H, W, 3] in RGB order, got {frame.dtype} {list(frame.shape)}"
        )
    return frame
