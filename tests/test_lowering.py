"""All compiled functions are lowered for GPUs and TPUs, without one: what has no form there fails.

Lowering is the half of compilation that needs no device. What it cannot tell is whether the
device has the memory.
"""

import functools
import importlib
import pkgutil

import jax
import jax.numpy as jnp
import pytest
import tiny_networks
from jax import export

import siamfc_jax
from siamfc_jax.annotation import places
from siamfc_jax.app import inspection
from siamfc_jax.config import TrackerConfig, TrainConfig
from siamfc_jax.export import checks
from siamfc_jax.geometry import PATCH_SIZE
from siamfc_jax.network import model
from siamfc_jax.tracking import roi, served, tracker
from siamfc_jax.training import sgd, validation

PLATFORMS = ("cuda", "tpu")
PAPER = TrackerConfig()


def array(*shape, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(shape, dtype)


def pixels(*shape):
    return array(*shape, 3, dtype=jnp.uint8)


def lower(function, *arguments, **static):
    """Returns the program of a function for both platforms."""
    jitted = jax.jit(functools.partial(function, **static))
    exported = export.export(jitted, platforms=PLATFORMS)(*arguments)
    assert exported.platforms == PLATFORMS
    return exported


VARIABLES = jax.eval_shape(
    functools.partial(model.init_variables, config=tiny_networks.CONFIG), jax.random.key(0)
)
PARAMS = jax.eval_shape(model.fold_batch_norm, VARIABLES)
FRAME, BOX = pixels(48, 64), array(4)


def state_of(*axes, config=PAPER):
    state = jax.eval_shape(functools.partial(tracker.init, config=config), PARAMS, FRAME, BOX)
    return jax.tree.map(lambda leaf: array(*axes, *leaf.shape, dtype=leaf.dtype), state)


def region():
    return regions()._replace(color=array(3))


def regions(*axes):
    place, size = (array(*axes, 2, dtype=kind) for kind in (jnp.int32, jnp.float32))
    return roi.Roi(pixels(*axes, 256, 256), place, place, size, None)


def batch_of(count):
    number = array(count, dtype=jnp.int32)
    patches = pixels(count, PATCH_SIZE, PATCH_SIZE)
    return {"exemplar": patches, "search": patches, "track": number, "index": number}


# Function -> what it is lowered with; `test_no_compiled_function_is_left_out` looks here.
CASES = {
    tracker.init: lambda: [
        ((PARAMS, frame, boxes), {"config": PAPER})
        for frame in (FRAME, region())
        for boxes in (BOX, array(3, 4))
    ],
    tracker.step: lambda: [
        ((PARAMS, state_of(*axes, config=config), frame), {"config": config})
        for axes, frame, config in [
            ((), FRAME, PAPER),
            ((3,), region(), TrackerConfig(scales_on="peak", redetect=True)),
            ((3,), region(), TrackerConfig(scales_on="exemplar")),
        ]
    ],
    tracker.step_videos: lambda: [
        ((PARAMS, state_of(2, *axes), pixels(2, 48, 64), array(2, 2, dtype=jnp.int32)),
         {"config": PAPER})
        for axes in [(), (3,)]
    ],
    tracker.scan_frames: lambda: [((PARAMS, state_of(3), pixels(4, 48, 64)), {"config": PAPER})],
    served._step: lambda: [
        ((PARAMS, state_of(5, 2), array(4, dtype=jnp.int32), regions(4)), {"config": PAPER})
    ],
    tracker.score_search: lambda: [((PARAMS, state_of(3), FRAME), {"config": PAPER})],
    tracker.track_clip: lambda: [((PARAMS, pixels(4, 48, 64), BOX), {"config": PAPER})],
    validation.score_pairs: lambda: [((PARAMS, batch_of(2)), {"config": TrainConfig()})],
    places._put: lambda: [((state_of(4), array(dtype=jnp.int32), state_of()), {})],
    inspection._crop: lambda: [((FRAME, state_of(3)), {"size": 127, "config": PAPER})],
    checks._search: lambda: [((PARAMS, FRAME, state_of()), {"config": PAPER})],
    checks._exemplar: lambda: [((FRAME, state_of()), {"config": PAPER})],
    model.fold_batch_norm: lambda: [((VARIABLES,), {})],
    model.unfold_batch_norm: lambda: [((PARAMS, array(2, 239, 239, 3)), {})],
    model.init_variables: lambda: [
        ((jax.random.key(0),), {"config": tiny_networks.CONFIG})
    ],
}  # fmt: skip


@pytest.mark.parametrize("function", CASES, ids=lambda function: function.__qualname__)
def test_compiled_functions(function):
    for arguments, static in CASES[function]():
        lower(function, *arguments, **static)


@pytest.mark.parametrize(
    "settings",
    [
        {"bfloat16": True, "accumulate": 2, "ema_decay": 0.9, "cosine": True, "flip": 0.5},
        {"batch_negatives": 1.0, "gray": 0.1, "blur": 0.2},
    ],
    ids="-".join,
)
def test_training_steps_on_all_devices(settings):
    """Two steps a call, on as many devices as the tests have, with a teacher in the last case."""
    config = TrainConfig(batch_size=8, **settings)
    optimizer = sgd.make_optimizer(config)
    state = jax.eval_shape(
        functools.partial(sgd.create_state, optimizer=optimizer, config=config), VARIABLES
    )
    teachers = (PARAMS,) * ("batch_negatives" in settings)
    devices = jax.local_device_count()
    batches = jax.tree.map(
        lambda leaf: array(devices, 2, *leaf.shape, dtype=leaf.dtype), batch_of(8 // devices)
    )
    step = functools.partial(sgd.train_step, config=config, optimizer=optimizer)
    exported = lower(sgd.parallelize(step), state, teachers, batches, array())
    assert exported.nr_devices == devices


def test_patches_are_gathered_on_all_devices():
    devices = jax.local_device_count()
    numbers = array(devices, 2, 4, dtype=jnp.int32)
    batches = dict.fromkeys(("exemplar", "search", "track", "index"), numbers)
    rows = array(12, 3 * PATCH_SIZE**2, dtype=jnp.uint8)
    taken = jax.eval_shape(sgd.gather, rows, batches)
    assert taken["search"].shape == (devices, 2, 4, PATCH_SIZE, PATCH_SIZE, 3)
    assert lower(sgd.gather, rows, batches).nr_devices == devices


def test_no_compiled_function_is_left_out():
    """Every module is looked through for functions that `jax.jit` decorates."""
    kind, found = type(jax.jit(lambda: 0)), set()
    for module in pkgutil.walk_packages(siamfc_jax.__path__, "siamfc_jax."):
        if not module.name.endswith("__main__"):
            found |= {v for v in vars(importlib.import_module(module.name)).values()
                      if isinstance(v, kind)}  # fmt: skip
    assert found >= {tracker.step, validation.score_pairs}
    assert found <= set(CASES), {f.__qualname__ for f in found - set(CASES)}
