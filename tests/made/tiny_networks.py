"""Networks of a few channels with random weights, made without compiling anything."""

import functools

import jax
import numpy as np

from siamfc_jax.config import ModelConfig
from siamfc_jax.network import model

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


def pixels(brightness, config=CONFIG):
    """Returns folded variables whose features are pixels less `brightness`, about 8 apart.

    Every kernel passes its middle on, so that tracking is matching of templates, and what
    must come out is known.
    """
    init = functools.partial(model.init_variables, config=config)
    shapes = jax.eval_shape(model.fold_batch_norm, jax.eval_shape(init, jax.random.key(0)))
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes["params"])
    for layer in range(1, 6):
        kernel = params[f"conv{layer}"]["kernel"]
        middle = kernel.shape[0] // 2
        for output in range(kernel.shape[3]):
            kernel[middle, middle, output % kernel.shape[2], output] = 1
    params["conv5"]["kernel"] /= 64
    params["conv5"]["bias"] -= brightness / 64
    params["adjust"] = {"gain": np.float32(1e-3), "bias": np.float32(-2)}
    return {"params": params}
