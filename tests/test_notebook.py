"""The notebook: runs from its first cell to its last, and is kept without outputs."""

import json
import os
import pathlib
import shutil

import numpy as np
import pytest
import tiny_networks

from siamfc_jax.config import TrackerConfig
from siamfc_jax.media import video
from siamfc_jax.network.saved_models import Model, save_model

ROOT = pathlib.Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "siamfc_jax_colab.ipynb"


def test_kept_without_outputs():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    codes = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(codes) > 5
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in codes)


@pytest.mark.long
def test_runs(tmp_path, monkeypatch):
    """With a made clip and a tiny network; `make test-long` runs this."""
    nbformat = pytest.importorskip("nbformat", reason="needs pip install nbclient ipykernel")
    nbclient = pytest.importorskip("nbclient", reason="needs pip install nbclient ipykernel")
    pytest.importorskip("ipykernel", reason="needs pip install nbclient ipykernel")
    pytest.importorskip("starlette", reason="needs pip install -r requirements-web.txt")
    here = tmp_path / "siamfc_jax"
    hidden = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "siamfc_jax", here / "siamfc_jax", ignore=hidden)
    for name in ("track.py", "train.py", "evaluate.py"):
        shutil.copy(ROOT / name, here)
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 255, (96, 128, 3), np.uint8)
    patch = rng.integers(0, 255, (30, 40, 3), np.uint8)
    with video.video_writer(tmp_path / "clip.mp4", scene.shape, fps=10) as write:
        for number in range(12):
            frame = scene.copy()
            frame[20:50, 20 + 2 * number : 60 + 2 * number] = patch
            write(frame)
    network = Model(tiny_networks.variables(), tiny_networks.CONFIG, TrackerConfig())
    save_model(tmp_path / "weights", network)
    settings = {"WEIGHTS": tmp_path / "weights", "CLIP": tmp_path / "clip.mp4", "INSTALL": 0}
    settings |= {"BOX": "20,20,40,30", "FRAMES": 12, "EPOCHS": 1, "PAIRS": 16}
    for name, value in settings.items():
        monkeypatch.setitem(os.environ, f"SIAMFC_{name}", str(value))

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()  # raises where a cell does

    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = "".join(output.get("text", "") for output in outputs)
    assert "12 frames, " in shown
    assert "tracked clip" in shown
    data = [output.data for output in outputs if "data" in output]
    assert any("video/mp4" in form.get("text/html", "") for form in data)
    assert any("IFrame" in form["text/plain"] for form in data)
    table = data[-1]["text/markdown"]
    assert "before" in table
    assert "after" in table
    nbformat.write(notebook, tmp_path / "executed.ipynb")
