"""The network: images to features, features to responses, responses to logits.

f(z, x) = gamma * phi(z) (*) phi(x) + b: `embed` is phi, `cross_correlate` is (*),
`adjust` is the rest. Bertinetto et al. 2016, section 2 and table 1;
training/vid_create_net.m and training/make_siameseFC.m of the authors.

`variables` is what Flax calls by that name: `{"params": ..., "batch_stats": ...}`, or
`{"params": ...}` alone after `fold_batch_norm`.
"""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from siamfc_jax.config import ModelConfig
from siamfc_jax.geometry import EXEMPLAR_SIZE
from siamfc_jax.network.convolution import convolve, convolve_by_xla, correlate, max_pool

CHANNELS = (96, 256, 384, 384, 256)
KERNELS = (11, 5, 3, 3, 3)
GROUPS = (1, 2, 1, 2, 2)
STRIDES = (2, 1, 1, 1, 1)
GAIN = 1e-3  # gamma; keeps the logits of an untrained net small, its own rate is 0
BATCH_NORM_EPSILON = 1e-4  # MatConvNet's default
BATCH_NORM_RATE = 0.05  # of the running statistics (vid_create_net.m)


def channels(config: ModelConfig) -> tuple[int, ...]:
    """Returns the output channels of the five layers, each even for its two groups."""
    return config.channels or tuple(
        2 * max(1, round(count * config.width / 2)) for count in CHANNELS
    )


def _convolve(
    images, kernel, strides, padding, *, feature_group_count, **_
):  # the signature that nn.Conv calls
    del padding  # always VALID
    return convolve(images, kernel, strides[0], feature_group_count)


def _give_shape(images, kernel, strides, padding, *, feature_group_count, **_):
    # `lazy_init` computes no features, it needs their shapes. Those of XLA's form take .1 s to
    # find out; through the CPU's form it is .7 s, at each start of the tracker.
    del padding
    return convolve_by_xla(strides[0], feature_group_count, images, kernel)


class Embedding(nn.Module):
    """phi: five convolutions without padding, total stride 8.

    Attributes:
      channels: of the outputs of the five layers.
      first_kernel: side of the first kernel.
      normalize: whether batch normalisation follows the first four convolutions;
        False for folded variables.
      dtype: of the computation; parameters stay float32.
      axis_name: of the devices that share batch statistics.
    """

    channels: tuple[int, ...]
    first_kernel: int
    normalize: bool = True
    dtype: jnp.dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images, *, train=False):
        """Embeds f32[B, H, W, 3] RGB images of 0..255 into [B, h, w, C] features."""
        kernels = (self.first_kernel, *KERNELS[1:])
        features = images.astype(self.dtype)
        for layer, (depth, size, groups) in enumerate(
            zip(self.channels, kernels, GROUPS, strict=True), start=1
        ):
            features = nn.Conv(
                depth,
                (size, size),
                strides=STRIDES[layer - 1],
                padding="VALID",
                feature_group_count=groups,
                # 'xavierimproved' of the authors: N(0, 2 / (k * k * all outputs)).
                kernel_init=nn.initializers.variance_scaling(2.0, "fan_out", "normal"),
                dtype=self.dtype,
                conv_general_dilated=_give_shape if self.is_initializing() else _convolve,
                name=f"conv{layer}",
            )(features)
            if layer == 5:
                break
            if self.normalize:
                features = nn.BatchNorm(
                    use_running_average=not train,
                    momentum=1 - BATCH_NORM_RATE,
                    epsilon=BATCH_NORM_EPSILON,
                    dtype=self.dtype,
                    axis_name=self.axis_name,
                    name=f"bn{layer}",
                )(features)
            features = activate(features, layer)
        return features


def activate(features: jax.Array, layer: int) -> jax.Array:
    """Makes the inputs [B, h, w, C] of the next layer of what the normalisation of one gives."""
    # Pooling and the rectifier commute; in this order the rectifier has a quarter of the values
    # to work on.
    return nn.relu(max_pool(features) if layer <= 2 else features)


