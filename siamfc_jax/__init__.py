"""Fully-convolutional siamese object tracking (SiamFC) in JAX: track, train, evaluate.

The names below are what other programs need. Each is imported when it is first used, so that
`import siamfc_jax` costs nothing, and tracking never imports what only training needs.
"""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.2.0"

# Public name -> the module that has it.
_HOME = {
    "ModelConfig": "config",
    "TrackerConfig": "config",
    "TrainConfig": "config",
    "Model": "network.saved_models",
    "load_model": "network.saved_models",
    "save_model": "network.saved_models",
    "State": "tracking.tracker",
    "Tracker": "tracking.tracker",
    "init": "tracking.tracker",
    "prepare": "tracking.tracker",
    "step": "tracking.tracker",
    "track_clip": "tracking.tracker",
    "follow": "tracking.loop",
    "MultiTracker": "annotation.places",
    "box_writer": "media.box_files",
    "open_source": "media.video",
    "video_writer": "media.video",
    "keep_compiled": "compilation",
    "keep_memory": "compilation",
}
if TYPE_CHECKING:  # the same, for type checkers and editors
    from siamfc_jax.annotation.places import MultiTracker
    from siamfc_jax.compilation import keep_compiled, keep_memory
    from siamfc_jax.config import ModelConfig, TrackerConfig, TrainConfig
    from siamfc_jax.media.box_files import box_writer
    from siamfc_jax.media.video import open_source, video_writer
    from siamfc_jax.network.saved_models import Model, load_model, save_model
    from siamfc_jax.tracking.loop import follow
    from siamfc_jax.tracking.tracker import State, Tracker, init, prepare, step, track_clip

__all__ = [
    "Model",
    "ModelConfig",
    "MultiTracker",
    "State",
    "Tracker",
    "TrackerConfig",
    "TrainConfig",
    "__version__",
    "box_writer",
    "follow",
    "init",
    "keep_compiled",
    "keep_memory",
    "load_model",
    "open_source",
    "prepare",
    "save_model",
    "step",
    "track_clip",
    "video_writer",
]


def __getattr__(name):
    """Imports a public name when it is first used (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'siamfc_jax' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"siamfc_jax.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})
