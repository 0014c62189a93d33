"""Saves and restores training runs and models; the only place that knows orbax.

A model is a folder: `variables/` (orbax) and `config.json`, which also has the checksum
of the arrays. A training run is a folder `checkpoints/STEP/` with the whole training
state, its settings beside it.
"""

import functools
import hashlib
import json
import pathlib
import shutil
from typing import NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from siamfc_jax import config as configs
from siamfc_jax.config import ModelConfig, TrackerConfig
from siamfc_jax.network import model as network

PRETRAINED = pathlib.Path(__file__).parent / "pretrained"
METRICS_NAME = "metrics.jsonl"
_CHECKPOINTS = "checkpoints"


class Model(NamedTuple):
    """A network with all that is needed to track with it.

    Attributes:
      variables: `{"params", "batch_stats"}`, or folded `{"params"}`.
      model_config: the network.
      tracker_config: settings that were chosen for these weights.
    """

    variables: dict
    model_config: ModelConfig
    tracker_config: TrackerConfig


def names() -> list[str]:
    """Returns the names of the models that come with the package."""
    return sorted(path.parent.name for path in PRETRAINED.glob("*/config.json"))


def save_model(path, model: Model) -> None:
    """Writes a model folder, in place of what stood there.

    Args:
      path: the folder.
      model: what to save.

    Raises:
      ValueError: `path` is something else than a model folder.
    """
    path = pathlib.Path(path).absolute()
    if path.exists():
        if not ((path / "config.json").is_file() and (path / "variables").is_dir()):
            raise ValueError(f"{path} exists and is no model folder; choose another place")
        shutil.rmtree(path / "variables")  # nothing else, as a card may lie beside it
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path / "variables", jax.device_get(model.variables))
    text = configs.to_json(model=model.model_config, tracker=model.tracker_config)
    content = {"sha256": checksum(model.variables), **json.loads(text)}
    (path / "config.json").write_text(json.dumps(content, indent=2) + "\n")


def checksum(variables) -> str:
    """Returns the SHA-256 of names, shapes, types and values of all arrays, in hexadecimal."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree.leaves_with_path(variables):
        array = np.ascontiguousarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {array.shape} {array.dtype}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def load_model(source) -> Model:
    """Loads a model.

    Args:
      source: name of a model that comes with the package, a model folder, the `--workdir`
        of a training run, of which the best checkpoint is taken, or one of its checkpoints.

    Returns:
      The model, its arrays in NumPy.

    Raises:
      ValueError: there is no such model, or it is damaged.
    """
    shipped = PRETRAINED / str(source)
    path = shipped if str(source) in names() else pathlib.Path(source).absolute()
    if not (path / "config.json").is_file():
        if (path / _CHECKPOINTS).is_dir():
            return _load_run(path)
        if path.parent.name == _CHECKPOINTS and (path / "state").is_dir():
            return _load_checkpoint(path)
        raise ValueError(
            f"no model at {source}; expected one of {', '.join(names()) or 'no shipped models'}, "
            "a model folder, or a folder written by train.py --workdir"
        )
    try:
        text = (path / "config.json").read_text()
        found = configs.from_json(text, model=ModelConfig, tracker=TrackerConfig)
        if not (path / "variables" / "_METADATA").is_file():
            raise ValueError("there are no arrays in its folder 'variables'")
        variables = _read_arrays(path / "variables")
    except (OSError, KeyError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"model at {source} cannot be read: {reason}") from error
    loaded = Model(variables, found["model"], found["tracker"])
    _check_shapes(loaded, source)
    # Folders written before there were checksums have none.
    wanted, got = json.loads(text).get("sha256"), checksum(variables)
    if wanted not in (None, got):
        raise ValueError(
            f"model at {source} is damaged: SHA-256 of its arrays is {got}, config.json says "
            f"{wanted}; get the model again"
        )
    return loaded


def _check_shapes(loaded: Model, source) -> None:
    init = functools.partial(network.init_variables, config=loaded.model_config)
    expected = jax.eval_shape(init, jax.random.key(0))
    if "batch_stats" not in loaded.variables:
        expected = jax.eval_shape(network.fold_batch_norm, expected)
    shapes, wanted = (
        {jax.tree_util.keystr(path): leaf.shape for path, leaf in jax.tree.leaves_with_path(tree)}
        for tree in (loaded.variables, expected)
    )
    for name in sorted(shapes.keys() | wanted.keys()):
        if shapes.get(name) != wanted.get(name):
            raise ValueError(
                f"model at {source} is another network than its config.json says: {name} has "
                f"shape {shapes.get(name)}, expected {wanted.get(name)}"
            )


def read_metrics(workdir) -> list[dict]:
    """Returns the records of a run's `metrics.jsonl`, but none that a kill cut short."""
    path = pathlib.Path(workdir) / METRICS_NAME
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def validation_errors(records) -> dict[int, float]:
    """Returns step -> centre error of the records in which a validation reports."""
    key = "validation_center_error"
    return {record["step"]: record[key] for record in records if key in record}


def _best_step(steps, errors):
    """Returns the step with the least error, the latest where none has been validated."""
    return min(steps, key=lambda step: (errors.get(step, np.inf), -step))


