"""Optimiser, loss and one step, on all devices.

Bertinetto et al. 2016, section 2.2 and 3; training/experiment.m and
vid_create_net.m of the authors for every rate.
"""

import contextlib
import functools
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from siamfc_jax.config import TrainConfig
from siamfc_jax.geometry import PATCH_SIZE
from siamfc_jax.network import model
from siamfc_jax.training import augment
from siamfc_jax.training.losses import (
    balance_weights,
    balanced_logistic_loss,
    logistic_loss,
    response_labels,
)

AXIS = "devices"


class TrainState(NamedTuple):
    """Everything that a run needs to go on; its data are a function of `step`.

    Attributes:
      step: i32[] steps done.
      params: of the network.
      batch_stats: running statistics of its batch normalisation.
      opt_state: of optax.
      average: exponential mean of `{"params", "batch_stats"}`, or None if the run keeps none.
    """

    step: jax.Array
    params: dict
    batch_stats: dict
    opt_state: optax.OptState
    average: dict | None = None

    @property
    def variables(self) -> dict:
        """The variables of the model: the mean if there is one, else those of the last step."""
        return self.average or {"params": self.params, "batch_stats": self.batch_stats}


def make_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """Makes SGD with momentum and the authors' rates.

    Kernels have rate 1 and weight decay; their biases and the scales of batch normalisation have
    rate 2, its shifts and b rate 1, gamma rate 0 (vid_create_net.m, make_siameseFC.m). All are
    multiplied by `learning_rate`.

    Args:
      config: rates, momentum, decay and the length of the run.

    Returns:
      The optax transformation.
    """

    def rate(path, _):
        layer, name = (entry.key for entry in path[-2:])
        if layer == "adjust":
            return 0.0 if name == "gain" else 1.0
        return 2.0 if (name == "scale" or (name == "bias" and layer.startswith("conv"))) else 1.0

    def scale_rates(updates, _):
        return jax.tree_util.tree_map_with_path(lambda p, u: u * rate(p, u), updates)

    def kernels(params):
        return jax.tree_util.tree_map_with_path(lambda p, _: p[-1].key == "kernel", params)

    return optax.chain(
        optax.add_decayed_weights(config.weight_decay, mask=kernels),
        optax.stateless(scale_rates),
        optax.trace(config.momentum),
        optax.scale_by_learning_rate(functools.partial(learning_rate, config=config)),
    )


