"""Checkpoints of a run: what older versions wrote, what belongs together, which one is a model."""

import dataclasses
import functools
import shutil
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_networks

from siamfc_jax.config import TrackerConfig, TrainConfig
from siamfc_jax.network import run_folders
from siamfc_jax.network.saved_models import Model, load_model
from siamfc_jax.training import checkpoints, loop, sgd

# Orbax leaves reads behind when the first one of a damaged checkpoint fails.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
CONFIG = TrainConfig(batch_size=4, ema_decay=0.5)


class Source:
    """Stands for the pairs of a run."""

    def fingerprint(self):
        return "abc"


class OldState(NamedTuple):
    """The training state as it was before there was a mean of the weights."""

    step: jax.Array
    params: dict
    batch_stats: dict
    opt_state: tuple


def make_state(config):
    variables = jax.tree.map(jnp.asarray, tiny_networks.variables())
    return sgd.create_state(variables, sgd.make_optimizer(config), config=config)


def settings_of(config=CONFIG, tracker=None, teachers=()):
    init_from = tracker and Model(tiny_networks.variables(), tiny_networks.CONFIG, tracker)
    return loop._settings(config, tiny_networks.CONFIG, Source(), init_from, teachers)


def write(workdir, state, settings):
    with checkpoints.open_manager(workdir, keep=1, errors={}) as manager:
        checkpoints.save(manager, 3, state, settings)
        checkpoints.finish(manager)


@functools.cache
def shapes_of(config):
    return jax.eval_shape(lambda: loop._to_save(make_state(config)))


def read(workdir, config, settings):
    shapes = shapes_of(config)
    with checkpoints.open_manager(workdir, keep=1, errors={}) as manager:
        return checkpoints.restore(manager, shapes, settings, defaults=loop._DEFAULTS)


def test_the_mean_of_the_weights_is_saved_and_is_the_model(tmp_path):
    state = make_state(CONFIG)
    state = state._replace(average=jax.tree.map(lambda array: array + 1, state.average))
    tracker = TrackerConfig(scale_rate=0.25, confidence_bias=-3.0)
    write(tmp_path, loop._to_save(state), settings_of(tracker=tracker))
    restored = sgd.TrainState(**read(tmp_path, CONFIG, settings_of(tracker=tracker)))
    jax.tree.map(np.testing.assert_array_equal, restored, state)
    loaded = load_model(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, state.average)
    assert loaded.tracker_config == tracker and loaded.model_config == tiny_networks.CONFIG


def test_a_run_of_an_older_version_goes_on(tmp_path):
    """Its state is a tuple without a mean; settings that came later are left out."""
    config = dataclasses.replace(CONFIG, ema_decay=0.0)
    state, settings = make_state(config), settings_of(config)
    for name in ("cosine", "warmup_steps", "ema_decay"):
        del settings["train"][name]
    del settings["model"]["channels"], settings["tracker"]
    write(tmp_path, OldState(*state[:4]), settings)
    tracker = TrackerConfig(scale_rate=0.25)  # of --init-from, which older versions dropped
    restored = sgd.TrainState(**read(tmp_path, config, settings_of(config, tracker)))
    jax.tree.map(np.testing.assert_array_equal, restored, state)
    assert load_model(tmp_path).tracker_config == TrackerConfig()
    warmer = dataclasses.replace(config, warmup_steps=5)
    with pytest.raises(ValueError, match="has warmup_steps 0, got 5; go on with the same settings"):
        read(tmp_path, warmer, settings_of(warmer))


def test_other_settings_are_refused(tmp_path):
    tracker, state = TrackerConfig(scale_rate=0.25), make_state(CONFIG)
    write(tmp_path, loop._to_save(state), settings_of(tracker=tracker))
    read(tmp_path, CONFIG, settings_of(dataclasses.replace(CONFIG, steps_per_call=4), tracker))
    with pytest.raises(ValueError, match=r"has scale_rate 0\.25, got 0\.59"):
        read(tmp_path, CONFIG, settings_of())
    teacher = Model(tiny_networks.variables(seed=2), tiny_networks.CONFIG, TrackerConfig())
    with pytest.raises(ValueError, match=r"has teacher None, got \w{16},\w{16}; go on"):
        read(tmp_path, CONFIG, settings_of(tracker=tracker, teachers=(teacher, teacher)))


