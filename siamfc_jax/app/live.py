"""Follows objects that a person adds or draws anew while they look on."""

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from siamfc_jax.tracking.results import FrameResult


class Orders(NamedTuple):
    """What a person wants from a frame on.

    Attributes:
      goes_on: whether there shall be another frame.
      keeps: whether the objects under way stay where `boxes` has new ones.
      boxes: f32[M, 4] of objects that begin in this frame; with none, all stays as it is.
    """

    goes_on: bool
    keeps: bool
    boxes: np.ndarray


def follow(
    follow_group: Callable,
    frames: Iterator[tuple[int, np.ndarray]],
    boxes: np.ndarray,
    *,
    watch: Callable[[FrameResult], Orders],
) -> Iterator[FrameResult]:
    """Follows objects through frames, and asks after each frame what to do.

    Objects that began in the same frame are one group with a loop of its own. Those that
    come later thus leave the earlier ones, their exemplars and the compiled step as they are;
    the step is compiled once more for a group of another size.

    Args:
      follow_group: `loop.follow` or `exported.follow` with all but frames and boxes given.
      frames: iterator of (number, u8[H, W, 3]), all of one size.
      boxes: f32[N, 4] in the first frame, each checked by `geometry.check_box`.
      watch: is given the result of each frame and says what to do from that frame on.

    Returns:
      An iterator of the results of all objects, the earliest first. In a frame in which objects
      begin, their boxes are the given ones and their scores NaN.
    """
    frames, later = itertools.tee(frames)
    return _follow(follow_group, follow_group(frames, boxes), later, watch)


def _follow(follow_group, group, later, watch):
    groups = [group]
    for here in later:
        results = [next(group, None) for group in groups]
        orders = watch(_join(results))
        if len(orders.boxes):
            later, frames = itertools.tee(later)
            frames = itertools.chain([here], frames)
            added = follow_group(frames, orders.boxes)
            groups = [*groups, added] if orders.keeps else [added]
            results = [*results, next(added)] if orders.keeps else [next(added)]
        yield _join(results)
        if not orders.goes_on:
            return


def _join(results):
    """Joins the results of several groups for one frame along the axis of objects."""
    if len(results) == 1:
        return results[0]
    import jax  # here, as one group needs none

    joined = jax.tree.map(
        lambda *arrays: np.concatenate(arrays),
        *(r._replace(number=None, frame=None, seconds=None) for r in results),
    )
    seconds = sum(r.seconds for r in results)
    return joined._replace(number=results[0].number, frame=results[0].frame, seconds=seconds)
