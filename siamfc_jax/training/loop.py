"""Runs a training: begins or goes on, saves, validates, logs, and stops when asked to."""

import contextlib
import dataclasses
import functools
import itertools
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

from siamfc_jax import memory
from siamfc_jax.config import ModelConfig, TrackerConfig, TrainConfig
from siamfc_jax.data import pairs
from siamfc_jax.geometry import PATCH_SIZE, TRAIN_SEARCH_SIZE
from siamfc_jax.network import model, run_folders, saved_models
from siamfc_jax.network.narrowing import narrow
from siamfc_jax.network.widening import widen
from siamfc_jax.signals import Stopped, caught_signals
from siamfc_jax.training import checkpoints, patch_store, sgd
from siamfc_jax.training.logs import Log
from siamfc_jax.training.validation import validate

LOG_STEPS = 50
MEASURED_STEPS = 10
# Settings that may change on resume; they do not affect the result.
FREE_SETTINGS = ("keep", "save_every", "steps_per_call")


class _Run(NamedTuple):
    config: TrainConfig
    settings: dict
    steps: Callable
    teachers: tuple[dict, ...]
    source: pairs.PairSource
    numbered: pairs.PairSource | pairs.NumberedPairs  # what the batches are made of
    feed: Callable  # batches of the host -> batches on the devices
    validation: pairs.PairSource | None
    from_weights: bool  # of another run or model
    workers: int
    resident: bool
    profile: int
    workdir: pathlib.Path
    manager: object
    errors: dict
    log: Log
    caught: list


def fit(
    config: TrainConfig,
    model_config: ModelConfig,
    workdir: str | pathlib.Path,
    source: pairs.PairSource,
    *,
    validation: pairs.PairSource | None = None,
    init_from: saved_models.Model | None = None,
    teachers: tuple[saved_models.Model, ...] = (),
    workers: int = 0,
    resident: bool = False,
    profile: int = 0,
) -> sgd.TrainState:
    """Trains, or goes on training, until the last epoch is done.

    Args:
      config: the recipe.
      model_config: the network.
      workdir: folder of the checkpoints, `metrics.jsonl` and TensorBoard's files.
      source: pairs to train on.
      validation: pairs of held-out tracks, or None. They are scored after each epoch, and
        before the first one where the run begins with `init_from`.
      init_from: model to start from, as it is, inside a wider network, or with channels left
        out; its tracker settings and calibration go into the checkpoints. None for random weights.
      teachers: models to imitate.
      workers: processes that read pairs.
      resident: whether all patches are read once, into the memory of the devices. The result is
        the same bit for bit.
      profile: steps to record for a profiler, after the first call.

    Returns:
      The last state.

    Raises:
      ValueError: batch and devices do not fit, the workdir cannot be written or holds a
        run with other settings, `init_from` cannot be resized, or patches do not fit.
      FloatingPointError: the loss or its gradient became NaN or infinite.
      Stopped: a signal came.
    """
    _check_batch(config)
    workdir = pathlib.Path(workdir).absolute()
    with contextlib.ExitStack() as stack:
        caught = stack.enter_context(caught_signals())
        errors: dict[int, float] = {}
        manager = checkpoints.open_manager(workdir, keep=config.keep, errors=errors)
        stack.enter_context(manager)
        settings = _settings(config, model_config, source, init_from, teachers)
        optimizer = sgd.make_optimizer(config)
        begin = functools.partial(_begin, config, model_config, optimizer)
        saved = checkpoints.restore(
            manager, _to_save(jax.eval_shape(begin)), settings, defaults=_DEFAULTS
        )
        if saved is None and init_from and jax.process_index() == 0:
            print(_takeover_line(init_from, model_config))
        state = sgd.TrainState(**saved) if saved else begin(init_from, source)
        first = int(state.step)
        # Before the first step is saved a run begins anew.
        records = [r for r in run_folders.read_metrics(workdir) if first and r["step"] <= first]
        errors.update(run_folders.validation_errors(records))
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices("metrics.jsonl is read before it is rewritten")
        log = Log(workdir, records, config=config, first=first, writes=jax.process_index() == 0)
        step = functools.partial(sgd.train_step, config=config, optimizer=optimizer)
        run = _Run(
            config=config,
            settings=settings,
            steps=sgd.parallelize(step),
            teachers=sgd.replicate(
                tuple(model.fold_batch_norm(teacher.variables) for teacher in teachers)
            ),
            source=source,
            numbered=source,
            feed=sgd.split,
            validation=validation,
            from_weights=init_from is not None,
            workers=workers,
            resident=resident,
            profile=profile,
            workdir=workdir,
            manager=manager,
            errors=errors,
            log=stack.enter_context(log),
            caught=caught,
        )
        return _train(run, sgd.replicate(state))


