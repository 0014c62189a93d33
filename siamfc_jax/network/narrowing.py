"""Leaves channels out of a trained network and makes up for them, so that little need be learnt.

Of each layer those channels stay that give most to the next one. Then each kernel is fitted anew
by least squares, so that what it makes of the channels that stayed comes near to what the old
network made of all. After He, Zhang, Sun 2017, "Channel Pruning for Accelerating Very Deep Neural
Networks", whose choice of channels is by LASSO.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from siamfc_jax.config import ModelConfig
from siamfc_jax.network import model

PLACES = 24_000  # of the features a kernel is fitted on, some 70 for each of its numbers
# Share of the mean square of the inputs that holds the fit to small numbers: without it, a channel
# that is nearly the sum of others gets a large kernel.
RIDGE = 1e-3


def narrow(variables: dict, images: np.ndarray, *, config: ModelConfig) -> dict:
    """Makes a network that is nowhere wider and has features like those of the old one.

    Args:
      variables: of the old network, with `batch_stats`.
      images: f32[B, H, W, 3], RGB, 0..255, like those that the network is for; some 64.
      config: the new network, narrower in at least one layer.

    Returns:
      Variables of the new network. The channels that stay keep their order.

    Raises:
      ValueError: the new network is wider in a layer, or has another first kernel.
    """
    kernels = [variables["params"][f"conv{layer}"]["kernel"] for layer in range(1, 6)]
    counts = model.channels(config)
    if len(kernels[0]) != config.first_kernel or any(
        count > kernel.shape[-1] for count, kernel in zip(counts, kernels, strict=True)
    ):
        raise ValueError(
            f"only a network that is nowhere wider and has the same first kernel can be made of "
            f"another, got {counts} channels and a first kernel of {config.first_kernel} for "
            f"{tuple(kernel.shape[-1] for kernel in kernels)} and {len(kernels[0])}"
        )
    outputs_of = jax.jit(model.layer_outputs)
    old = jax.device_get(outputs_of(variables, images))
    kept = []
    for layer, count in enumerate(counts, start=1):
        if layer < 5:
            inputs = np.asarray(model.activate(jnp.asarray(old[f"bn{layer}"]), layer))
            shares = _contributions(inputs, kernels[layer], layer + 1)
        else:
            shares = np.square(old["conv5"]).mean((0, 1, 2))  # a response sums these up
        kept.append(_largest_of_halves(shares, count))
    params: dict = {"adjust": variables["params"]["adjust"]}
    batch_stats: dict = {}
    new = {"params": params, "batch_stats": batch_stats}
    for layer, (kernel, places) in enumerate(zip(kernels, kept, strict=True), start=1):
        before = np.arange(kernel.shape[2]) if layer == 1 else kept[layer - 2]
        params[f"conv{layer}"] = {
            "kernel": _keep(np.asarray(kernel), before, places, layer),
            "bias": np.asarray(variables["params"][f"conv{layer}"]["bias"])[places],
        }
        if layer < 5:
            name = f"bn{layer}"
            params[name], batch_stats[name] = (
                {key: np.asarray(values)[places] for key, values in variables[kind][name].items()}
                for kind in ("params", "batch_stats")
            )
    pairs = zip(kept, kernels, strict=True)
    whole = itertools.takewhile(lambda pair: len(pair[0]) == pair[1].shape[-1], pairs)
    for layer in range(len(list(whole)) + 2, 6):  # after the first one that lost channels
        normalised = outputs_of(new, images)[f"bn{layer - 1}"]
        inputs = np.asarray(model.activate(normalised, layer - 1))
        outputs = old[f"conv{layer}"][..., kept[layer - 1]]
        params[f"conv{layer}"] = _fit(inputs, outputs, len(kernels[layer - 1]), layer)
    return new


def _contributions(inputs, kernel, layer):
    """Returns f[C], the mean square of each input [B, h, w, C] times that of its weights."""
    weights = np.square(kernel).sum((0, 1))  # [inputs of a group, outputs]
    by_group = np.split(weights, model.GROUPS[layer - 1], axis=1)
    return np.square(inputs).mean((0, 1, 2)) * np.concatenate([part.sum(1) for part in by_group])


def _largest_of_halves(values, count):
    """Returns the places of the `count` largest, ascending, half in each half: a group's own."""
    halves = np.split(values, 2)
    places = [np.sort(np.argsort(-half)[: count // 2]) for half in halves]
    return np.concatenate([places[0], len(halves[0]) + places[1]])


def _keep(kernel, before, places, layer):
    """Returns a kernel [k, k, I, O] of the inputs `before` and the outputs `places` alone."""
    if model.GROUPS[layer - 1] == 2:
        # Both groups count their inputs from 0, and the places of both are not the same.
        first, second = np.split(before, 2)
        one, other = np.split(places, 2)
        parts = kernel[:, :, first][..., one], kernel[:, :, second - kernel.shape[2]][..., other]
        return np.concatenate(parts, axis=-1)
    return kernel[:, :, before][..., places]


def _fit(inputs, outputs, size, layer):
    """Returns kernel and bias that make of inputs [B, H, W, I] about the outputs [B, h, w, O]."""
    rng = np.random.default_rng(0)
    images, rows, columns = (rng.integers(length, size=PLACES) for length in outputs.shape[:3])
    wanted = outputs[images, rows, columns]  # [PLACES, O]
    steps = itertools.product(range(size), repeat=2)
    pixels = [inputs[images, rows + y, columns + x] for y, x in steps]
    windows = np.stack(pixels, axis=1)  # [PLACES, size * size, I]
    groups = model.GROUPS[layer - 1]
    kernels, biases = [], []
    for seen, made in zip(
        np.split(windows, groups, axis=2), np.split(wanted, groups, axis=1), strict=True
    ):
        # [PLACES, size * size * I / groups + 1]: the last one is the bias
        known = np.concatenate([seen.reshape(PLACES, -1), np.ones((PLACES, 1))], axis=1)
        square = known.T @ known
        square[np.diag_indices(len(square))] += RIDGE * np.trace(square) / len(square)
        solution = np.linalg.solve(square, known.T @ made)
        # [size * size * I / groups, O / groups] -> [size, size, I / groups, O / groups]
        kernels.append(solution[:-1].reshape(size, size, seen.shape[2], -1))
        biases.append(solution[-1])
    return {
        "kernel": np.concatenate(kernels, axis=-1).astype(np.float32),
        "bias": np.concatenate(biases).astype(np.float32),
    }
