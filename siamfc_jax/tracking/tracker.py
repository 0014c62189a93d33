"""One frame, one object or several: the algorithm.

    state = init(params, frame, box, config=config)
    state, box, score = step(params, state, frame, config=config)

One jitted call takes the uint8 frame to the box: crops of all scales, embedding,
correlation, up-sampling, scale penalty, window, peak, damped scale. Both functions are
pure: `lax.scan` over frames and `jax.vmap` over states give the boxes that the loop
gives; several objects go faster as one stacked state, through one batch of the network.
Bertinetto et al. 2016, section 3.4; tracking/tracker.m, tracker_eval.m.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from siamfc_jax.config import TrackerConfig
from siamfc_jax.crops import check_frame
from siamfc_jax.geometry import center_of, check_box, make_box
from siamfc_jax.network import model
from siamfc_jax.network.saved_models import Model, load_model
from siamfc_jax.tracking import search
from siamfc_jax.tracking.confidence import judge
from siamfc_jax.tracking.peaks import best_scale, grow, move_to_peak
from siamfc_jax.tracking.redetection import look_everywhere
from siamfc_jax.tracking.roi import View, look, whole


class State(NamedTuple):
    """What the tracker knows about one object; of N objects, each array is [N, ...].

    Attributes:
      exemplar: f32[1, 6, 6, C] features of the object in the first frame, or f32[S, 6, 6, C].
      center: f32[2] `(x, y)` in frame pixels.
      size: f32[2] width and height in frame pixels.
      initial_size: f32[2] of the first frame.
      fill: f32[3] mean colour of the first frame.
      confidence: f32[] in [0, 1], how sure the tracker is of this place.
      lost: bool[], whether it says that it has lost the object.
      doubts: i32[] frames in a row that speak for that.
    """

    exemplar: jax.Array
    center: jax.Array
    size: jax.Array
    initial_size: jax.Array
    fill: jax.Array
    confidence: jax.Array
    lost: jax.Array
    doubts: jax.Array


def prepare(loaded: Model):
    """Returns what `init` and `step` take: the variables, folded, on the device."""
    return jax.jit(model.fold_batch_norm)(loaded.variables)


@functools.partial(jax.jit, static_argnames="config")
def init(params, frame, box, *, config: TrackerConfig) -> State:
    """Looks at an object for the first time, or at several.

    Args:
      params: of `prepare`.
      frame: u8[H, W, 3] RGB, or a `views.View` of it.
      box: f32[4] `[x, y, w, h]` in frame pixels, see `geometry.check_box`; or f32[N, 4].
      config: settings of the tracker.

    Returns:
      The state for the first `step`; its arrays are stacked where the boxes are.
    """
    view, center, size = whole(frame), center_of(box), box[..., 2:]
    fill = jnp.broadcast_to(view.color, (*center.shape[:-1], 3))
    sure, doubts = jnp.ones(size.shape[:-1]), jnp.zeros(size.shape[:-1], jnp.int32)
    state = State(None, center, size, size, fill, sure, sure < 1, doubts)
    return state._replace(exemplar=search.look_first(params, view, state, config=config))


@functools.partial(jax.jit, static_argnames="config")
def step(params, state: State, frame, *, config: TrackerConfig):
    """Finds the object in the next frame, or all of several in one pass of the network.

    Args:
      params: as of `init`.
      state: of `init` or of the last `step`.
      frame: u8[H, W, 3] RGB, each size compiled once; or a `views.View`, which has few.
      config: settings of the tracker.

    Returns:
      (new state, box f32[4] in frame pixels, score f32[] logit of the peak); all
      stacked where the state is.
    """
    view = whole(frame)
    cut = functools.partial(search.cut, view)
    return _advance(params, state, cut, view.frame_size, config)


@functools.partial(jax.jit, static_argnames="config")
def step_many(params, states: State, frames, sizes, *, config: TrackerConfig):
    """Steps in several videos at once, in one pass of the network; otherwise as `step`.

    Args:
      params: as of `init`.
      states: of V videos, arrays [V, ...], or [V, N, ...] of N objects in each.
      frames: u8[V, H, W, 3] RGB, smaller ones padded on the right and below with anything.
      sizes: i32[V, 2] width and height of each frame proper.
      config: settings of the tracker.

    Returns:
      (new states, boxes f32[V, ..., 4], scores f32[V, ...]).
    """
    no_color = jnp.zeros((len(sizes), 3))
    views = View(frames, jnp.zeros_like(sizes), sizes, jnp.float32(sizes), no_color)

    def cut(states, sides, size):
        return jax.vmap(functools.partial(search.cut, size=size))(views, states, sides)

    return _advance(params, states, cut, views.frame_size, config)


@functools.partial(jax.jit, static_argnames="config")
def step_through(params, state: State, frames, *, config: TrackerConfig):
    """Steps through several frames in one call, so that the device need not wait between them.

    Args:
      params: as of `init`.
      state: of `init` or of the last step.
      frames: u8[T, H, W, 3] RGB.
      config: settings of the tracker.

    Returns:
      (states before each frame, [T, ...], but without their exemplars and fills, the new
      state, boxes f32[T, ..., 4], scores f32[T, ...]).
    """

    def next_frame(before, frame):
        after, box, score = step(params, before, frame, config=config)
        return after, (before._replace(exemplar=None, fill=None), box, score)

    state, (before, boxes, scores) = lax.scan(next_frame, state, frames)
    return before, state, boxes, scores


@functools.partial(jax.jit, static_argnames="config")
def respond(params, state: State, frame, *, config: TrackerConfig):
    """Scores every shift of the exemplar at every scale around the last position.

    Args:
      params: as of `init`.
      state: where the object was, or the objects.
      frame: u8[H, W, 3] RGB.
      config: settings of the tracker.

    Returns:
      (logits f32[..., S, 17, 17], sides f32[..., S] of the search squares in frame
      pixels); stacked where the state is.
    """
    cut = functools.partial(search.cut, whole(frame))
    return search.respond(params, state, cut, config=config)


def _advance(params, state, cut, frame_size, config):
    def find(state, config):
        return _find(params, state, cut, frame_size, config=config)

    found = find(state, config)
    if not config.redetect:
        return found
    look = functools.partial(look_everywhere, find, frame_size, config=config)
    return lax.cond(jnp.any(found[0].lost), look, lambda found: found, found)


def _find(params, state, cut, frame_size, *, config):
    logits, sides = search.respond(params, state, cut, config=config)
    move = functools.partial(move_to_peak, config=config)
    # Objects share the size of their frame, videos do not.
    for shared in reversed([axis >= frame_size.ndim - 1 for axis in range(logits.ndim - 3)]):
        move = jax.vmap(move, (0, 0, 0, None if shared else 0))
    state, score = move(state, logits, sides, frame_size)
    if config.scales_on == "peak" and config.num_scales > 1:  # else the search has told the scale
        at_scales = search.compare(params, state, cut, config=config)
        state = grow(state, best_scale(at_scales, config=config), config.num_scales, config=config)
    box = make_box(state.center, state.size)
    return judge(params, state, score, config=config), box, score


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
    state = init(params, frames[0], box, config=config)
    _, _, boxes, scores = step_through(params, state, frames[1:], config=config)
    first = jnp.asarray(box, jnp.float32)[None]
    return jnp.concatenate([first, boxes]), jnp.concatenate([jnp.full((1,), jnp.nan), scores])


class Tracker:
    """The tracker as an object, for people: a shell around `init` and `step`.

    Example:
      tracker = Tracker("siamfc-small")
      tracker.init(frame, [x, y, w, h])
      box, score = tracker.update(next_frame)

    Attributes:
      state: of the last frame, None before `init`.
      confidence: in [0, 1], how sure it is of the last box.
      lost: whether it says that it has lost the object.
    """

    def __init__(self, weights, config: TrackerConfig | None = None):
        """Loads a model.

        Args:
          weights: as `saved_models.load_model` takes them, or a `Model`.
          config: settings in place of the model's own.

        Raises:
          ValueError: there is no such model.
        """
        loaded = weights if isinstance(weights, Model) else load_model(weights)
        self.params = prepare(loaded)
        self.config = config or loaded.tracker_config
        self.state = self._view = None
        self.confidence, self.lost = 0.0, False

    def init(self, frame, box) -> None:
        """Takes the object of the first frame.

        Args:
          frame: u8[H, W, 3] RGB.
          box: `[x, y, w, h]` in frame pixels.

        Raises:
          ValueError: frame or box are not of that form.
        """
        frame = check_frame(frame)
        box = check_box(box, frame.shape)
        self._view = look(frame, box, config=self.config)
        self._keep(init(self.params, self._view, box, config=self.config))

    def update(self, frame):
        """Finds the object in the next frame.

        Args:
          frame: u8[H, W, 3] RGB, of any size.

        Returns:
          (box f32[4] in frame pixels, score as a float).

        Raises:
          ValueError: the frame is not of that form, or `init` was not called.
        """
        if self.state is None:
            raise ValueError("update was called before init; give the first frame and its box")
        frame = check_frame(frame)
        last = make_box(self.state.center, self.state.size)
        self._view = look(frame, last, self._view, config=self.config)
        state, box, score = step(self.params, self.state, self._view, config=self.config)
        self._keep(state)
        return np.asarray(box), float(score)

    def _keep(self, state):
        self.state = state
        self.confidence, self.lost = float(state.confidence), bool(state.lost)