def init_variables(key: jax.Array, *, config: ModelConfig) -> dict:
    """Returns fresh variables of the network.

    Args:
      key: PRNG key of the kernels; biases, b and the batch statistics are fixed.
      config: the network.

    Returns:
      `{"params": {conv1.., bn1.., adjust}, "batch_stats": {bn1..}}`.
    """
    if isinstance(key, jax.core.Tracer):  # in `jax.eval_shape` and the like
        return _init_variables(key, config)
    # LLVM's level 3, the default, takes 12 times as long as level 2 for JAX's random bits: seconds
    # for code that runs once.
    options = {"xla_backend_optimization_level": 2}
    return jax.jit(_init_variables, static_argnums=1, compiler_options=options)(key, config)


def _init_variables(key, config):
    images = jax.ShapeDtypeStruct((1, EXEMPLAR_SIZE, EXEMPLAR_SIZE, 3), jnp.float32)
    variables = Embedding(channels(config), config.first_kernel).lazy_init(key, images)
    adjust_params = {"gain": jnp.float32(GAIN), "bias": jnp.float32(0)}
    return {**variables, "params": {**variables["params"], "adjust": adjust_params}}


def _apply(variables, images, *, dtype=jnp.float32, axis_name=None, **keywords):
    # The shapes of the kernels determine the network.
    params = {name: value for name, value in variables["params"].items() if name != "adjust"}
    kernels = [params[f"conv{layer}"]["kernel"] for layer in range(1, 6)]
    embedding = Embedding(
        channels=tuple(kernel.shape[-1] for kernel in kernels),
        first_kernel=kernels[0].shape[0],
        normalize="batch_stats" in variables,
        dtype=dtype,
        axis_name=axis_name,
    )
    return embedding.apply({**variables, "params": params}, images, **keywords)


def embed(variables: dict, images: jax.Array) -> jax.Array:
    """Embeds images with the stored batch statistics.

    Args:
      variables: from `init_variables`, a checkpoint, or `fold_batch_norm`.
      images: f32[B, H, W, 3], RGB, 0..255; nothing is subtracted.

    Returns:
      f32[B, h, w, C]: 127 px -> 6 x 6, 239 -> 20 x 20, 255 -> 22 x 22.
    """
    return lax.platform_dependent(
        images,
        # Each image goes through all layers before the next one, so that its values stay in the
        # cache.
        cpu=functools.partial(lax.map, lambda image: _apply(variables, image[None])[0]),
        default=functools.partial(_apply, variables),
    )


def embed_train(
    variables: dict,
    images: jax.Array,
    *,
    dtype: jnp.dtype = jnp.float32,
    axis_name: str | None = None,
) -> tuple[jax.Array, dict]:
    """Embeds images with the statistics of this batch, and updates the stored ones.

    The exemplars and the searches of a batch are normalised separately, as in the authors'
    two streams; each call updates the running statistics once.

    Args:
      variables: parameters and running statistics.
      images: f32[B, H, W, 3], RGB, 0..255.
      dtype: of the computation, float32 or bfloat16.
      axis_name: `pmap` axis of the devices whose batches are normalised together.

    Returns:
      (features [B, h, w, C] of `dtype`, new batch_stats).
    """
    features, updates = _apply(
        variables, images, dtype=dtype, axis_name=axis_name, train=True, mutable=["batch_stats"]
    )
    return features, updates["batch_stats"]


def layer_outputs(variables: dict, images: jax.Array) -> dict:
    """Returns what each convolution and each normalisation gives, f32[B, h, w, C] by their names.

    Args:
      variables: as for `embed`.
      images: f32[B, H, W, 3], RGB, 0..255.
    """
    _, captured = _apply(
        variables,
        images,
        capture_intermediates=lambda module, _: not isinstance(module, Embedding),
        mutable=["intermediates"],
    )
    return {name: calls["__call__"][0] for name, calls in captured["intermediates"].items()}


