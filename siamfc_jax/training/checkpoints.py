"""Writes and restores the checkpoints of a training run, with orbax.

Each `checkpoints/STEP/` holds the whole training state and the settings of the run.
`network.run_folders` says where they lie and which one is the best; `network.saved_models`
reads a model out of them.
"""

import itertools
import json
import os
import pathlib
import shutil
import sys
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from siamfc_jax.network import run_folders, saved_models


class _Best:
    """Preserves the checkpoint with the least validation error, in the form orbax asks for."""

    def __init__(self, errors: Mapping[int, float]):
        self.errors = errors

    def should_preserve(self, checkpoints, *, context):
        del context
        steps = [checkpoint.step for checkpoint in checkpoints]
        best = run_folders.best_step(steps, self.errors)
        return [step == best for step in steps]


def open_manager(
    workdir: str | pathlib.Path, *, keep: int, errors: Mapping[int, float]
) -> ocp.CheckpointManager:
    """Opens the checkpoints of a training run for writing.

    Args:
      workdir: folder of the run.
      keep: how many of the latest checkpoints stay, beside the best one.
      errors: step -> validation error. The caller adds each new one; every save looks up here
        which checkpoint is the best.

    Returns:
      An orbax manager; the caller closes it. Partial checkpoints of killed runs are deleted.

    Raises:
      ValueError: the folder cannot be written.
    """
    latest = ocp.checkpoint_managers.preservation_policy.LatestN(keep)
    policy = ocp.checkpoint_managers.preservation_policy.AnyPreservationPolicy(
        [latest, _Best(errors)]
    )
    options = ocp.CheckpointManagerOptions(preservation_policy=policy, cleanup_tmp_directories=True)
    folder = pathlib.Path(workdir).absolute() / run_folders.CHECKPOINTS
    try:
        return ocp.CheckpointManager(folder, options=options)
    except OSError as error:
        raise ValueError(f"cannot write to {workdir}: {error.strerror}") from error


def save(manager: ocp.CheckpointManager, step: int, state: Any, settings: dict) -> None:
    """Saves a training state in the background; every host must call it.

    Args:
      manager: from `open_manager`.
      step: number of steps done.
      state: pytree of arrays, the same on every device.
      settings: what `restore` must find unchanged, as JSON.

    Raises:
      ValueError: the disk is full, or the save before this one failed.
    """
    # Twice the size: the old checkpoint goes only when the new one is whole.
    needed = 2 * sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    free = shutil.disk_usage(manager.directory).free
    if free < needed:
        raise _unwritable(manager, f"{free >> 10} KiB are free, of {needed >> 10} needed")
    sums = saved_models.sums(settings, state)
    if jax.process_count() > 1:
        state = jax.tree.map(ocp.utils.fully_replicated_host_local_array_to_global_array, state)
    items = {
        "state": ocp.args.StandardSave(state),
        "config": ocp.args.JsonSave(settings),
        saved_models.SUMS: ocp.args.JsonSave(sums),
    }
    try:
        manager.save(step, args=ocp.args.Composite(**items))
    except (OSError, ValueError) as error:
        raise _unwritable(manager, error) from error


def finish(manager: ocp.CheckpointManager) -> None:
    """Waits until the last save is on disk.

    Args:
      manager: from `open_manager`.

    Raises:
      ValueError: the save failed.
    """
    try:
        manager.wait_until_finished()
    except (OSError, ValueError) as error:
        raise _unwritable(manager, error) from error


def _unwritable(manager, error):
    # Orbax wraps the error of the system several times; the original message is the last part.
    reason = str(error).splitlines()[0].rpartition(": ")[2]
    return ValueError(
        f"cannot save to {manager.directory}: {reason}; the run goes on from its last whole "
        "checkpoint by the same command"
    )


def restore(manager: ocp.CheckpointManager, shapes: Any, settings: dict, *, defaults: dict) -> Any:
    """Restores the latest sound training state, whatever number of devices it was saved on.

    Damaged checkpoints after it are moved to `damaged/` in the folder of the run, and a
    line on standard error says so.

    Args:
      manager: from `open_manager`.
      shapes: a training state with `jax.ShapeDtypeStruct` in place of arrays.
      settings: of the run, group -> name -> value.
      defaults: the same form, values of settings that older runs did not write.

    Returns:
      The state in NumPy arrays, or None if nothing has been saved.

    Raises:
      ValueError: the run was begun with other settings, or all checkpoints are damaged.
    """
    steps = sorted(manager.all_steps(), reverse=True)
    for index, step in enumerate(steps):
        folder = pathlib.Path(manager.directory) / str(step)
        try:
            saved = saved_models.read_json(folder / "config")
            saved_models.check_settings_sum(folder, saved)
        except Exception as error:  # orbax raises many types of errors for a damaged folder
            _tell(saved_models.damaged(folder, error))
            continue
        _check_settings(manager, saved, settings, defaults)
        try:
            state = _read_state(folder, shapes)
        except Exception as error:
            _tell(saved_models.damaged(folder, error))
            continue
        if index:
            _set_aside(manager, steps[:index])
            _tell(f"goes on from checkpoint {step}, the newest sound one")
        return state
    if steps:
        raise ValueError(
            f"no sound checkpoint in {manager.directory.parent}; all {len(steps)} are damaged, "
            "begin anew with another --workdir"
        )
    return None


def _check_settings(manager, saved, settings, defaults):
    settings = json.loads(json.dumps(settings))  # tuples become lists, as they did on disk
    defaults = json.loads(json.dumps(defaults))
    for group, values in settings.items():
        if group not in saved:  # the run was begun before there was such a group
            continue
        for name, value in values.items():
            before = saved[group].get(name, defaults.get(group, {}).get(name))
            if before != value:
                raise ValueError(
                    f"the run in {manager.directory.parent} has {name} {before}, got {value}; "
                    "go on with the same settings, or choose another --workdir"
                )


def _read_state(folder, shapes):
    # NumPy targets, so that the devices on which the state was saved do not matter.
    target = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    # The handler itself: what a Checkpointer asks for lies one folder above.
    handler = ocp.StandardCheckpointHandler()
    state = handler.restore(folder / "state", args=ocp.args.StandardRestore(target))
    saved_models.check_array_sums(folder, state)
    return state


def _tell(line):
    if jax.process_index() == 0:
        print(line, file=sys.stderr)


def _set_aside(manager, steps):
    """Moves checkpoints to where no run looks, as a run saves these steps again."""
    place = pathlib.Path(manager.directory).parent / "damaged"
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices("all have looked at the damaged checkpoints")
    if jax.process_index() == 0:
        place.mkdir(exist_ok=True)
        for step in steps:
            number = next(n for n in itertools.count() if not (place / f"{step}.{n}").exists())
            os.rename(pathlib.Path(manager.directory) / str(step), place / f"{step}.{number}")
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices("damaged checkpoints are out of the way")
    manager.reload()
