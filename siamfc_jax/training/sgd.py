"""Optimiser, loss and one step, on all devices.

Bertinetto et al. 2016, section 2.2 and 3; training/experiment.m and
vid_create_net.m of the authors for every rate.
"""

import contextlib
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from siamfc_jax.config import TrainConfig
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
    """All that a run needs to go on; the data are a function of `step`.

    Attributes:
      step: i32[] steps done.
      params: of the network.
      batch_stats: running statistics of its batch normalisation.
      opt_state: of optax.
    """

    step: jax.Array
    params: dict
    batch_stats: dict
    opt_state: optax.OptState


def make_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """Makes SGD with momentum and the authors' rates.

    Kernels have rate 1 and weight decay; their biases and the scales of batch
    normalisation rate 2; its shifts and b rate 1; gamma rate 0 (vid_create_net.m,
    make_siameseFC.m). The rate falls geometrically from epoch to epoch.

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


def learning_rate(step, *, config: TrainConfig):
    """Returns the rate of a step: geometric by epoch, first and last as configured."""
    epoch = jnp.minimum(step // steps_per_epoch(config), config.epochs - 1)
    decay = (config.final_learning_rate / config.learning_rate) ** (1 / max(1, config.epochs - 1))
    return config.learning_rate * decay**epoch


def steps_per_epoch(config: TrainConfig) -> int:
    """Returns how many batches make an epoch, the last one whole."""
    return -(-config.pairs_per_epoch // config.batch_size)


def create_state(variables, optimizer) -> TrainState:
    """Returns the state of a run that starts from `variables`."""
    params = variables["params"]
    return TrainState(jnp.int32(0), params, variables["batch_stats"], optimizer.init(params))


def loss_fn(params, batch_stats, crops, tracks, *, config, teacher=None, axis_name=None):
    """Computes the loss of augmented pairs.

    Args:
      params: of the network.
      batch_stats: running statistics.
      crops: `augment.Pairs` of B pairs.
      tracks: i32[B]; pairs of one track are no negatives of each other.
      config: TrainConfig.
      teacher: folded variables of a network, or None; its logits for every exemplar of the
        batch against every search are imitated.
      axis_name: of the devices that share the batch.

    Returns:
      (loss f32[], (new batch_stats, metrics)).
    """
    dtype = jnp.bfloat16 if config.bfloat16 else jnp.float32
    embed = functools.partial(model.embed_train, dtype=dtype, axis_name=axis_name)
    # The running statistics take the exemplars first, then the searches.
    exemplar, batch_stats = embed({"params": params, "batch_stats": batch_stats}, crops.exemplar)
    search, batch_stats = embed({"params": params, "batch_stats": batch_stats}, crops.search)
    variables = {"params": params}
    logits = model.adjust(variables, model.cross_correlate(exemplar, search))
    labels = jax.vmap(
        lambda offset: response_labels(logits.shape[-1], radius=config.radius, offset=offset)
    )(crops.offset)
    loss = balanced_logistic_loss(logits, labels)
    metrics = {"loss": loss}
    gather = functools.partial(lax.all_gather, axis_name=axis_name, tiled=True)
    gather = gather if axis_name else lambda array: array
    if config.batch_negatives > 0 or teacher is not None:
        # Every exemplar of all devices against every search of this one: [N, B, R, R].
        crossed = model.adjust(variables, model.cross_correlate_all(gather(exemplar), search))
    if config.batch_negatives > 0:
        negative = (gather(tracks)[:, None] != tracks[None, :]).astype(jnp.float32)
        losses = logistic_loss(crossed, jnp.zeros_like(crossed)).mean((-2, -1))
        # The mean over a full row, so that a batch split over devices gives the same.
        negatives = (losses * negative).sum() / (negative.shape[1] * max(1, len(negative) - 1))
        metrics["negatives"] = negatives
        loss = loss + config.batch_negatives * negatives
    if teacher is not None:
        exemplar, search = (model.embed(teacher, images) for images in crops[:2])
        errors = [
            optax.huber_loss(own, lax.stop_gradient(model.adjust(teacher, taught)))
            for own, taught in (
                (logits, model.cross_correlate(exemplar, search)),
                (crossed, model.cross_correlate_all(gather(exemplar), search)),
            )
        ]
        # Of a pair's own response the object counts half, as in the loss above.
        imitation = (balance_weights(labels) * errors[0]).sum((-2, -1)).mean() + errors[1].mean()
        metrics["imitation"] = imitation
        loss = loss + config.distillation * imitation
    return loss, (batch_stats, metrics)


def respond(variables, crops):
    """Returns the logits f32[B, R, R] of `augment.Pairs` with the stored batch statistics."""
    exemplar, search = (model.embed(variables, images) for images in crops[:2])
    return model.adjust(variables, model.cross_correlate(exemplar, search))


def train_step(state, teacher, batch, *, config, optimizer, axis_name=None):
    """Makes one step of gradient descent.

    Args:
      state: TrainState.
      teacher: as of `loss_fn`.
      batch: of `pairs.batches`; a pair's index makes its randomness.
      config: TrainConfig.
      optimizer: of `make_optimizer`.
      axis_name: of the devices that share the batch.

    Returns:
      (new state, metrics f32[] each, `loss` and `gradient_norm` among them).
    """
    # Apart from the seed of the draw, which numbers pairs in the same way.
    base = jax.random.key(config.seed)

    def gradients(batch_stats, part):
        keys = jax.vmap(lambda index: jax.random.fold_in(base, index))(part["index"])
        crops = augment.random_crops(keys, part["exemplar"], part["search"], config=config)
        loss = functools.partial(loss_fn, config=config, teacher=teacher, axis_name=axis_name)
        (_, (batch_stats, metrics)), grads = jax.value_and_grad(loss, has_aux=True)(
            state.params, batch_stats, crops, part["track"]
        )
        return batch_stats, (grads, metrics)

    # Every n-th pair, so that a micro-batch has the same pairs on any number of devices.
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
    return TrainState(state.step + 1, params, batch_stats, opt_state), metrics


def parallelize(step):
    """Runs a step on all devices of all hosts: the state is one, the batch split.

    The only place that knows `pmap`; jit with shardings would replace it here.

    Args:
      step: as of `train_step`, with `axis_name` free.

    Returns:
      step(state, teacher, batch, stop) -> (state, metrics, stop). The batch is this
      host's share with a leading axis of its devices; `stop` f32[] is what this host
      wants and what comes back is the same on all: the maximum.
    """

    def run(state, teacher, batch, stop):
        state, metrics = step(state, teacher, batch, axis_name=AXIS)
        return state, metrics, lax.pmax(stop, AXIS)

    return jax.pmap(run, AXIS, in_axes=(None, None, 0, None), out_axes=None)


def replicate(tree):
    """Puts arrays onto every local device, where a parallel step wants and leaves them."""
    mesh = Mesh(np.array(jax.local_devices()), AXIS)
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def split(batch):
    """Gives the arrays of this host's share of a batch a leading axis of its devices."""
    devices = jax.local_device_count()
    return jax.tree.map(lambda a: a.reshape(devices, -1, *a.shape[1:]), batch)


def connect(coordinator, num_processes, process_id) -> None:
    """Joins the other hosts of a run; to be called before JAX computes anything.

    Args:
      coordinator: "HOST:PORT" of process 0, or None to ask the cluster: TPU, Slurm and
        Open MPI are known. Where there is none, this host is alone.
      num_processes: number of hosts, or None.
      process_id: which of them this is, or None.

    Raises:
      ValueError: only some of the three are given, or they do not fit.
    """
    given = (coordinator, num_processes, process_id)
    if given == (None, None, None):
        # Outside a cluster JAX finds no coordinator and says so by a ValueError.
        with contextlib.suppress(ValueError):
            jax.distributed.initialize()
        return
    if None in given or not 0 <= process_id < num_processes:
        raise ValueError(
            "--coordinator HOST:PORT, --num-processes N and --process-id 0..N-1 belong together, "
            f"got {coordinator}, {num_processes} and {process_id}"
        )
    jax.distributed.initialize(coordinator, num_processes, process_id)
