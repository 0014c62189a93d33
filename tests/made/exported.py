"""An exported model without what takes long: the ONNX graphs and their manifest."""

import functools
import json

from siamfc_jax.export import manifest, onnx_graphs
from siamfc_jax.network.saved_models import load_model
from siamfc_jax.tracking import tracker


@functools.cache
def shipped():
    """Returns the small model that ships."""
    return load_model("siamfc-small")


def write(folder, loaded, settings):
    """Writes a model; what it would be compared with is left to the test.

    Args:
      folder: to be made.
      loaded: a `saved_models.Model`.
      settings: of the tracker.

    Returns:
      `folder`.
    """
    params = tracker.prepare(loaded)
    graphs = {
        "exemplar.onnx": onnx_graphs.build_exemplar(params),
        "search.onnx": onnx_graphs.build_search(params, config=settings),
    }
    files = {name: graph.SerializeToString() for name, graph in graphs.items()}
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    described = manifest.describe("made", loaded.model_config, settings, params, files)
    (folder / "manifest.json").write_text(json.dumps(described))
    return folder