def learning_rate(step: jax.Array | int, *, config: TrainConfig) -> jax.Array:
    """Returns the learning rate of a step.

    It falls from the first to the final rate geometrically by epoch, as the authors' does, or by
    step as half a cosine (Loshchilov and Hutter 2016, without restarts). During a warm-up of n
    steps, step s has (s + 1) / (n + 1) of its rate.

    Args:
      step: steps done before this one.
      config: rates, schedule and the length of the run.
    """
    first, final = config.learning_rate, config.final_learning_rate
    if config.cosine:
        last = max(1, steps_per_epoch(config) * config.epochs - 1)
        progress = jnp.minimum(step / last, 1)
        rate = final + (first - final) * (1 + jnp.cos(jnp.pi * progress)) / 2
    else:
        epoch = jnp.minimum(step // steps_per_epoch(config), config.epochs - 1)
        rate = first * ((final / first) ** (1 / max(1, config.epochs - 1))) ** epoch
    if config.warmup_steps:
        rate = rate * jnp.minimum((step + 1) / (config.warmup_steps + 1), 1)
    return rate


def steps_per_epoch(config: TrainConfig) -> int:
    """Returns how many batches make an epoch, the last one whole."""
    return -(-config.pairs_per_epoch // config.batch_size)


def create_state(
    variables: dict, optimizer: optax.GradientTransformation, *, config: TrainConfig
) -> TrainState:
    """Returns the state of a run that starts from `variables`."""
    params, batch_stats = variables["params"], variables["batch_stats"]
    average = {"params": params, "batch_stats": batch_stats} if config.ema_decay else None
    return TrainState(jnp.int32(0), params, batch_stats, optimizer.init(params), average)


def update_average(average: dict, variables: dict, step: jax.Array, *, decay: float) -> dict:
    """Moves an exponential mean of variables towards the variables of a step.

    Early on the decay is (1 + step) / (10 + step), so that the first weights are forgotten soon
    (as in TensorFlow's ExponentialMovingAverage).

    Args:
      average: the mean before the step.
      variables: after the step.
      step: i32[] steps done before this one.
      decay: share of the old mean that stays, once the run is long.

    Returns:
      The mean after the step.
    """
    kept = jnp.minimum(decay, (1 + step) / (10 + step))
    return jax.tree.map(lambda mean, new: mean + (1 - kept) * (new - mean), average, variables)


def loss_fn(
    params: dict,
    batch_stats: dict,
    crops: augment.Pairs,
    tracks: jax.Array,
    *,
    config: TrainConfig,
    teachers: tuple[dict, ...] = (),
    axis_name: str | None = None,
) -> tuple[jax.Array, tuple[dict, dict]]:
    """Computes the loss of augmented pairs.

    Args:
      params: of the network.
      batch_stats: running statistics.
      crops: B pairs.
      tracks: i32[B]; pairs of one track are not negatives of each other.
      config: weights of the parts of the loss.
      teachers: folded variables of networks whose logits, for every exemplar of the batch against
        every search, are imitated; see `_teach` for more than one.
      axis_name: `pmap` axis of the devices that share the batch.

    Returns:
      (loss f32[], (new batch_stats, metrics)).
    """
    dtype = jnp.bfloat16 if config.bfloat16 else jnp.float32
    embed = functools.partial(model.embed_train, dtype=dtype, axis_name=axis_name)
    # The running statistics are updated by the exemplars first, then by the searches.
    exemplar, batch_stats = embed({"params": params, "batch_stats": batch_stats}, crops.exemplar)
    search, batch_stats = embed({"params": params, "batch_stats": batch_stats}, crops.search)
    variables = {"params": params}
    logits = model.adjust(variables, model.cross_correlate(exemplar, search))
    labels = jax.vmap(
        lambda offset: response_labels(logits.shape[-1], radius=config.radius, offset=offset)
    )(crops.offset)
    loss = balanced_logistic_loss(logits, labels)
    metrics = {"loss": loss}

    def gather(array):
        return lax.all_gather(array, axis_name, tiled=True) if axis_name else array

    if config.batch_negatives > 0 or teachers:
        # Every exemplar of all devices against every search of this one: [N, B, R, R].
        crossed = model.adjust(variables, model.cross_correlate_all(gather(exemplar), search))
    if config.batch_negatives > 0:
        negative = (gather(tracks)[:, None] != tracks[None, :]).astype(jnp.float32)
        losses = logistic_loss(crossed, jnp.zeros_like(crossed)).mean((-2, -1))
        # Divided by a full row, so that a batch split over devices gives the same.
        negatives = (losses * negative).sum() / (negative.shape[1] * max(1, len(negative) - 1))
        metrics["negatives"] = negatives
        loss = loss + config.batch_negatives * negatives
    if teachers:
        errors = [
            optax.huber_loss(own, lax.stop_gradient(taught))
            for own, taught in zip(
                (logits, crossed), _teach(teachers, crops, gather, axis_name), strict=True
            )
        ]
        # In a pair's own response the object counts half, as in the loss above.
        imitation = (balance_weights(labels) * errors[0]).sum((-2, -1)).mean() + errors[1].mean()
        metrics["imitation"] = imitation
        loss = loss + config.distillation * imitation
    return loss, (batch_stats, metrics)


def _teach(teachers, crops, gather, axis_name):
    """Returns the logits to imitate: [B, R, R] of the pairs, [N, B, R, R] of all with all.

    Each teacher has its own scale of logits. Those of the second and later ones are shifted and
    scaled to the mean and standard deviation of the first one's, over all responses of the batch
    on all devices; then the teachers are averaged.
    """
    logits: list[tuple[jax.Array, jax.Array]] = []
    for teacher in teachers:
        exemplar, search = (model.embed(teacher, images) for images in crops[:2])
        paired = model.adjust(teacher, model.cross_correlate(exemplar, search))
        crossed = model.adjust(teacher, model.cross_correlate_all(gather(exemplar), search))
        if len(teachers) > 1:
            average = (
                functools.partial(lax.pmean, axis_name=axis_name) if axis_name else jnp.asarray
            )
            mean = average(crossed.mean())
            scale = jnp.sqrt(average(((crossed - mean) ** 2).mean())) + 1e-6
            if not logits:
                first_mean, first_scale = mean, scale
            paired, crossed = (
                (array - mean) / scale * first_scale + first_mean for array in (paired, crossed)
            )
        logits.append((paired, crossed))
    return jax.tree.map(lambda *arrays: sum(arrays) / len(arrays), *logits)


def respond(variables: dict, crops: augment.Pairs) -> jax.Array:
    """Returns the logits f32[B, R, R] of `augment.Pairs` with the stored batch statistics."""
    exemplar, search = (model.embed(variables, images) for images in crops[:2])
    return model.adjust(variables, model.cross_correlate(exemplar, search))


def train_step(
    state: TrainState,
    teachers: tuple[dict, ...],
    batch: dict,
    *,
    config: TrainConfig,
    optimizer: optax.GradientTransformation,
    axis_name: str | None = None,
) -> tuple[TrainState, dict]:
    """Makes one step of gradient descent.

    Args:
      state: before the step.
      teachers: folded variables of networks to imitate, see `loss_fn`.
      batch: from `pairs.batches`; the index of a pair determines its randomness.
      config: the recipe.
      optimizer: from `make_optimizer`.
      axis_name: `pmap` axis of the devices that share the batch.

    Returns:
      (new state, metrics f32[] each, `loss` and `gradient_norm` among them).
    """
    # Independent of `PairSource`'s NumPy seed, which uses the same pair indices.
    base = jax.random.key(config.seed)

    def gradients(batch_stats, part):
        keys = jax.vmap(lambda index: jax.random.fold_in(base, index))(part["index"])
        crops = augment.random_crops(keys, part["exemplar"], part["search"], config=config)
        loss = functools.partial(loss_fn, config=config, teachers=teachers, axis_name=axis_name)
        (_, (batch_stats, metrics)), grads = jax.value_and_grad(loss, has_aux=True)(
            state.params, batch_stats, crops, part["track"]
        )
        return batch_stats, (grads, metrics)

    # [B, ...] -> [B / n, n, ...] -> [n, B / n, ...]: every n-th pair, so that a micro-batch has
    # the same pairs on any number of devices.
    parts = jax.tree.map(
        lambda a: a.reshape(-1, config.accumulate, *a.shape[1:]).swapaxes(0, 1), batch
    )
    if config.accumulate == 1:
        batch_stats, result = gradients(state.batch_stats, jax.tree.map(lambda a: a[0], parts))
    else:
        batch_stats, results = lax.scan(gradients, state.batch_stats, parts)
        result = jax.tree.map(lambda a: a.mean(0), results)
    grads, metrics = lax.pmean(result, axis_name) if axis_name else result
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    metrics["gradient_norm"] = optax.global_norm(grads)
    average = state.average
    if average is not None:
        variables = {"params": params, "batch_stats": batch_stats}
        average = update_average(average, variables, state.step, decay=config.ema_decay)
    return TrainState(state.step + 1, params, batch_stats, opt_state, average), metrics


def parallelize(step: Callable) -> Callable:
    """Makes a step run several times, on all devices of all hosts: one state, batches split.

    This and `gather` alone know `pmap`; jit with shardings would replace it here.

    Args:
      step: `train_step` with everything bound except state, teachers, batch and `axis_name`.

    Returns:
      steps(state, teachers, batches, stop) -> (state, metrics f32[K] each, stop). `batches`
      comes from `split`; `state` is donated. `stop` f32[] is 1 if this host wants to stop;
      the maximum over all hosts is returned, so that all stop together.
    """

    def steps(state, teachers, batches, stop):
        def one(state, batch):
            return step(state, teachers, batch, axis_name=AXIS)

        state, metrics = lax.scan(one, state, batches)
        return state, metrics, lax.pmax(stop, AXIS)

    return jax.pmap(
        steps,
        AXIS,
        in_axes=(None, None, 0, None),
        out_axes=None,
        donate_argnums=0,
    )


def replicate(tree: Any) -> Any:
    """Copies arrays onto every local device, where a parallel step expects and leaves them."""
    # A copy of its own for each leaf, because a parallel step gives the buffers of its state away.
    return jax.device_put(jax.tree.map(jnp.copy, tree), every_device())


def every_device() -> NamedSharding:
    """Returns the sharding of arrays of which every local device has a copy."""
    return NamedSharding(Mesh(np.array(jax.local_devices()), AXIS), PartitionSpec())


def split(batches: Sequence[dict]) -> dict:
    """Stacks this host's shares of K batches and splits them over its devices.

    Args:
      batches: K dicts of arrays [B, ...].

    Returns:
      A dict of arrays [devices, K, B / devices, ...].
    """
    count = jax.local_device_count()

    def stack(*arrays):
        # [K, B, ...] -> [K, devices, B / devices, ...] -> [devices, K, B / devices, ...]
        whole = np.stack(arrays)
        return whole.reshape(len(arrays), count, -1, *whole.shape[2:]).swapaxes(0, 1)

    return jax.tree.map(stack, *batches)


@functools.partial(jax.pmap, axis_name=AXIS, in_axes=(None, 0))
def gather(patches: jax.Array, batches: dict) -> dict:
    """Puts patches in the place of their numbers; each device takes those of its own pairs.

    It runs before the steps, whose program is therefore the same with and without it.

    Args:
      patches: u8[F, P * P * 3] on every device, from `patch_store.load`.
      batches: of `pairs.NumberedPairs`, from `split`.

    Returns:
      What `split` gives for batches of patches.
    """

    def take(numbers):  # [K, B / devices] -> [K, B / devices, P, P, 3]
        rows = jnp.take(patches, numbers, axis=0, mode="clip")
        return rows.reshape(*numbers.shape, PATCH_SIZE, PATCH_SIZE, 3)

    return batches | {name: take(batches[name]) for name in ("exemplar", "search")}


def connect(coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    """Joins the other hosts of a run; call it before JAX computes anything.

    Args:
      coordinator: "HOST:PORT" of process 0, or None to ask the cluster: TPU, Slurm and
        Open MPI are known. Without a cluster, this host is alone.
      num_processes: number of hosts, or None.
      process_id: which of them this is, or None.

    Raises:
      ValueError: only some of the three are given, or they do not fit.
    """
    if coordinator is None and num_processes is None and process_id is None:
        # Outside a cluster JAX finds no coordinator and says so by a ValueError.
        with contextlib.suppress(ValueError):
            jax.distributed.initialize()
        return
    if (
        coordinator is None
        or num_processes is None
        or process_id is None
        or not 0 <= process_id < num_processes
    ):
        raise ValueError(
            "--coordinator HOST:PORT, --num-processes N and --process-id 0..N-1 belong together, "
            f"got {coordinator}, {num_processes} and {process_id}"
        )
    jax.distributed.initialize(coordinator, num_processes, process_id)


def use_cores_as_devices(parts: int) -> None:
    """Lets JAX take the cores of a CPU for devices; call it before JAX computes anything.

    The narrow network's step on two devices of one core each takes about three quarters of the
    time that it takes on one device of two cores (docs/training.md), as all of its operations,
    not only the large ones, then run on all cores.

    Nothing happens on several hosts, whose batch is split already, and where JAX_NUM_CPU_DEVICES
    or XLA_FLAGS give a number of devices.

    Args:
      parts: into which a batch can be split; the number of devices divides it.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    given = "JAX_NUM_CPU_DEVICES" in os.environ or "host_platform_device_count" in flags
    if given or jax.distributed.is_initialized():
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    devices = max(count for count in range(1, (cores or 1) + 1) if parts % count == 0)
    jax.config.update("jax_num_cpu_devices", devices)
