"""The notebook: runs from its first cell to its last, and is kept without outputs."""

import json
import pathlib
import re
import shutil

import numpy as np
import pytest
import tiny_networks

from siamfc_jax.config import TrackerConfig
from siamfc_jax.media import video
from siamfc_jax.network.saved_models import Model, save_model

ROOT = pathlib.Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "siamfc_jax_colab.ipynb"


@pytest.fixture(scope="module")
def codes():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def test_kept_without_outputs(codes):
    assert len(codes) > 5
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in codes)


def test_settings_are_a_form(codes):
    """Colab shows a field for each line with `# @param`."""
    assert codes[0]["metadata"] == {"cellView": "form"}
    title, *lines = [line for line in codes[0]["source"] if not line.startswith("# @markdown")]
    assert title.startswith("# @title ")
    assert all(re.match(r"[A-Z]+ = .+  # @param [{\[]", line) for line in lines)
    assert 'REPOSITORY = ""  # @param {type:"string"}\n' in lines


def test_commands_show_lines_as_they_come_and_errors_at_the_end(
    codes, tmp_path, monkeypatch, capfd
):
    """Outside of a clone, where the address is missing, too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONUNBUFFERED", "")
    names = {"REPOSITORY": ""}
    with pytest.raises(ValueError, match="fill in REPOSITORY, the address to clone"):
        exec("".join(codes[1]["source"]), names)
    says = "import sys; print('epoch 1'); print('bar', file=sys.stderr); sys.exit({})"
    names["run"](f'python -c "{says.format(0)}"')
    assert capfd.readouterr() == ("epoch 1\n", "")
    with pytest.raises(RuntimeError, match=r"ended with 3\nbar\n$"):
        names["run"](f'python -c "{says.format(3)}"')


@pytest.mark.long
def test_runs(tmp_path):
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
    settings = {"WEIGHTS": str(tmp_path / "weights"), "CLIP": str(tmp_path / "clip.mp4")}
    settings |= {"BOX": "20,20,40,30", "FRAMES": 12, "EPOCHS": 2, "PAIRS": 16, "INSTALL": False}

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    form = next(cell for cell in notebook.cells if cell.cell_type == "code")
    for name, value in settings.items():
        form.source, count = re.subn(rf"(?m)^{name} = .*", f"{name} = {value!r}", form.source)
        assert count == 1
    notebook.cells.append(nbformat.v4.new_code_cell('print("jax here:", "jax" in sys.modules)'))
    client = nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()  # raises where a cell does

    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = "".join(output.get("text", "") for output in outputs)
    assert "12 frames, " in shown
    assert "\n1/1 clip\n" in shown  # of `siamfc evaluate`
    assert re.search(r"^epoch 1/2: loss .*\nepoch 2/2: loss .*\n", shown, re.M)
    assert "pair/s" not in shown  # of the bar
    assert "\nbefore training, loss " in shown
    assert "jax here: False\n" in shown
    data = [output.data for output in outputs if "data" in output]
    assert any("video/mp4" in form.get("text/html", "") for form in data)
    assert any("IFrame" in form["text/plain"] for form in data)
    table = data[-1]["text/markdown"]
    assert "before" in table
    assert "after" in table
    nbformat.write(notebook, tmp_path / "executed.ipynb")
