"""Figures of benchmarks: written, read back and compared."""

import argparse
import json

import pytest

from benchmarks import accelerator, figures
from siamfc_jax.config import ModelConfig


def flags(*words):
    parser = argparse.ArgumentParser()
    figures.add_flags(parser)
    return parser.parse_args([str(word) for word in words])


def test_figures_are_compared_with_those_of_an_earlier_run(tmp_path, capsys):
    path = tmp_path / "new" / "speed.json"
    figures.finish(flags("--json", path), {"step": 8.0, "gone": 1.0})
    assert capsys.readouterr().out == ""
    # The base may be the file that is written.
    figures.finish(flags("--json", path, "--base", path), {"step": 6.0, "added": 2.5})
    assert capsys.readouterr().out.splitlines() == [
        "",
        "| figure | ms before | ms now | now / before |",
        "|---|---:|---:|---:|",
        "| step | 8.00 | 6.00 | 0.75 |",
        "| added | | 2.50 | |",
    ]
    assert json.loads(path.read_text())["figures"] == {"step": 6.0, "added": 2.5}


def test_another_machine_is_told():
    now = {"machine": {"cores": 2}, "figures": {}}
    lines = figures.compare({"machine": {"cores": 64}, "figures": {}}, now)
    assert lines[0] == "other cores: 64 before, 2 now"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"machine": 1, "figures": {}}'])
def test_what_holds_no_figures_is_one_line(text, tmp_path):
    path = tmp_path / "speed.json"
    path.write_text(text)
    with pytest.raises(SystemExit, match=r"error: .*speed.json holds no figures"):
        figures.finish(flags("--base", path), {})


def test_costs_of_the_papers_layers():
    """Multiply-adds of a search crop, in thousands of millions."""
    costs = [operations / 2e9 for operations, *_ in accelerator.layer_costs(ModelConfig(), 255)]
    by_hand = [
        123**2 * 11**2 * 3 * 96, 57**2 * 5**2 * 48 * 256, 26**2 * 3**2 * 256 * 384,
        24**2 * 3**2 * 192 * 384, 22**2 * 3**2 * 192 * 256,
    ]  # fmt: skip
    assert costs == pytest.approx([count / 1e9 for count in by_hand])


def test_accelerator_tells_data_sheets_and_ends_in_time(capsys, tmp_path):
    assert accelerator.main(["--paper"]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| H100 |")]
    assert len(rows) == 1 and rows[0].endswith("| memory |")
    path = tmp_path / "speed.json"
    assert accelerator.main(["--minutes", "0", "--only", "tracking", "--json", str(path)]) == 0
    assert "| a call for | ms | ms a box | boxes a second |" in capsys.readouterr().out
    assert json.loads(path.read_text())["figures"] == {}
