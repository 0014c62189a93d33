"""Figures of benchmarks: written, read back and compared."""

import argparse
import json

import pytest

from benchmarks import figures


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
