"""Loss, step and loop.

Bertinetto et al. 2016, section 2.2 and 3; training/experiment.m and
vid_create_net.m of the authors for every rate.
"""

import collections
import functools
import json
import pathlib
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tqdm
from jax import lax

from siamfc_jax import augment, checkpoints, model, pairs, tracker
from siamfc_jax.config import ModelConfig, TrackerConfig, TrainConfig
from siamfc_jax.geometry import STRIDE
from siamfc_jax.losses import balanced_logistic_loss, logistic_loss, response_labels

AXIS = "devices"
# Objects of validation pairs lie up to this far off the centre, in search pixels.
VALIDATION_SHIFT = 32.0
VALIDATION_PAIRS = 512


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
      teacher: folded variables of a network whose response is imitated, or None.
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
    if config.batch_negatives > 0:
        if axis_name:
            exemplar = lax.all_gather(exemplar, axis_name, tiled=True)
            others = lax.all_gather(tracks, axis_name, tiled=True)
        else:
            others = tracks
        crossed = model.adjust(variables, model.cross_correlate_all(exemplar, search))
        negative = (others[:, None] != tracks[None, :]).astype(jnp.float32)
        losses = logistic_loss(crossed, jnp.zeros_like(crossed)).mean((-2, -1))
        # The mean over a full row, so that a batch split over devices gives the same.
        negatives = (losses * negative).sum() / (negative.shape[1] * max(1, len(others) - 1))
        metrics["negatives"] = negatives
        loss = loss + config.batch_negatives * negatives
    if teacher is not None:
        taught = lax.stop_gradient(_respond(teacher, crops))
        imitation = optax.sigmoid_binary_cross_entropy(logits, jax.nn.sigmoid(taught)).mean()
        metrics["imitation"] = imitation
        loss = loss + config.distillation * imitation
    return loss, (batch_stats, metrics)


def _respond(variables, crops):
    exemplar, search = (model.embed(variables, images) for images in crops[:2])
    return model.adjust(variables, model.cross_correlate(exemplar, search))


