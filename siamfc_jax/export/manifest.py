"""The manifest: all that a program has to know beside the exported files."""

import dataclasses
import hashlib
import importlib.metadata

import numpy as np

from siamfc_jax.config import ModelConfig, TrackerConfig
from siamfc_jax.geometry import EXEMPLAR_SIZE, SEARCH_SIZE, STRIDE
from siamfc_jax.tracking import peaks

FORMAT = 1  # of the manifest; readers refuse another
COORDINATES = (
    "boxes are [x, y, w, h], left and top edge and extent in continuous 0-based frame pixels; "
    "the pixel of row r and column c covers [c, c + 1) x [r, r + 1)"
)
SAMPLING = (
    "bilinear without low-pass filter: sample i of a crop of n lies at "
    "center - .5 + ((i + .5) / n - .5) * side in pixel indices; the mean colour of the first "
    "frame stands outside of the frame"
)


def describe(
    name, network: ModelConfig, settings: TrackerConfig, params, files: dict[str, bytes]
) -> dict:
    """Returns the manifest: all that a runtime has to know beside the files.

    Args:
      name: of the model.
      network: settings of the network.
      settings: of the tracker.
      params: folded network parameters.
      files: name -> bytes.
    """
    adjust = {key: float(value) for key, value in params["params"]["adjust"].items()}
    return {
        "format": FORMAT,
        "model": str(name),
        "network": dataclasses.asdict(network)
        | {"channels": int(np.shape(params["params"]["conv5"]["bias"])[0])},
        "tracker": dataclasses.asdict(settings),
        "crops": {
            "exemplar_size": EXEMPLAR_SIZE,
            "search_size": SEARCH_SIZE,
            "stride": STRIDE,
            "upsampling": peaks.UPSAMPLING,
            "layout": "NCHW",
            "colors": "RGB, 0 to 255, nothing subtracted or divided",
            "sampling": SAMPLING,
        },
        "coordinates": COORDINATES,
        "adjust": adjust,
        "files": {
            name: {
                "sha256": hashlib.sha256(data).hexdigest(),
                "bytes": len(data),
            }
            for name, data in files.items()
        },
        "made_with": {package: importlib.metadata.version(package) for package in ("jax", "onnx")},
    }
