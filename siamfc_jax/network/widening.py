"""Puts a trained network inside a wider one, so that the wider one need not start from nothing.

The channels of the old network keep their inputs and see none of the new channels; the new ones
start at random and may see the old ones. After Chen et al. 2016, "Net2Net" (whose new channels
are copies of old ones).
"""

import functools

import jax
import numpy as np

from siamfc_jax.config import ModelConfig
from siamfc_jax.network import model

# Scale of conv5's new output channels: .1 each, so about 1 % of the response.
NEW_FEATURES = 0.1


def widen(variables: dict, *, key: jax.Array, config: ModelConfig) -> dict:
    """Puts a network into one that is at least as wide in every layer.

    Args:
      variables: of the old network, with `batch_stats`.
      key: PRNG key of the new channels.
      config: the new network. If its first kernel is larger, the old one lies in its middle.

    Returns:
      Variables of the new network. The first channels in each half of its features are those
      of the old network for the same image without the margin by which the first kernel grew.

    Raises:
      ValueError: the old network is wider, or has the larger first kernel.
    """
    _check_room(variables, config)
    fresh = jax.device_get(model.init_variables(key, config=config))
    params = {"adjust": variables["params"]["adjust"]}
    batch_stats = {}
    for layer in range(1, 6):
        old, new = (net["params"][f"conv{layer}"] for net in (variables, fresh))
        places = _places(len(old["bias"]), len(new["bias"]))
        params[f"conv{layer}"] = {
            "kernel": _widen_kernel(old["kernel"], new["kernel"], layer, places),
            "bias": _put(old["bias"], new["bias"], places),
        }
        if layer < 5:
            name = f"bn{layer}"
            params[name], batch_stats[name] = (
                {
                    key: _put(values, fresh[kind][name][key], places)
                    for key, values in variables[kind][name].items()
                }
                for kind in ("params", "batch_stats")
            )
    return {"params": params, "batch_stats": batch_stats}


def _check_room(variables, config):
    init = functools.partial(model.init_variables, config=config)
    params = jax.eval_shape(init, jax.random.key(0))["params"]
    for layer in range(1, 6):
        old, new = (net[f"conv{layer}"]["kernel"].shape for net in (variables["params"], params))
        if any(small > large for small, large in zip(old, new, strict=True)):
            raise ValueError(
                f"only a network that is wider everywhere can take in another, got kernels "
                f"{new} for {old} in layer {layer}"
            )


def _places(count, total):
    """Returns the places of the old channels: first in each half, as the groups are halves."""
    return np.concatenate([np.arange(count // 2), total // 2 + np.arange(count // 2)])


def _put(old, new, places):
    new = np.array(new)
    new[places] = old
    return new


def _widen_kernel(old, new, layer, places):
    size, _, depth, _ = old.shape
    margin = (len(new) - size) // 2
    # A group's old inputs come first in its half; a layer of one group sees both halves.
    inputs = np.arange(depth)
    if model.GROUPS[layer - 1] == 1 and layer > 1:
        inputs = _places(depth, new.shape[2])
    new = np.array(new) * (NEW_FEATURES if layer == 5 else 1)
    new[..., places] = 0
    middle = np.arange(margin, margin + size)
    new[np.ix_(middle, middle, inputs, places)] = old
    return new
