"""Models on disk: a folder with the arrays of a network and everything needed to use them.

A model folder holds `variables/` (arrays, written by orbax) and `config.json`: the network, the
settings of the tracker and a checksum of the arrays. `load_model` also reads the checkpoints of
a training run (`run_folders`); `training.checkpoints` writes those.
"""

import functools
import hashlib
import json
import pathlib
import sys
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from siamfc_jax import config as configs
from siamfc_jax import files
from siamfc_jax.config import ModelConfig, TrackerConfig
from siamfc_jax.network import model as network
from siamfc_jax.network import run_folders

SUMS = "sums"  # of a checkpoint: the checksums beside its state
PRETRAINED = pathlib.Path(__file__).parent / "pretrained"


class Model(NamedTuple):
    """A network with everything that is needed to track with it.

    Attributes:
      variables: `{"params", "batch_stats"}`, or `{"params"}` with batch normalisation folded in.
      model_config: the network.
      tracker_config: settings of the tracker that were chosen for these weights.
    """

    variables: dict
    model_config: ModelConfig
    tracker_config: TrackerConfig


def shipped_models() -> list[str]:
    """Returns the names of the models that come with the package."""
    return sorted(path.parent.name for path in PRETRAINED.glob("*/config.json"))


def save_model(path: str | pathlib.Path, model: Model) -> None:
    """Writes a model folder; replaces a model folder that is already there.

    A folder that is replaced stays until the new one is whole. What else lies in it, such as a
    model card, is kept.

    Args:
      path: the folder.
      model: what to save.

    Raises:
      OSError: the folder cannot be written.
      ValueError: `path` exists and is not a model folder, or the disk is full.
    """
    path = pathlib.Path(path).absolute()
    if path.exists() and not ((path / "config.json").is_file() and (path / "variables").is_dir()):
        raise ValueError(f"{path} exists and is no model folder; choose another place")
    text = configs.to_json(model=model.model_config, tracker=model.tracker_config)
    content = {"sha256": checksum(model.variables), **json.loads(text)}
    with files.whole_folder(path) as folder:
        try:
            with ocp.StandardCheckpointer() as checkpointer:
                checkpointer.save(folder / "variables", jax.device_get(model.variables))
        except (OSError, ValueError) as error:
            # Orbax wraps the error of the system several times; the message is its last part.
            reason = str(error).splitlines()[0].rpartition(": ")[2]
            raise ValueError(f"cannot save to {path}: {reason}; is the disk full?") from error
        # Orbax notes the place it wrote to, which is nobody's business where a model is shared.
        for note in folder.glob("variables/commit_success.txt"):
            note.write_text("Checkpoint commit was successful\n", encoding="utf-8")
        files.write_whole(folder / "config.json", json.dumps(content, indent=2) + "\n")


