"""A training run: begins or goes on, saves, validates, logs, and stops when asked to."""

import contextlib
import dataclasses
import functools
import pathlib
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tqdm
from jax.experimental import multihost_utils

from siamfc_jax.config import ModelConfig, TrainConfig
from siamfc_jax.data import pairs
from siamfc_jax.geometry import PATCH_SIZE, TRAIN_SEARCH_SIZE
from siamfc_jax.network import model, run_folders, saved_models
from siamfc_jax.network.widening import widen
from siamfc_jax.signals import Stopped, caught_signals
from siamfc_jax.training import checkpoints, sgd
from siamfc_jax.training.logs import Log
from siamfc_jax.training.validation import validate

LOG_STEPS = 50
MEASURED_STEPS = 10
# What may differ from one start of a run to the next, as its outcome does not depend on it.
FREE_SETTINGS = ("keep", "save_every")


class _Run(NamedTuple):
    config: TrainConfig
    settings: dict
    step: Callable
    teacher: dict | None
    source: pairs.PairSource
    validation: pairs.PairSource | None
    workers: int
    profile: int
    workdir: pathlib.Path
    manager: object
    errors: dict
    log: Log
    caught: list


def fit(
    config: TrainConfig,
    model_config: ModelConfig,
    workdir,
    source: pairs.PairSource,
    *,
    validation=None,
    init_from=None,
    teacher=None,
    workers: int = 0,
    profile: int = 0,
) -> sgd.TrainState:
    """Trains, or goes on training, until the last epoch is done.

    Args:
      config: the recipe.
      model_config: the network.
      workdir: folder of the checkpoints, `metrics.jsonl` and TensorBoard's files.
      source: to train on.
      validation: `pairs.PairSource` of held-out tracks, or None.
      init_from: `saved_models.Model` to start from, as it is or inside a wider network; None
        for random weights.
      teacher: `saved_models.Model` to imitate, or None.
      workers: processes that read pairs.
      profile: steps to record for a profiler, after the first one.

    Returns:
      The last state.

    Raises:
      ValueError: batch and devices do not fit, the workdir cannot be written or holds a
        run with other settings, or `init_from` is a wider network.
      FloatingPointError: the loss or its gradient became NaN or infinite.
      Stopped: a signal came.
    """
    _check_batch(config)
    workdir = pathlib.Path(workdir).absolute()
    with contextlib.ExitStack() as stack:
        caught = stack.enter_context(caught_signals())
        errors = {}
        manager = checkpoints.open_manager(workdir, keep=config.keep, errors=errors)
        stack.enter_context(manager)
        settings = _settings(config, model_config, source, teacher)
        optimizer = sgd.make_optimizer(config)
        begin = functools.partial(_begin, config, model_config, optimizer)
        state = checkpoints.restore(manager, jax.eval_shape(begin), settings)
        state = state or begin(init_from, source)
        first = int(state.step)
        records = [r for r in run_folders.read_metrics(workdir) if r["step"] <= first]
        errors.update(run_folders.validation_errors(records))
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices("metrics.jsonl is read before it is rewritten")
        log = Log(workdir, records, config=config, first=first, writes=jax.process_index() == 0)
        step = functools.partial(sgd.train_step, config=config, optimizer=optimizer)
        run = _Run(
            config=config,
            settings=settings,
            step=sgd.parallelize(step),
            teacher=teacher and sgd.replicate(model.fold_batch_norm(teacher.variables)),
            source=source,
            validation=validation,
            workers=workers,
            profile=profile,
            workdir=workdir,
            manager=manager,
            errors=errors,
            log=stack.enter_context(log),
            caught=caught,
        )
        return _train(run, sgd.replicate(state))


def _check_batch(config):
    devices, hosts = jax.device_count(), jax.process_count()
    if config.batch_size % (devices * config.accumulate):
        raise ValueError(
            f"--batch-size must be a multiple of {devices} devices on {hosts} hosts times "
            f"{config.accumulate} micro-batches, got {config.batch_size}"
        )


def _settings(config, model_config, source, teacher):
    recipe = dataclasses.asdict(config)
    return {
        "train": {name: recipe[name] for name in recipe if name not in FREE_SETTINGS},
        "model": dataclasses.asdict(model_config),
        "inputs": {
            "training data": source.fingerprint(),
            "teacher": teacher and saved_models.checksum(teacher.variables)[:16],
        },
    }


def _begin(config, model_config, optimizer, init_from=None, source=None):
    if init_from is None:
        variables = model.init_variables(jax.random.key(config.seed), config=model_config)
        return sgd.create_state(variables, optimizer)
    variables = init_from.variables
    if "batch_stats" not in variables:
        (batch,) = pairs.batches(source, batch_size=16, start=0, stop=1)
        margin = (PATCH_SIZE - TRAIN_SEARCH_SIZE) // 2
        images = batch["search"][:, margin:-margin, margin:-margin].astype(np.float32)
        variables = jax.jit(model.unfold_batch_norm)(variables, images)
    if init_from.model_config != model_config:
        try:
            variables = widen(variables, key=jax.random.key(config.seed), config=model_config)
        except ValueError as error:
            raise ValueError(
                f"--init-from is a network of {init_from.model_config}, asked for {model_config}; "
                f"give its --width and --first-kernel, or larger ones ({error})"
            ) from error
    return sgd.create_state(jax.tree.map(jnp.asarray, variables), optimizer)