class _Best:
    """Keeps the best checkpoint: the form in which orbax wants to be told."""

    def __init__(self, errors):
        self.errors = errors

    def should_preserve(self, checkpoints, *, context):
        del context
        best = _best_step([checkpoint.step for checkpoint in checkpoints], self.errors)
        return [checkpoint.step == best for checkpoint in checkpoints]


def open_manager(workdir, *, keep: int, errors: dict) -> ocp.CheckpointManager:
    """Opens the checkpoints of a training run for writing.

    Args:
      workdir: folder of the run.
      keep: how many of the latest checkpoints stay, beside the best one.
      errors: step -> validation error; the caller adds what it learns, and each save
        looks up which checkpoint is the best.

    Returns:
      An orbax manager, to be closed. What a kill left half written is gone.

    Raises:
      ValueError: the folder cannot be written.
    """
    latest = ocp.checkpoint_managers.preservation_policy.LatestN(keep)
    policy = ocp.checkpoint_managers.preservation_policy.AnyPreservationPolicy(
        [latest, _Best(errors)]
    )
    options = ocp.CheckpointManagerOptions(preservation_policy=policy, cleanup_tmp_directories=True)
    folder = pathlib.Path(workdir).absolute() / _CHECKPOINTS
    try:
        return ocp.CheckpointManager(folder, options=options)
    except OSError as error:
        raise ValueError(f"cannot write to {workdir}: {error.strerror}") from error


def save(manager, step: int, state, settings: dict) -> None:
    """Saves a training state in the background; every host must call it.

    Args:
      manager: of `open_manager`.
      step: number of steps done.
      state: pytree of arrays, the same on every device.
      settings: all that `restore` shall find unchanged, as JSON.

    Raises:
      ValueError: there is no room, or the save before could not be written.
    """
    # Twice, as the old checkpoint goes when the new one is whole, and as indexes need room.
    needed = 2 * sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    free = shutil.disk_usage(manager.directory).free
    if free < needed:
        raise _unwritable(manager, f"{free >> 10} KiB are free, of {needed >> 10} needed")
    if jax.process_count() > 1:
        state = jax.tree.map(ocp.utils.fully_replicated_host_local_array_to_global_array, state)
    saved = {"state": ocp.args.StandardSave(state), "config": ocp.args.JsonSave(settings)}
    try:
        manager.save(step, args=ocp.args.Composite(**saved))
    except (OSError, ValueError) as error:
        raise _unwritable(manager, error) from error


def finish(manager) -> None:
    """Waits for the last save.

    Args:
      manager: of `open_manager`.

    Raises:
      ValueError: it could not be written.
    """
    try:
        manager.wait_until_finished()
    except (OSError, ValueError) as error:
        raise _unwritable(manager, error) from error


def _unwritable(manager, error):
    # What the system said comes last in the long line of those who passed it on.
    reason = str(error).splitlines()[0].rpartition(": ")[2]
    return ValueError(
        f"cannot save to {manager.directory}: {reason}; the run goes on from its last whole "
        "checkpoint by the same command"
    )


def restore(manager, shapes, settings: dict):
    """Restores the latest training state, whatever number of devices it was saved on.

    Args:
      manager: of `open_manager`.
      shapes: a state of `jax.ShapeDtypeStruct`.
      settings: of the run, group -> name -> value.

    Returns:
      The state in NumPy arrays, or None where nothing has been saved.

    Raises:
      ValueError: the run was begun with other settings, or the checkpoint is damaged.
    """
    step = manager.latest_step()
    if step is None:
        return None
    saved = _read(manager, step, config=ocp.args.JsonRestore()).config
    for group, values in settings.items():
        for name, value in values.items():
            if (before := saved.get(group, {}).get(name)) != value:
                raise ValueError(
                    f"the run in {manager.directory.parent} has {name} {before}, got {value}; "
                    "go on with the same settings, or choose another --workdir"
                )
    return _read(manager, step, state=ocp.args.StandardRestore(_zeros(shapes))).state


def _zeros(shapes):
    # NumPy, so that the devices it was saved on do not matter.
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)


def _read(manager, step, **items):
    try:
        return manager.restore(step, args=ocp.args.Composite(**items))
    except (OSError, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"checkpoint {manager.directory / str(step)} cannot be read: {reason}; without it "
            "the run goes on from the one before"
        ) from error


def _load_run(workdir: pathlib.Path) -> Model:
    # Without a manager: the run may be going on, and its half-written checkpoint is its own.
    steps = ocp.utils.checkpoint_steps(workdir / _CHECKPOINTS)
    if not steps:
        raise ValueError(f"no finished checkpoint in {workdir}; let train.py run longer")
    best = _best_step(steps, validation_errors(read_metrics(workdir)))
    return _load_checkpoint(workdir / _CHECKPOINTS / str(best))


def _load_checkpoint(folder: pathlib.Path) -> Model:
    with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as checkpointer:
        saved = checkpointer.restore(folder / "config")
    state = _read_arrays(folder / "state")
    variables = {key: state[key] for key in ("params", "batch_stats")}
    return Model(variables, ModelConfig(**saved["model"]), TrackerConfig())


def _read_arrays(folder: pathlib.Path):
    # The handler itself: a checkpointer misses its own metadata in the state of a run.
    handler = ocp.StandardCheckpointHandler()
    target = _zeros(handler.metadata(folder).tree)
    return handler.restore(folder, args=ocp.args.StandardRestore(target))