def checksum(variables: Any) -> str:
    """Returns the SHA-256 of names, shapes, types and values of all arrays, in hexadecimal."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree.leaves_with_path(variables):
        array = np.ascontiguousarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {array.shape} {array.dtype}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def load_model(source: str | pathlib.Path) -> Model:
    """Loads a model from one of four sources, tried in this order.

    1. The name of a model that comes with the package, one of `shipped_models`.
    2. A model folder, written by `save_model`.
    3. The `--workdir` of a training run: the checkpoint with the least validation error.
    4. One checkpoint of a run, `WORKDIR/checkpoints/STEP`.

    Args:
      source: the name or the path.

    Returns:
      The model, its arrays in NumPy.

    Raises:
      ValueError: there is no such model, or it is damaged.
    """
    if str(source) in shipped_models():
        return _read_folder(PRETRAINED / str(source), source)
    path = files.standing(pathlib.Path(source).absolute())
    if (path / "config.json").is_file():
        return _read_folder(path, source)
    if (path / run_folders.CHECKPOINTS).is_dir():
        return _read_best_checkpoint(path)
    if path.parent.name == run_folders.CHECKPOINTS and (path / "state").is_dir():
        return _read_checkpoint(path)
    if (path / "search.onnx").is_file():
        raise ValueError(
            f"{source} is an export, which siamfc track follows from the first frame on and siamfc "
            "evaluate evaluates; give the model that it was made from"
        )
    names = ", ".join(shipped_models()) or "no shipped models"
    raise ValueError(
        f"no model at {source}; expected one of {names}, a model folder, or a folder written by "
        "train.py --workdir"
    )


def _read_folder(path: pathlib.Path, source: str | pathlib.Path) -> Model:
    try:
        text = (path / "config.json").read_text()
        settings = configs.from_json(text, model=ModelConfig, tracker=TrackerConfig)
        if not (path / "variables" / "_METADATA").is_file():
            raise ValueError("there are no arrays in its folder 'variables'")
        variables = _read_arrays(path / "variables")
    except (OSError, KeyError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"model at {source} cannot be read: {reason}") from error
    loaded = Model(variables, settings["model"], settings["tracker"])
    _check_shapes(loaded, source)
    _check_finite(loaded, source)
    # The first model folders were written without a checksum.
    expected, actual = json.loads(text).get("sha256"), checksum(variables)
    if expected not in (None, actual):
        raise ValueError(
            f"model at {source} is damaged: SHA-256 of its arrays is {actual}, config.json says "
            f"{expected}; get the model again"
        )
    return loaded


def _check_shapes(loaded: Model, source: str | pathlib.Path) -> None:
    init = functools.partial(network.init_variables, config=loaded.model_config)
    expected = jax.eval_shape(init, jax.random.key(0))
    if "batch_stats" not in loaded.variables:
        expected = jax.eval_shape(network.fold_batch_norm, expected)
    shapes, expected_shapes = (
        {jax.tree_util.keystr(path): leaf.shape for path, leaf in jax.tree.leaves_with_path(tree)}
        for tree in (loaded.variables, expected)
    )
    for name in sorted(shapes.keys() | expected_shapes.keys()):
        if shapes.get(name) != expected_shapes.get(name):
            raise ValueError(
                f"model at {source} is another network than its config.json says: {name} has "
                f"shape {shapes.get(name)}, expected {expected_shapes.get(name)}"
            )


def _read_best_checkpoint(workdir: pathlib.Path) -> Model:
    # No CheckpointManager here: it would delete the partial checkpoint of a run that is going on.
    folder = workdir / run_folders.CHECKPOINTS
    steps = ocp.utils.checkpoint_steps(folder)
    if not steps:
        raise ValueError(f"no finished checkpoint in {workdir}; let train.py run longer")
    errors = run_folders.validation_errors(run_folders.read_metrics(workdir))
    best = run_folders.best_step(steps, errors)
    for step in [best, *sorted(set(steps) - {best}, reverse=True)]:
        try:
            loaded = _read_checkpoint(folder / str(step))
        except ValueError as error:
            print(f"{error}; looking for another one", file=sys.stderr)
            continue
        if step != best:
            print(f"takes checkpoint {step}, the newest sound one", file=sys.stderr)
        return loaded
    raise ValueError(f"no sound checkpoint in {workdir}; all {len(steps)} are damaged")


def _read_checkpoint(folder: pathlib.Path) -> Model:
    try:
        settings = read_json(folder / "config")
        check_settings_sum(folder, settings)
        state = _read_arrays(folder / "state")
        check_array_sums(folder, state)
        # The exponential mean of the weights is the model, if the run keeps one.
        variables = {key: state.get("average", state)[key] for key in ("params", "batch_stats")}
        tracker_config = TrackerConfig(**settings.get("tracker", {}))  # older runs wrote none
        loaded = Model(variables, ModelConfig(**settings["model"]), tracker_config)
    except Exception as error:  # orbax raises many types of errors for a damaged folder
        raise damaged(folder, error) from error
    _check_shapes(loaded, folder)
    _check_finite(loaded, folder)
    return loaded


def damaged(folder: pathlib.Path, error: Exception) -> ValueError:
    """Returns an error of one line that says why a checkpoint cannot be used.

    Args:
      folder: of the checkpoint.
      error: what reading it raised.
    """
    reason = " ".join(str(error).split()) or type(error).__name__
    shown = reason if isinstance(error, ValueError | OSError) else f"no {reason} in its metadata"
    return ValueError(f"checkpoint {folder} is damaged: {shown[:200]}")


def sums(settings: dict, state: Any) -> dict:
    """Returns the checksums of a checkpoint, as they are saved beside it.

    Args:
      settings: of the run.
      state: pytree of arrays.

    Returns:
      `config`, the SHA-256 of the settings, and `arrays`, name -> SHA-256 of each array.
    """
    text = json.dumps(json.loads(json.dumps(settings)), sort_keys=True)
    return {
        "config": hashlib.sha256(text.encode()).hexdigest(),
        # The same names for a tuple, a list and the dict that orbax makes of them.
        "arrays": {
            jax.tree_util.keystr(path, simple=True, separator="/"): checksum(leaf)
            for path, leaf in jax.tree.leaves_with_path(state)
        },
    }


def read_json(folder: pathlib.Path) -> Any:
    """Reads what orbax's JsonSave wrote, of a checkpoint."""
    with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as checkpointer:
        return checkpointer.restore(folder)


def check_settings_sum(folder: pathlib.Path, settings: dict) -> None:
    """Compares the settings of a checkpoint with the sum that was saved.

    Args:
      folder: of the checkpoint; those of older runs have no sums, and are taken as they are.
      settings: as read from it.

    Raises:
      ValueError: they are not what was saved.
    """
    saved = _read_sums(folder)
    if saved and saved["config"] != sums(settings, {})["config"]:
        raise ValueError("its settings are not what was saved")


def check_array_sums(folder: pathlib.Path, state: Any) -> None:
    """Compares the arrays of a checkpoint with the sums that were saved.

    Args:
      folder: of the checkpoint; those of older runs have no sums, and are taken as they are.
      state: pytree of arrays, as read from it.

    Raises:
      ValueError: they are not what was saved; the text names one.
    """
    saved = _read_sums(folder)
    if saved:
        before, now = saved["arrays"], sums({}, state)["arrays"]
        for name in sorted(before.keys() | now.keys()):
            if before.get(name) != now.get(name):
                raise ValueError(f"its array {name} is not what was saved")


def _read_sums(folder):
    return read_json(folder / SUMS) if (folder / SUMS).is_dir() else None


def _check_finite(loaded: Model, source: str | pathlib.Path) -> None:
    for path, leaf in jax.tree.leaves_with_path(loaded.variables):
        if not np.isfinite(leaf).all():
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            raise ValueError(
                f"model at {source} has numbers in {name} that are NaN or infinite; "
                "take another checkpoint or model"
            )


def _read_arrays(folder: pathlib.Path) -> Any:
    # The handler itself: a Checkpointer expects metadata that the state of a run does not have.
    handler = ocp.StandardCheckpointHandler()
    # NumPy targets, so that the devices on which the arrays were saved do not matter.
    target = jax.tree.map(
        lambda leaf: np.zeros(leaf.shape, leaf.dtype), handler.metadata(folder).tree
    )
    return handler.restore(folder, args=ocp.args.StandardRestore(target))
