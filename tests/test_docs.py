"""The documentation tells the truth: its Python runs, its commands are parsed."""

import argparse
import importlib
import pathlib
import re
import shlex

import numpy as np
import pytest
import tiny_networks

from siamfc_jax.commands import shell
from siamfc_jax.config import TrackerConfig
from siamfc_jax.media import video
from siamfc_jax.network import saved_models

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(r"^(?: {4})?((?:python|siamfc) .*)$", re.MULTILINE)
COMMANDS = [
    (page.name, words)
    for page in PAGES
    for words in COMMAND.findall(page.read_text(encoding="utf-8").replace("\\\n", ""))
]


class Parsed(BaseException):
    """Says that a command line was accepted."""


@pytest.fixture
def parse_only(monkeypatch):
    """Lets commands parse their words and do nothing else."""
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(self, args=None, namespace=None):
        parse(self, args, namespace)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)


@pytest.mark.parametrize("page, text", COMMANDS)
def test_command_is_parsed(parse_only, page, text):
    program, *words = shlex.split(re.split(r" >>? ", text)[0], comments=True)
    main = shell.main
    if program == "python":
        script = words.pop(0)
        script = words.pop(0) if script == "-m" else script.removesuffix(".py").replace("/", ".")
        main = importlib.import_module(script).main
    if "--help" in words:
        assert main(words) == 0
    else:
        with pytest.raises(Parsed):
            main(words)


def test_unknown_flag_would_be_seen(parse_only, capsys):
    assert importlib.import_module("track").main(["--serve", "--no-such-flag"]) == 2
    assert "unrecognized arguments: --no-such-flag" in capsys.readouterr().err


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_runs(page, monkeypatch, tmp_path):
    """Runs a page's blocks one after the other, with a tiny network for the shipped one."""
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    variables = tiny_networks.variables()
    network = saved_models.Model(variables, tiny_networks.CONFIG, TrackerConfig(num_scales=1))
    saved_models.save_model(tmp_path / "siamfc-small", network)
    monkeypatch.setattr(saved_models, "PRETRAINED", tmp_path)
    frames = np.random.default_rng(0).integers(0, 255, (3, 144, 176, 3), np.uint8)
    np.save(tmp_path / "clip.npy", frames)
    with video.video_writer(tmp_path / "clip.mp4", frames[0].shape, fps=10) as write:
        for frame in frames:
            write(frame)
    monkeypatch.chdir(tmp_path)
    names = {"frames": frames, "__name__": page.stem}
    for block in blocks:
        exec(compile(block, page.name, "exec"), names)
    assert page.name != "api.md" or len((tmp_path / "out.csv").read_text().splitlines()) == 5