def _takeover_line(init_from, model_config):
    tracker_config = dataclasses.asdict(init_from.tracker_config)
    changed = [
        f"{name} {value}"
        for name, value in tracker_config.items()
        if value != getattr(TrackerConfig(), name)
    ]
    resized = "" if init_from.model_config == model_config else f", made {model_config}"
    return (
        f"starts from a network of {init_from.model_config}{resized}; takes over the settings and "
        f"calibration of its tracker: {', '.join(changed) or 'the defaults'}"
    )


def _check_batch(config):
    size = config.batch_size * config.steps_per_call * 2 * 3 * PATCH_SIZE**2  # u8, two a pair
    memory.check(size, f"--batch-size {config.batch_size}, of {config.steps_per_call} a call,")
    devices, hosts = jax.device_count(), jax.process_count()
    if config.batch_size % (devices * config.accumulate):
        raise ValueError(
            f"--batch-size must be a multiple of {devices} devices on {hosts} hosts times "
            f"{config.accumulate} micro-batches, got {config.batch_size}"
        )


# Runs that were begun before a setting existed have the default of it.
_DEFAULTS = {"train": dataclasses.asdict(TrainConfig()), "model": dataclasses.asdict(ModelConfig())}


def _settings(config, model_config, source, init_from, teachers):
    recipe = dataclasses.asdict(config)
    tracker_config = init_from.tracker_config if init_from else TrackerConfig()
    checksums = [saved_models.checksum(teacher.variables)[:16] for teacher in teachers]
    return {
        "train": {name: recipe[name] for name in recipe if name not in FREE_SETTINGS},
        "model": dataclasses.asdict(model_config),
        "tracker": dataclasses.asdict(tracker_config),
        "inputs": {
            "training data": source.fingerprint(),
            "teacher": ",".join(checksums) or None,
        },
    }


def _to_save(state):
    """Returns the fields of a state as a dict, without a mean that the run does not keep."""
    return {name: value for name, value in state._asdict().items() if value is not None}


def _begin(config, model_config, optimizer, init_from=None, source=None):
    if init_from is None:
        variables = model.init_variables(jax.random.key(config.seed), config=model_config)
        return sgd.create_state(variables, optimizer, config=config)
    variables = init_from.variables
    if "batch_stats" not in variables:
        variables = jax.jit(model.unfold_batch_norm)(variables, _images(source, 16))
    if init_from.model_config != model_config:
        variables = _resize(variables, init_from.model_config, model_config, config, source)
    return sgd.create_state(jax.tree.map(jnp.asarray, variables), optimizer, config=config)


def _images(source, count):
    """Returns f32[count, 255, 255, 3], the middles of the first search patches."""
    (batch,) = pairs.batches(source, batch_size=count, start=0, stop=1)
    margin = (PATCH_SIZE - TRAIN_SEARCH_SIZE) // 2
    return batch["search"][:, margin:-margin, margin:-margin].astype(np.float32)


def _resize(variables, old, new, config, source):
    """Returns a network of the configuration `new` that begins as one of `old` does."""
    counts = zip(model.channels(new), model.channels(old), strict=True)
    try:
        if any(count < before for count, before in counts):
            return narrow(variables, _images(source, 64), config=new)
        return widen(variables, key=jax.random.key(config.seed), config=new)
    except ValueError as error:
        raise ValueError(
            f"--init-from is a network of {old}, asked for {new}; give its --first-kernel, and "
            f"--width or --channels that are all as large or larger, or all as large or smaller "
            f"({error})"
        ) from error