def train_step(state, batch, *, config, optimizer, teacher=None, axis_name=None):
    """Makes one step of gradient descent.

    Args:
      state: TrainState.
      batch: of `pairs.batches`; a pair's index makes its randomness.
      config: TrainConfig.
      optimizer: of `make_optimizer`.
      teacher: as of `loss_fn`.
      axis_name: of the devices that share the batch.

    Returns:
      (new state, metrics f32[] each).
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

    parts = jax.tree.map(lambda a: a.reshape(config.accumulate, -1, *a.shape[1:]), batch)
    if config.accumulate == 1:
        batch_stats, result = gradients(state.batch_stats, jax.tree.map(lambda a: a[0], parts))
    else:
        batch_stats, results = lax.scan(gradients, state.batch_stats, parts)
        result = jax.tree.map(lambda a: a.mean(0), results)
    grads, metrics = lax.pmean(result, axis_name) if axis_name else result
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    return TrainState(state.step + 1, params, batch_stats, opt_state), metrics


def parallelize(step):
    """Runs a step on all local devices: the state is one, the batch split.

    The only place that knows `pmap`; jit with shardings would replace it here.

    Args:
      step: as of `train_step`, with `axis_name` free.

    Returns:
      step(state, batch) whose batch has a leading axis of local devices.
    """
    return jax.pmap(
        functools.partial(step, axis_name=AXIS), AXIS, in_axes=(None, 0), out_axes=(None, None)
    )


@functools.partial(jax.jit, static_argnames="config")
def validate_batch(variables, batch, *, config: TrainConfig):
    """Scores pairs whose objects lie anywhere within 32 px of the centre.

    Args:
      variables: of the network.
      batch: of `pairs.batches`.
      config: TrainConfig; nothing but the seed and the radius matters.

    Returns:
      dict of f32[B]: loss, center_error (search pixels), offset (the error of
      always answering the centre).
    """
    plain = TrainConfig(max_shift=VALIDATION_SHIFT, max_stretch=0.0, color_jitter=0.0)
    base = jax.random.key(config.seed)
    keys = jax.vmap(lambda index: jax.random.fold_in(base, index))(batch["index"])
    crops = augment.random_crops(keys, batch["exemplar"], batch["search"], config=plain)
    logits = _respond(model.fold_batch_norm(variables), crops)

    def score(logits, offset):
        labels = response_labels(logits.shape[-1], radius=config.radius, offset=offset)
        peak = tracker.find_peak(logits[None], config=TrackerConfig(window_influence=0.0))
        error = jnp.linalg.norm(peak.offset * STRIDE - offset)
        return balanced_logistic_loss(logits[None], labels[None]), error, jnp.linalg.norm(offset)

    loss, error, offset = jax.vmap(score)(logits, crops.offset)
    return {"loss": loss, "center_error": error, "offset": offset}


def validate(variables, source, *, config) -> dict:
    """Returns the mean of `validate_batch` over 512 pairs of held-out tracks."""
    steps = VALIDATION_PAIRS // 8
    results = [
        validate_batch(variables, batch, config=config)
        for batch in pairs.batches(source, batch_size=8, start=0, stop=steps)
    ]
    return {key: float(np.mean([np.asarray(r[key]) for r in results])) for key in results[0]}


def fit(
    config: TrainConfig,
    model_config: ModelConfig,
    workdir,
    source,
    *,
    validation=None,
    init_from=None,
    teacher=None,
    workers=0,
) -> TrainState:
    """Trains, or goes on training, until the last epoch is done.

    Args:
      config: the recipe.
      model_config: the network.
      workdir: folder of checkpoints, `metrics.jsonl` and `config.json`.
      source: `pairs.PairSource` to train on.
      validation: `pairs.PairSource` of held-out tracks, or None.
      init_from: variables to start from, or None for random ones.
      teacher: variables of a network to imitate, or None.
      workers: processes that read pairs.

    Returns:
      The last state.

    Raises:
      ValueError: batch and devices do not fit, or the workdir holds another network.
      FloatingPointError: the loss became NaN or infinite.
    """
    devices = jax.local_device_count()
    if config.batch_size % (devices * config.accumulate):
        raise ValueError(
            f"batch_size {config.batch_size} must be a multiple of {devices} devices "
            f"times {config.accumulate} micro-batches"
        )
    workdir = pathlib.Path(workdir).absolute()
    optimizer = make_optimizer(config)
    variables = init_from or model.init_variables(jax.random.key(config.seed), config=model_config)
    state = create_state(jax.tree.map(jnp.asarray, variables), optimizer)
    step = functools.partial(
        train_step,
        config=config,
        optimizer=optimizer,
        teacher=None if teacher is None else model.fold_batch_norm(teacher),
    )
    step = parallelize(step)
    epoch_steps = steps_per_epoch(config)
    last = epoch_steps * config.epochs
    with checkpoints.open_manager(workdir, keep=config.keep) as manager:
        state = checkpoints.restore(manager, state) or state
        first = int(state.step)
        log = (workdir / "metrics.jsonl").open("a")
        stream = pairs.batches(
            source, batch_size=config.batch_size, start=first, stop=last, workers=workers
        )
        bar = tqdm.tqdm(stream, initial=first, total=last, unit="step", dynamic_ncols=True)
        unchecked, window, started = collections.deque(), [], time.perf_counter()
        for done, batch in enumerate(bar, start=first + 1):
            split = jax.tree.map(lambda a: a.reshape(devices, -1, *a.shape[1:]), batch)
            state, metrics = step(state, split)
            unchecked.append((done, batch["track"], metrics))
            # One step late, so that the device never waits for the host.
            if len(unchecked) > 1 or done == last:
                window.append(_check(*unchecked.popleft(), source))
            if done % 50 == 0 or done == last:
                means = {key: float(np.mean([m[key] for m in window])) for key in window[-1]}
                now = time.perf_counter()
                means["pairs_per_second"] = len(window) * config.batch_size / (now - started)
                means["learning_rate"] = float(learning_rate(done - 1, config=config))
                window, started = [], now
                _log(log, done, means)
                bar.set_postfix(
                    loss=f"{means['loss']:.3f}", pairs_s=f"{means['pairs_per_second']:.1f}"
                )
            if done % epoch_steps == 0:
                results = None
                if validation is not None:
                    variables = {"params": state.params, "batch_stats": state.batch_stats}
                    results = validate(variables, validation, config=config)
                    _log(log, done, {f"validation_{key}": v for key, v in results.items()})
                    started = time.perf_counter()
                checkpoints.save(
                    manager, done, state, metrics=results, train=config, model=model_config
                )
        log.close()
    return state


def _check(step, tracks, metrics, source):
    values = {key: float(value) for key, value in metrics.items()}
    if not np.isfinite(values["loss"]):
        names = ", ".join(source.sequences[track].name for track in tracks)
        raise FloatingPointError(
            f"loss is {values['loss']} at step {step}, of tracks {names}; "
            "lower --learning-rate, or look at these tracks"
        )
    return values


def _log(file, step, values):
    file.write(json.dumps({"step": step, **values}) + "\n")
    file.flush()
