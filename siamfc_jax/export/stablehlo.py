"""`tracker.init` and `tracker.step` as StableHLO, for one program on CPUs, GPUs and TPUs.

The parameters and settings are part of the program, the size of the frame is free. Reading it
takes JAX alone:

    init, step = (
        jax.jit(jax.export.deserialize(bytearray(pathlib.Path(name).read_bytes())).call)
        for name in ("init.jaxexport", "step.jaxexport")
    )
    state = init(frame, box)  # u8[H, W, 3] RGB, f32[4]
    state, box, score = step(state, frame)  # state: a dict of arrays
"""

import jax
import jax.numpy as jnp
from jax import export

from siamfc_jax.config import TrackerConfig
from siamfc_jax.tracking import tracker

PLATFORMS = ("cpu", "cuda", "tpu")


def export_tracker(params, *, config: TrackerConfig) -> dict[str, bytes]:
    """Lowers `init` and `step` for all platforms; none of the devices is needed.

    Args:
      params: folded network parameters, from `tracker.prepare`.
      config: settings of the tracker.

    Returns:
      Name -> program as `jax.export.deserialize` takes it, of `init` and `step`.
    """

    def init(frame, box):
        return tracker.init(params, frame, box, config=config)._asdict()

    def step(state, frame):
        state, box, score = tracker.step(params, tracker.State(**state), frame, config=config)
        return state._asdict(), box, score

    frame = jax.ShapeDtypeStruct((*export.symbolic_shape("H, W"), 3), jnp.uint8)
    box = jax.ShapeDtypeStruct((4,), jnp.float32)
    state = jax.eval_shape(init, frame, box)
    return {
        "init": bytes(export.export(jax.jit(init), platforms=PLATFORMS)(frame, box).serialize()),
        "step": bytes(export.export(jax.jit(step), platforms=PLATFORMS)(state, frame).serialize()),
    }