def _check_features(exemplar, search):
    if exemplar.shape[-1] != search.shape[-1] or any(
        small > large for small, large in zip(exemplar.shape[1:3], search.shape[1:3], strict=True)
    ):
        raise ValueError(
            "exemplar features must have the channels of the search features and be no larger, "
            f"got {exemplar.shape} and {search.shape}"
        )


def cross_correlate(exemplar: jax.Array, search: jax.Array) -> jax.Array:
    """Slides each exemplar over its own search features.

    Element b of `exemplar` meets element b of `search` only. No padding, stride 1;
    gamma and b are applied later by `adjust`. Bertinetto et al. 2016, eq. 2.

    Args:
      exemplar: f32[B, h, w, C] features of z, 6 x 6 for a 127 px crop.
      search: f32[B, H, W, C] features of x, 22 x 22 for 255 px.

    Returns:
      f32[B, H - h + 1, W - w + 1]: 17 x 17 when tracking, 15 x 15 in training.

    Raises:
      ValueError: batch or channels differ, or the exemplar is larger.
    """
    _check_features(exemplar, search)
    if len(exemplar) != len(search):
        raise ValueError(f"got {len(exemplar)} exemplars for {len(search)} searches, need as many")
    # Batches of one each, [B, 1, ...]: [B, 1, 1, R, R] -> [B, R, R]
    return jax.vmap(correlate)(exemplar[:, None], search[:, None])[:, 0, 0]


def cross_correlate_all(exemplar: jax.Array, search: jax.Array) -> jax.Array:
    """Slides every exemplar over every search; otherwise the same as `cross_correlate`.

    Args:
      exemplar: f32[N, h, w, C].
      search: f32[M, H, W, C].

    Returns:
      f32[N, M, H - h + 1, W - w + 1].

    Raises:
      ValueError: channels differ, or the exemplar is larger.
    """
    _check_features(exemplar, search)
    return correlate(exemplar, search)


def adjust(variables: dict, response: jax.Array) -> jax.Array:
    """Returns logits gamma * response + b, of the shape of `response`."""
    gain_and_bias = variables["params"]["adjust"]
    return gain_and_bias["gain"] * response + gain_and_bias["bias"]


def fold_batch_norm(variables: dict) -> dict:
    """Folds batch normalisation into the convolutions, for tracking.

    Args:
      variables: with batch normalisation; folded variables are returned unchanged.

    Returns:
      `{"params": {conv1.., adjust}}` with which `embed` gives the same features.
    """
    if "batch_stats" not in variables:
        return variables
    folded = {}
    for name, params in variables["params"].items():
        if name.startswith("bn"):
            continue
        norm = name.replace("conv", "bn")
        if norm in variables["batch_stats"]:
            stats, scale = variables["batch_stats"][norm], variables["params"][norm]
            factor = scale["scale"] * lax.rsqrt(stats["var"] + BATCH_NORM_EPSILON)
            params = {
                "kernel": params["kernel"] * factor[None, None, None, :],
                "bias": (params["bias"] - stats["mean"]) * factor + scale["bias"],
            }
        folded[name] = params
    return {"params": folded}


def unfold_batch_norm(variables: dict, images: jax.Array) -> dict:
    """Puts batch normalisation back into folded variables, for training.

    The original statistics cannot be recovered from folded kernels. A normalisation with the
    statistics of `images`, which its scale and shift undo, leaves the features unchanged.

    Args:
      variables: folded variables, `{"params"}`.
      images: f32[B, H, W, 3] like those of the coming training.

    Returns:
      `{"params", "batch_stats"}` with which `embed` gives the same features, and
      `embed_train` nearly the same.
    """
    outputs = layer_outputs(variables, images)
    params, batch_stats = dict(variables["params"]), {}
    for layer in range(1, 5):
        features = outputs[f"conv{layer}"]
        mean, variance = features.mean((0, 1, 2)), features.var((0, 1, 2))
        batch_stats[f"bn{layer}"] = {"mean": mean, "var": variance}
        scale = jnp.sqrt(variance + BATCH_NORM_EPSILON)
        params[f"bn{layer}"] = {"scale": scale, "bias": mean}
    return {"params": params, "batch_stats": batch_stats}
