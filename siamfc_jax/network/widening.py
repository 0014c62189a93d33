"""A trained network inside a wider one, so that the wider one need not begin at nothing.

The channels of the old network keep their inputs and see none of the new ones; these start
at random and may be learned from. After Chen et al. 2016, "Net2Net" (there, new channels
are copies of old ones).
"""

import jax
import numpy as np

from siamfc_jax.config import ModelConfig
from siamfc_jax.network import model

# Of the new outputs of the last layer, so that they add but a hundredth to each response.
NEW_FEATURES = 0.1


def widen(variables, *, key, config: ModelConfig):
    """Puts a network into one that is at least as wide in every layer.

    Args:
      variables: of the old network, with `batch_stats`.
      key: PRNG key of the new channels.
      config: the new network. With a larger first kernel, the old one stands in its middle.

    Returns:
      Variables of the new network. Of an image, the first channels in each half of its
      features are those of the old network for that image, less the margin by which the
      first kernel grew on each side.

    Raises:
      ValueError: the old network is the wider one, or has the larger first kernel.
    """
    fresh = jax.device_get(model.init_variables(key, config=config))
    params = {"adjust": variables["params"]["adjust"]}
    batch_stats = {}
    for layer in range(1, 6):
        old, new = (net["params"][f"conv{layer}"] for net in (variables, fresh))
        extents = zip(old["kernel"].shape, new["kernel"].shape, strict=True)
        if any(small > large for small, large in extents):
            raise ValueError(
                f"only a network that is wider everywhere can take in another, got kernels "
                f"{new['kernel'].shape} for {old['kernel'].shape} in layer {layer}"
            )
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


def _places(count, total):
    """Returns where old channels stand: first in each half, as the groups are halves."""
    return np.concatenate([np.arange(count // 2), total // 2 + np.arange(count // 2)])


def _put(old, new, places):
    new = np.array(new)
    new[places] = old
    return new


def _widen_kernel(old, new, layer, places):
    size, _, depth, _ = old.shape
    margin = (len(new) - size) // 2
    # A group's inputs stand first in its half; a layer of one group sees both halves.
    inputs = np.arange(depth)
    if model.GROUPS[layer - 1] == 1 and layer > 1:
        inputs = _places(depth, new.shape[2])
    new = np.array(new) * (NEW_FEATURES if layer == 5 else 1)
    new[..., places] = 0
    middle = np.arange(margin, margin + size)
    new[np.ix_(middle, middle, inputs, places)] = old
    return new
