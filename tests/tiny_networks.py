"""Networks of a few channels with random weights, made without compiling anything."""

import functools

import jax
import numpy as np

from siamfc_jax import model
from siamfc_jax.config import ModelConfig

CONFIG = ModelConfig(width=0.02)  # 2, 6, 8, 8 and 6 channels


def variables(config=CONFIG, *, seed=0):
    """Returns variables whose features are of the order of 1 for images of 0..255."""
    rng = np.random.default_rng(seed)
    init = functools.partial(model.init_variables, config=config)
    shapes = jax.eval_shape(init, jax.random.key(0))

    def draw(path, leaf):
        layer, name = (entry.key for entry in path[-2:])
        if layer == "adjust":
            return np.float32({"gain": 1e-3, "bias": -2.0}[name])
        if name == "kernel":
            fan_in = np.prod(leaf.shape[:3])
            return (rng.normal(size=leaf.shape) * np.sqrt(2 / fan_in)).astype(np.float32)
        spread = 150.0 if path[0].key == "batch_stats" and layer == "bn1" else 1.0
        if name == "var":
            return (spread**2 * rng.uniform(0.5, 2, leaf.shape)).astype(np.float32)
        return rng.normal(1 if name == "scale" else 0, 0.2, leaf.shape).astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)
