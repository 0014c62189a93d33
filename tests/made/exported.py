"""An exported model without what takes long: the ONNX graphs and their manifest."""

import json

from siamfc_jax.export import manifest, onnx_graphs
from siamfc_jax.tracking import tracker


def write(folder, loaded, settings):
    """Writes a model; what it would be compared with is left to the test.

    Args:
      folder: to be made.
      loaded: a `checkpoints.Model`.
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
