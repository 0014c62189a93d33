"""Models on disk: what is saved comes back, and what is wrong is said."""

import errno
import json
import os
import pathlib
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
import tiny_networks

from siamfc_jax import files
from siamfc_jax.config import FIVE_SCALES
from siamfc_jax.network import model, saved_models
from siamfc_jax.network.saved_models import Model

SAVED = Model(tiny_networks.variables(), tiny_networks.CONFIG, FIVE_SCALES)


@pytest.fixture
def folder(tmp_path):
    saved_models.save_model(tmp_path / "small", SAVED)
    return tmp_path / "small"


def same(ours, theirs):
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    return True


def test_a_model_comes_back_as_it_was(folder):
    loaded = saved_models.load_model(folder)
    assert same(loaded.variables, SAVED.variables)
    assert loaded[1:] == SAVED[1:]
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(loaded.variables))


def test_a_folded_model_replaces_another_and_leaves_its_card(folder):
    (folder / "README.md").write_text("a card")
    folded = SAVED._replace(variables=model.fold_batch_norm(SAVED.variables))
    saved_models.save_model(folder, folded)
    assert same(saved_models.load_model(str(folder)).variables, folded.variables)
    assert (folder / "README.md").read_text() == "a card"


def test_a_model_does_not_tell_where_it_was_written(folder):
    saved_models.load_model(folder)
    place = str(folder.parent).encode()
    written = [path for path in folder.rglob("*") if path.is_file()]
    assert len(written) > 5 and not any(place in path.read_bytes() for path in written)


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_save_that_is_killed_at_any_file_operation_loses_nothing(tmp_path):
    root = pathlib.Path(__file__).parents[2]
    script = [sys.executable, root / "tests/made/killed_saves.py", tmp_path]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    texts = [saved_models.checksum(tiny_networks.variables(seed=seed)) for seed in (1, 2)]
    folders = [folder / "model" for folder in tmp_path.iterdir()]
    found = [saved_models.checksum(saved_models.load_model(path).variables) for path in folders]
    assert set(found) == set(texts) and len(found) > 12
    for path in folders:  # and the next save removes what is left of a killed one
        saved_models.save_model(path, SAVED)
        assert os.listdir(path.parent) == ["model"]
        assert sorted(os.listdir(path)) == ["README.md", "config.json", "variables"]


def test_a_save_that_fails_leaves_the_older_model(folder, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "write_whole", full)
    with pytest.raises(OSError, match="No space left"):
        saved_models.save_model(folder, SAVED._replace(variables=tiny_networks.variables(seed=3)))
    assert same(saved_models.load_model(folder).variables, SAVED.variables)
    assert os.listdir(folder.parent) == ["small"]


def test_changed_arrays_are_noticed(folder, tmp_path):
    changed = jax.tree.map(np.copy, SAVED.variables)
    changed["params"]["conv3"]["bias"][0] += 1e-3
    saved_models.save_model(tmp_path / "other", SAVED._replace(variables=changed))
    shutil.rmtree(folder / "variables")
    shutil.copytree(tmp_path / "other" / "variables", folder / "variables")
    with pytest.raises(ValueError, match=r"model at .* is damaged: SHA-256 .* get the model again"):
        saved_models.load_model(folder)


@pytest.mark.parametrize("name", saved_models.shipped_models())
def test_shipped_models_are_checked_and_have_a_card(name):
    config = json.loads((saved_models.PRETRAINED / name / "config.json").read_text())
    assert len(config["sha256"]) == 64
    card = (pathlib.Path(__file__).parents[2] / "docs" / "models.md").read_text()
    assert f"## {name}\n" in card and config["sha256"] in card


def test_nothing_but_a_model_is_replaced(tmp_path):
    (tmp_path / "config.json").write_text("{}")  # somebody's project
    with pytest.raises(ValueError, match="exists and is no model folder; choose another place"):
        saved_models.save_model(tmp_path, SAVED)
    assert (tmp_path / "config.json").read_text() == "{}"
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ValueError, match="exists and is no model folder"):
        saved_models.save_model(file, SAVED)


def test_models_of_the_package_have_names(folder, monkeypatch):
    monkeypatch.setattr(saved_models, "PRETRAINED", folder.parent)
    assert saved_models.shipped_models() == ["small"]
    assert saved_models.load_model("small").tracker_config == FIVE_SCALES
    with pytest.raises(ValueError, match="no model at large; expected one of small, a model"):
        saved_models.load_model("large")


def test_a_missing_model_is_said(tmp_path):
    with pytest.raises(ValueError, match=r"no model at .*nowhere; expected one of .* --workdir"):
        saved_models.load_model(tmp_path / "nowhere")
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(ValueError, match=r"no finished checkpoint in .*; let train.py run longer"):
        saved_models.load_model(tmp_path)


def write_config(folder, text=None, **changes):
    found = json.loads((folder / "config.json").read_text())
    found["model"].update(changes)
    (folder / "config.json").write_text(json.dumps(found) if text is None else text)


@pytest.mark.parametrize(
    "text, changes, message",
    [
        ("{", {}, "cannot be read: Expecting"),
        ("{}", {}, "cannot be read: config has no 'model'"),
        (None, {"witdh": 1}, r"cannot be read: unknown settings \['witdh'\] in 'model'"),
        (None, {"width": 7}, r"cannot be read: width must lie in \(0, 1\], got 7"),
        (None, {"width": "wide"}, "cannot be read: width in 'model' must be like 1.0, got wide"),
        (None, {"width": {"a": [1]}}, "cannot be read: width in 'model' must be like 1.0, got {"),
        ("[1]", {}, "cannot be read: it is no object of objects"),
        ('{"model": [], "tracker": {}}', {}, "cannot be read: 'model' is no object"),
        ("[" * 100_000, {}, "cannot be read: it is nested too deep"),
        (None, {"channels": [[2]]}, r"cannot be read: channels in 'model' must be like \(\), got"),
        (
            None,
            {"width": 0.25},
            r"another network than its config.json says: \['batch_stats'\]\['bn1'\]\['mean'\] has "
            r"shape \(2,\), expected \(24,\)",
        ),
        (None, {"first_kernel": 7}, r"\['conv1'\]\['kernel'\] has shape .* expected \(7, 7, 3, 2"),
    ],
)
def test_a_config_that_does_not_fit_is_said(folder, text, changes, message):
    write_config(folder, text, **changes)
    with pytest.raises(ValueError, match=rf"model at .*small .*{message}"):
        saved_models.load_model(folder)


def test_missing_arrays_are_said(folder):
    (folder / "variables" / "_METADATA").unlink()
    with pytest.raises(ValueError, match="cannot be read: there are no arrays in its folder"):
        saved_models.load_model(folder)
