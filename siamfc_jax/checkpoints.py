"""Saves and restores training runs and models; the only place that knows orbax.

A model is a folder: `variables/` (orbax) and `config.json`. A training run is a
folder `checkpoints/STEP/` with the whole training state, the config beside it.
"""

import functools
import json
import pathlib
import shutil
from typing import NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from siamfc_jax import config as configs
from siamfc_jax import model as network
from siamfc_jax.config import ModelConfig, TrackerConfig

PRETRAINED = pathlib.Path(__file__).parent / "pretrained"
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
    (path / "config.json").write_text(text + "\n")


def load_model(source) -> Model:
    """Loads a model.

    Args:
      source: name of a model that comes with the package, a model folder, or the
        `--workdir` of a training run, of which the best checkpoint is taken.

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
        raise ValueError(
            f"no model at {source}; expected one of {', '.join(names()) or 'no shipped models'}, "
            "a model folder, or a folder written by train.py --workdir"
        )
    try:
        found = configs.from_json(
            (path / "config.json").read_text(), model=ModelConfig, tracker=TrackerConfig
        )
        if not (path / "variables" / "_METADATA").is_file():
            raise ValueError("there are no arrays in its folder 'variables'")
        with ocp.StandardCheckpointer() as checkpointer:
            # Restored as NumPy, so that the number of devices it was saved on does not matter.
            shapes = checkpointer.metadata(path / "variables").item_metadata.tree
            target = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
            variables = checkpointer.restore(path / "variables", target)
    except (OSError, KeyError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"model at {source} cannot be read: {reason}") from error
    loaded = Model(jax.tree.map(np.asarray, variables), found["model"], found["tracker"])
    _check_shapes(loaded, source)
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


def open_manager(workdir, *, keep: int) -> ocp.CheckpointManager:
    """Opens the checkpoints of a training run.

    Args:
      workdir: folder of the run.
      keep: how many of the latest checkpoints stay, beside the best one.

    Returns:
      An orbax manager, to be closed.
    """
    folder = pathlib.Path(workdir).absolute() / _CHECKPOINTS
    policies = ocp.checkpoint_managers.preservation_policy
    options = ocp.CheckpointManagerOptions(
        preservation_policy=policies.AnyPreservationPolicy(
            [
                policies.LatestN(keep),
                policies.BestN(get_metric_fn=_quality, n=1, keep_checkpoints_without_metrics=False),
            ]
        ),
        best_fn=_quality,
        cleanup_tmp_directories=True,
    )
    return ocp.CheckpointManager(folder, options=options)


def _quality(metrics):
    return -metrics["center_error"]


def save(manager, step: int, state, *, metrics=None, **settings) -> None:
    """Saves a training state in the background.

    Args:
      manager: of `open_manager`.
      step: number of steps done.
      state: pytree of arrays.
      metrics: validation results, `center_error` among them, or None.
      **settings: config dataclasses kept beside the state.
    """
    manager.save(
        step,
        args=ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            config=ocp.args.JsonSave(json.loads(configs.to_json(**settings))),
        ),
        metrics=metrics,
    )


def restore(manager, like):
    """Restores the latest training state.

    Args:
      manager: of `open_manager`.
      like: a state with the wanted shapes, dtypes and placement.

    Returns:
      The state, or None where nothing has been saved.

    Raises:
      ValueError: the saved state has other shapes, so another network.
    """
    step = manager.latest_step()
    if step is None:
        return None
    try:
        return manager.restore(
            step, args=ocp.args.Composite(state=ocp.args.StandardRestore(like))
        ).state
    except ValueError as error:
        raise ValueError(
            f"checkpoint {step} in {manager.directory} does not fit this network; "
            "use its --width and --first-kernel, or another --workdir"
        ) from error


def _load_run(workdir: pathlib.Path) -> Model:
    with open_manager(workdir, keep=1_000_000) as manager:
        step = manager.best_step() or manager.latest_step()
        if step is None:
            raise ValueError(f"no finished checkpoint in {workdir}; let train.py run longer")
        saved = manager.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(), config=ocp.args.JsonRestore()
            ),
        )
    found = configs.from_json(json.dumps(saved.config), model=ModelConfig)
    variables = {key: saved.state[key] for key in ("params", "batch_stats")}
    return Model(jax.tree.map(np.asarray, variables), found["model"], TrackerConfig())
