"""Objects that come and go while a video is tracked, without a recompilation.

The states of all objects are stacked in a fixed number of places. An object that is added
takes a free place, one that is removed leaves its place free for the next. The step is
compiled for the number of places and the size of frames, so it stays the same throughout.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from siamfc_jax.config import TrackerConfig
from siamfc_jax.crops import check_frame
from siamfc_jax.geometry import Array, check_box
from siamfc_jax.network.saved_models import Model, load_model
from siamfc_jax.tracking import tracker


class Estimate(NamedTuple):
    """What the tracker says of one object in one frame.

    Attributes:
      box: f32[4] `[x, y, w, h]` in frame pixels.
      score: logit of the peak, NaN where the box was given.
      confidence: estimated probability, in [0, 1], that the box lies on the object.
      lost: whether the tracker reports the object as lost.
    """

    box: np.ndarray
    score: float
    confidence: float
    lost: bool


class Places(NamedTuple):
    """The objects under way.

    Attributes:
      states: of P places, arrays [P, ...]; those of free places have any value.
      names: of the object in each place, None for a free one.
    """

    states: tracker.State
    names: tuple[str | None, ...]


@jax.jit
def _put(states, place, state):
    return jax.tree.map(lambda all_places, one: all_places.at[place].set(one), states, state)


def make_places(params: dict, frame: Array, count: int, *, config: TrackerConfig) -> Places:
    """Makes free places and compiles all that later frames need.

    Args:
      params: folded network parameters, from `tracker.prepare`.
      frame: u8[H, W, 3] RGB, a frame of the video.
      count: number of places P.
      config: settings of the tracker.

    Returns:
      P free places.
    """
    height, width = frame.shape[:2]
    middle = np.array([width / 4, height / 4, width / 2, height / 2], np.float32)
    state = tracker.init(params, frame, middle, config=config)
    states = jax.tree.map(lambda array: jnp.stack([array] * count), state)
    states = _put(states, 0, state)
    jax.block_until_ready(tracker.step(params, states, frame, config=config))
    return Places(states, (None,) * count)


def add(
    params: dict,
    places: Places,
    frame: Array,
    box: Array,
    name: str,
    *,
    config: TrackerConfig,
) -> Places:
    """Puts an object into a free place, or anew into its own: the appearance is that of `box`.

    Args:
      params: folded network parameters, from `tracker.prepare`.
      places: the objects under way.
      frame: u8[H, W, 3] RGB, which shows the object.
      box: f32[4] `[x, y, w, h]` in frame pixels, checked by `geometry.check_box`.
      name: of the object.
      config: settings of the tracker.

    Returns:
      The places with the object in one of them. Where none is free there are twice as many,
      for which the step is compiled once more.
    """  # fmt: skip
    states, names = places
    if name not in names and None not in names:
        states = jax.tree.map(lambda array: jnp.concatenate([array, array]), states)
        names += (None,) * len(names)
    place = names.index(name if name in names else None)
    state = tracker.init(params, frame, np.asarray(box, np.float32), config=config)
    states = _put(states, place, state)
    return Places(states, (*names[:place], name, *names[place + 1 :]))


def remove(places: Places, name: str) -> Places:
    """Frees the place of an object.

    Args:
      places: the objects under way.
      name: of one of them.

    Returns:
      The places without it.

    Raises:
      ValueError: there is no object of that name.
    """
    if name not in places.names:
        known = ", ".join(filter(None, places.names)) or "none"
        raise ValueError(f"there is no object {name!r}; under way are: {known}")
    return places._replace(names=tuple(None if name == other else other for other in places.names))


def update(
    params: dict, places: Places, frame: Array, *, config: TrackerConfig
) -> tuple[Places, dict[str, Estimate]]:
    """Finds all objects in the next frame.

    Args:
      params: folded network parameters, from `tracker.prepare`.
      places: the objects under way.
      frame: u8[H, W, 3] RGB, of the size of the frames before.
      config: settings of the tracker.

    Returns:
      (places after the frame, estimate of each object by name).
    """
    if not any(places.names):
        return places, {}
    states, boxes, scores = tracker.step(params, places.states, frame, config=config)
    arrays = jax.device_get((boxes, scores, states.confidence, states.lost))
    estimates = {
        name: Estimate(box, float(score), float(confidence), bool(lost))
        for name, box, score, confidence, lost in zip(places.names, *arrays, strict=True)
        if name is not None
    }
    return places._replace(states=states), estimates


def given(box: Array) -> Estimate:
    """Returns the estimate of a box that a person gave: it is certain and has no score."""
    return Estimate(np.asarray(box, np.float32), float("nan"), 1.0, False)


class MultiTracker:
    """Several objects that come and go, as an object: a shell around the functions above.

    Example:
      tracker = MultiTracker("siamfc-small")
      tracker.add(frame, [x, y, w, h], "anna")
      estimates = tracker.update(next_frame)  # {"anna": Estimate(box, score, ...)}
      tracker.correct(next_frame, [x, y, w, h], "anna")
      tracker.remove("anna")

    Attributes:
      names: of the objects under way.
    """

    def __init__(self, weights: str | Model, config: TrackerConfig | None = None, places: int = 4):
        """Loads a model.

        Args:
          weights: name or path of a model, see `saved_models.load_model`; or a `Model`.
          config: settings in place of the model's own.
          places: number of objects for which the step is compiled. More objects double it,
            which compiles once more.

        Raises:
          ValueError: there is no such model, or `places` is below 1.
        """
        if places < 1:
            raise ValueError(f"places must be at least 1, got {places}")
        loaded = weights if isinstance(weights, Model) else load_model(weights)
        self._params, self._count = tracker.prepare(loaded), places
        self._config = config or loaded.tracker_config
        self._places: Places | None = None

    @property
    def names(self) -> list[str]:
        """Names of the objects under way."""
        return [name for name in self._places.names if name] if self._places else []

    def add(self, frame: Array, box: Array, name: str) -> None:
        """Begins to track an object.

        Args:
          frame: u8[H, W, 3] RGB, the frame that `update` saw last, or the first one.
          box: `[x, y, w, h]` in frame pixels.
          name: of the object.

        Raises:
          ValueError: the frame or the box has another form, or the name is taken.
        """
        if name in self.names:
            raise ValueError(f"there is an object {name!r} already; correct or remove it")
        self._put(frame, box, name)

    def correct(self, frame: Array, box: Array, name: str) -> None:
        """Puts a right box in place of the tracked one; the appearance is taken from it.

        Args:
          frame: u8[H, W, 3] RGB, the frame that `update` saw last.
          box: `[x, y, w, h]` in frame pixels.
          name: of an object under way.

        Raises:
          ValueError: the frame or the box has another form, or there is no such object.
        """
        self._check_name(name)
        self._put(frame, box, name)

    def remove(self, name: str) -> None:
        """Ends an object.

        Args:
          name: of an object under way.

        Raises:
          ValueError: there is no such object.
        """
        self._check_name(name)
        if self._places is not None:
            self._places = remove(self._places, name)

    def update(self, frame: Array) -> dict[str, Estimate]:
        """Finds all objects in the next frame.

        Args:
          frame: u8[H, W, 3] RGB.

        Returns:
          The estimate of each object by name; empty where there is none.

        Raises:
          ValueError: the frame has another form.
        """
        frame = check_frame(frame)
        if self._places is None:
            return {}
        self._places, estimates = update(self._params, self._places, frame, config=self._config)
        return estimates

    def _check_name(self, name):
        if name not in self.names:
            known = ", ".join(self.names) or "none"
            raise ValueError(f"there is no object {name!r}; under way are: {known}")

    def _put(self, frame, box, name):
        frame = check_frame(frame)
        box = check_box(box, frame.shape)
        if self._places is None:
            self._places = make_places(self._params, frame, self._count, config=self._config)
        self._places = add(self._params, self._places, frame, box, name, config=self._config)