def largest_array_file(workdir, step):
    files = (workdir / "checkpoints" / str(step) / "state").rglob("d/*")
    return max(files, key=lambda path: path.stat().st_size)


def flip(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 0x40
    path.write_bytes(data)


def write_steps(workdir, *steps):
    state = make_state(CONFIG)
    with checkpoints.open_manager(workdir, keep=9, errors={}) as manager:
        for step in steps:
            saved = state._replace(step=jnp.int32(step))
            checkpoints.save(manager, step, loop._to_save(saved), settings_of())
        checkpoints.finish(manager)


def test_a_flipped_bit_is_never_loaded(tmp_path):
    """Bits of the arrays' largest file: each is noticed, or changes no number."""
    write_steps(tmp_path, 1)
    folder = tmp_path / "checkpoints" / "1"
    expected, file = load_model(folder).variables, largest_array_file(tmp_path, 1)
    lines, size = [], file.stat().st_size
    for place in range(7, size, size // 6):
        flip(file, place)
        try:
            jax.tree.map(np.testing.assert_array_equal, load_model(folder).variables, expected)
        except ValueError as error:
            lines.append(str(error))
        flip(file, place)
    assert len(lines) > 1
    assert all(line.startswith(f"checkpoint {folder} is damaged: ") for line in lines)
    assert not any("\n" in line for line in lines)


def test_a_damaged_checkpoint_is_left_for_the_newest_sound_one(tmp_path, capsys):
    write_steps(tmp_path, 1, 2, 3)
    flip(largest_array_file(tmp_path, 3), 900)
    (tmp_path / "checkpoints" / "2" / "state" / "_METADATA").unlink()
    assert load_model(tmp_path).model_config == tiny_networks.CONFIG
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" is ")[0][-1] for line in lines[:2]] == ["3", "2"]
    assert lines[2:] == ["takes checkpoint 1, the newest sound one"]
    assert read(tmp_path, CONFIG, settings_of())["step"] == 1
    assert "goes on from checkpoint 1, the newest sound one" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "damaged").iterdir()) == ["2.0", "3.0"]
    write_steps(tmp_path, 2, 3)  # the run makes these steps again
    assert read(tmp_path, CONFIG, settings_of())["step"] == 3
    for step in (1, 2, 3):
        flip(largest_array_file(tmp_path, step), 900)
    with pytest.raises(ValueError, match=r"no sound checkpoint in .*; all 3 are damaged$"):
        load_model(tmp_path)
    with pytest.raises(ValueError, match=r"no sound checkpoint in .*; all 3 are damaged, begin"):
        read(tmp_path, CONFIG, settings_of())


def test_checkpoints_without_sums_are_those_of_older_versions(tmp_path):
    write_steps(tmp_path, 1)
    shutil.rmtree(tmp_path / "checkpoints" / "1" / "sums")
    assert load_model(tmp_path).model_config == tiny_networks.CONFIG
    assert read(tmp_path, CONFIG, settings_of())["step"] == 1


def test_weights_that_are_not_finite_are_refused(tmp_path):
    state = make_state(CONFIG)
    state.average["params"]["conv2"]["bias"] = state.params["conv2"]["bias"] * np.nan
    write(tmp_path, loop._to_save(state), settings_of())
    with pytest.raises(ValueError, match="numbers in params/conv2/bias that are NaN or infinite"):
        load_model(tmp_path / "checkpoints" / "3")


def test_records_of_another_form_are_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": NaN}\n{"step": 2, "lo')
    assert [record["step"] for record in run_folders.read_metrics(tmp_path)] == [1]
    for line in ("[1]", "{}", '{"step": "a"}', '{"step": 1, "loss": {}}', '{"a"}', "[" * 100_000):
        path.write_text(f'{{"step": 1}}\n{line}\n{{"step": 3}}\n')
        with pytest.raises(ValueError, match=r"metrics.jsonl, line 2 is no record of a step; remo"):
            run_folders.read_metrics(tmp_path)