def _train(run, state):
    first, epoch = int(state.step), sgd.steps_per_epoch(run.config)
    last = epoch * run.config.epochs
    if first and first % epoch == 0 and first not in run.errors:
        _validate(run, first, state)  # which had been cut short
    if first == last:
        print(f"nothing left to do: {run.workdir} holds all {last} steps")
        return state
    with (
        contextlib.closing(_batches(run, first, last)) as stream,
        contextlib.ExitStack() as recording,
        _progress_bar(run.config, first, last) as bar,
    ):
        steps = _steps(run, state, stream)
        for done, (batch, (state, metrics, stop)) in enumerate(steps, first + 1):
            values = _check(run, done, batch, metrics)
            # Several hosts stop at the same step, the one whose result says so to all.
            stop = bool(run.caught) if jax.process_count() == 1 else bool(stop)
            whole = done % epoch == 0
            bar.set_postfix_str(f"loss {values['loss']:.3f}", refresh=False)
            bar.update()
            run.log.add(done, values, write=stop or whole or done % LOG_STEPS == 0)
            if stop or whole or done % run.config.save_every == 0:
                checkpoints.save(run.manager, done, state, run.settings)
            if stop:
                checkpoints.finish(run.manager)
                raise Stopped(done, run.caught)
            if whole:
                _validate(run, done, state)
            if whole or done == first + 1:  # neither validation nor compilation counts as speed
                run.log.restart_clock()
                bar.unpause()
            if run.profile and done == first + 1:
                recording.enter_context(jax.profiler.trace(run.workdir / "profile"))
            elif run.profile and done == first + 1 + run.profile:
                recording.close()
    checkpoints.finish(run.manager)
    _report_rates(run, state, batch)
    return state


def _batches(run, start, stop):
    return pairs.batches(
        run.source,
        batch_size=run.config.batch_size,
        start=start,
        stop=stop,
        host=jax.process_index(),
        hosts=jax.process_count(),
        workers=run.workers,
    )


def _progress_bar(config, first, last):
    return tqdm.tqdm(
        initial=first,
        total=last,
        unit="pair",
        unit_scale=config.batch_size,
        mininterval=0.5 if sys.stderr.isatty() else 30,
        dynamic_ncols=True,
        disable=jax.process_index() > 0,
    )


def _steps(run, state, stream):
    """Yields (batch, result) of each step when the next one is on its way.

    So the device never waits for what the host does with a result.
    """
    late = None
    for batch in stream:
        stop = np.float32(bool(run.caught))
        result = run.step(state, run.teacher, sgd.split(batch), stop)
        state = result[0]
        if late is not None:
            yield late
        late = batch, result
    yield late


def _check(run, step, batch, metrics):
    values = {key: float(value) for key, value in metrics.items()}
    if not np.isfinite(list(values.values())).all():
        numbers = ", ".join(str(index) for index in batch["index"])
        names = ", ".join(run.source.sequences[track].name for track in batch["track"])
        raise FloatingPointError(
            f"loss {values['loss']}, gradient {values['gradient_norm']} at step {step}, pairs "
            f"{numbers} of tracks {names}; look at these, or begin anew with a lower "
            "--learning-rate"
        )
    return values


def _validate(run, step, state):
    if run.validation is None:
        return
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    variables = jax.tree.map(lambda array: array.addressable_data(0), variables)
    alone = jax.process_count() == 1  # several hosts stop together, at the end of a step
    scored = validate(
        variables,
        run.validation,
        config=run.config,
        stopped=lambda: alone and bool(run.caught),
    )
    if scored is None:
        checkpoints.finish(run.manager)
        raise Stopped(step, run.caught)
    results, pictures = scored
    for number, picture in enumerate(pictures):
        run.log.image(step, f"validation_response/{number}", picture)
    run.log.scalars(step, {f"validation_{key}": value for key, value in results.items()})
    run.errors[step] = results["center_error"]


def _report_rates(run, state, batch):
    """Measures what the loader and the step reach alone: the lower one is the run's limit."""
    size, batch = run.config.batch_size, sgd.split(batch)
    with contextlib.closing(_batches(run, 0, 4 * MEASURED_STEPS)) as stream:
        next(stream)
        start = time.perf_counter()
        count = sum(1 for _ in stream)
        loader = count * size / (time.perf_counter() - start)
    start = time.perf_counter()
    for _ in range(MEASURED_STEPS):
        result = run.step(state, run.teacher, batch, np.float32(0))
        jax.block_until_ready(result)
    step = MEASURED_STEPS * size / (time.perf_counter() - start)
    if jax.process_index() == 0:
        print(f"loader alone {loader:.1f} pairs/s, step alone {step:.1f} pairs/s")