def _train(run, state):
    first, epoch = int(state.step), sgd.steps_per_epoch(run.config)
    last = epoch * run.config.epochs
    if first and first % epoch == 0 and first not in run.errors:
        _validate(run, first, state)  # the validation after this step had been cut short
    if not first and run.from_weights and _validate(run, 0, state) and jax.process_index() == 0:
        print(_figures_line(run, 0))
    if first == last:
        print(f"nothing left to do: {run.workdir} holds all {last} steps")
        return state
    if run.resident:
        run = _with_patches(run, first)
    with (
        contextlib.closing(_batches(run, first, last)) as stream,
        contextlib.ExitStack() as recording,
        _progress_bar(run.config, first, last) as bar,
    ):
        began, losses, asked, profiled = time.perf_counter(), [], False, None
        for call in _calls(run, state, stream):
            done = call.last
            values = _check(run, call)
            whole = done % epoch == 0
            # One host learns of a signal here, several by the result, which is the same on all.
            asked |= bool(run.caught) if jax.process_count() == 1 else bool(call.stop)
            stop = asked and call.state is not None  # else the next call has begun
            bar.set_postfix_str(f"loss {values[-1]['loss']:.3f}", refresh=False)
            bar.update(call.steps)
            losses += [value["loss"] for value in values]
            for step, value in enumerate(values, call.first + 1):
                write = step == done and (stop or whole or _passes(call, LOG_STEPS))
                run.log.add(step, value, write=write)
            if stop or call.saves:
                checkpoints.save(run.manager, done, _to_save(call.state), run.settings)
            if stop:
                checkpoints.finish(run.manager)
                raise Stopped(done, run.caught)
            if whole:
                results = _validate(run, done, call.state)
                seconds = time.perf_counter() - began
                if jax.process_index() == 0:
                    bar.write(_epoch_line(run.config, done // epoch, losses, results, seconds))
                began, losses = time.perf_counter(), []
            if whole or call.first == first:  # validation and compilation do not count as speed
                run.log.restart_clock()
                bar.unpause()
            if run.profile and call.first == first:
                recording.enter_context(jax.profiler.trace(run.workdir / "profile"))
                profiled = done + run.profile
            elif profiled and done >= profiled:
                recording.close()
    checkpoints.finish(run.manager)
    _report_rates(run, call)
    _report_best(run)
    return call.state


def _with_patches(run, step):
    """Returns the run with all patches on the devices and pairs that are numbers of them."""
    alone = jax.process_count() == 1  # several hosts stop together, at the end of a step
    patches = patch_store.load(run.source, stopped=lambda: alone and bool(run.caught))
    if patches is None:
        raise Stopped(step, run.caught)
    return run._replace(
        numbered=pairs.NumberedPairs(run.source),
        feed=lambda batches: sgd.gather(patches, sgd.split(batches)),
    )


def _passes(call, every):
    """Says whether a multiple of a number of steps is among the steps of a call."""
    return call.last // every > call.first // every


def _epoch_line(config, epoch, losses, results, seconds):
    text = f"epoch {epoch}/{config.epochs}: loss {np.mean(losses):.3f}"
    if results:
        text += f", validation loss {results['loss']:.3f}, centre error "
        text += f"{results['center_error']:.2f} px (always the centre: "
        text += f"{results['center_error_still']:.2f})"
        if "success" in results:
            text += f", success {results['success']:.3f}"
    return f"{text}; {seconds:.0f} s"


def _report_best(run):
    """Says which checkpoint is the best, with its figures and those of the start."""
    validated = [step for step in run.manager.all_steps() if step in run.errors]
    if jax.process_index() > 0 or not validated:
        return
    best = run_folders.best_step(validated, run.errors)
    if 0 in run.errors:
        print(_figures_line(run, 0))
    print(_figures_line(run, best))
    if 0 in run.errors and run.errors[best] >= run.errors[0]:
        print(
            "none has a smaller centre error than the weights it began with; try a lower "
            "--learning-rate, or more tracks"
        )


def _figures_line(run, step):
    """Returns the figures of the validation after a step, 0 for the weights of `--init-from`."""
    (record,) = [
        record
        for record in run_folders.read_metrics(run.workdir)
        if record["step"] == step and "validation_center_error" in record
    ]
    names = {"loss": "loss", "center_error": "centre error in px", "success": "success"}
    figures = [
        f"{text} {record[f'validation_{name}']:.3f}"
        for name, text in names.items()
        if f"validation_{name}" in record
    ]
    what = f"best checkpoint: step {step}" if step else "before training"
    return f"{what}, {', '.join(figures)} on held-out tracks"


def _batches(run, start, stop):
    return pairs.batches(
        run.numbered,
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


class _Call(NamedTuple):
    """Some steps that the device made in one call, numbered from `first + 1` to `last`.

    `state` is None if the next call, to which the state was donated, has begun.
    """

    first: int
    steps: int
    saves: bool
    batches: list
    metrics: dict
    stop: jax.Array
    state: sgd.TrainState | None

    @property
    def last(self):
        return self.first + self.steps


def _calls(run, state, stream):
    """Yields each call one call late, so that the device never waits for the host's work.

    A call whose state the host needs, to save or to validate, is yielded before the next one
    begins: the state is donated to that.
    """
    epoch, done, late = sgd.steps_per_epoch(run.config), int(state.step), None
    last, alone = epoch * run.config.epochs, jax.process_count() == 1
    stopping = False
    while done < last or late:
        if late and (late.saves or stopping or (alone and run.caught) or done == last):
            yield late
            late = None
            continue
        # A shorter call would have to be compiled, so the rest of an epoch goes one by one.
        count = run.config.steps_per_call
        count = count if done % epoch + count <= epoch else 1
        batches = list(itertools.islice(stream, count))
        result = run.steps(state, run.teachers, run.feed(batches), np.float32(bool(run.caught)))
        if late:
            if not alone:  # all hosts see the same, and yield the next call with its state
                stopping |= bool(late.stop)
            yield late._replace(state=None)
        state, metrics, stop = result
        late = _Call(done, count, False, batches, metrics, stop, state)
        done = late.last
        late = late._replace(saves=done % epoch == 0 or _passes(late, run.config.save_every))


def _check(run, call):
    """Returns the metrics of each step of a call, name -> float, if they are finite."""
    metrics = {name: np.asarray(value) for name, value in call.metrics.items()}
    steps = [{name: float(value[i]) for name, value in metrics.items()} for i in range(call.steps)]
    for number, (values, batch) in enumerate(zip(steps, call.batches, strict=True)):
        if not np.isfinite(list(values.values())).all():
            numbers = ", ".join(str(index) for index in batch["index"])
            names = ", ".join(run.source.sequences[track].name for track in batch["track"])
            raise FloatingPointError(
                f"loss {values['loss']}, gradient {values['gradient_norm']} at step "
                f"{call.first + number + 1}, pairs {numbers} of tracks {names}; look at these, or "
                "begin anew with a lower --learning-rate"
            )
    return steps


def _validate(run, step, state):
    if run.validation is None:
        return None
    variables = jax.tree.map(lambda array: array.addressable_data(0), state.variables)
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
    return results


def _report_rates(run, call):
    """Measures what the loader and the step reach alone: the slower one limits the run."""
    size, batches = run.config.batch_size, run.feed(call.batches)
    with contextlib.closing(_batches(run, 0, 4 * MEASURED_STEPS)) as stream:
        jax.block_until_ready(run.feed([next(stream)]))
        start = time.perf_counter()
        for batch in stream:
            fed = run.feed([batch])
        jax.block_until_ready(fed)
        loader = (4 * MEASURED_STEPS - 1) * size / (time.perf_counter() - start)
    # A copy, which the steps may give away: the caller returns the state.
    state = sgd.replicate(jax.tree.map(lambda array: array.addressable_data(0), call.state))
    start = time.perf_counter()
    for _ in range(MEASURED_STEPS):
        state, *_ = run.steps(state, run.teachers, batches, np.float32(0))
        jax.block_until_ready(state)
    step = MEASURED_STEPS * call.steps * size / (time.perf_counter() - start)
    if jax.process_index() == 0:
        print(f"loader alone {loader:.1f} pairs/s, step alone {step:.1f} pairs/s")
