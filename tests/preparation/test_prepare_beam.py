"""The example for Apache Beam, on two workers of this machine; `make test-beam` runs it."""

import os
import pathlib
import subprocess
import sys

import pytest
from training_trees import make_got10k

from siamfc_jax.commands import shell
from siamfc_jax.data import prepared

pytest.importorskip("apache_beam", reason="run by make test-beam")
ROOT = pathlib.Path(__file__).parents[2]
TWO_WORKERS = ["--runner", "DirectRunner", "--direct_running_mode", "multi_processing"]
TWO_WORKERS += ["--direct_num_workers", "2"]


def run_example(*words):
    return subprocess.run(
        [sys.executable, "examples/prepare_beam.py", *map(str, words)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_pipeline_gives_what_the_command_gives(tmp_path):
    source = tmp_path / "got10k"
    for number in range(18):  # three shards
        make_got10k(source / "train", f"{number:02d}", [[30, 20, 50, 40]] * 2)
    words = ["--dataset", "got10k", "--source", source]
    done = run_example(*words, "--output", tmp_path / "beam", "--", *TWO_WORKERS)
    assert done.returncode == 0, done.stderr
    assert "18 videos, 18 tracks, 36 frames kept" in done.stdout
    assert shell.main(["prepare", *map(str, words), "--output", str(tmp_path / "plain")]) == 0
    plain, beam = (prepared.find_prepared(tmp_path / name) for name in ("plain", "beam"))
    names = sorted(path.name for path in plain.iterdir())
    assert names == sorted(path.name for path in beam.iterdir()) and len(names) == 3 + 4
    for name in names:
        assert (plain / name).read_bytes() == (beam / name).read_bytes(), name
    assert not list((tmp_path / "beam").rglob(".staging"))
    again = run_example(*words, "--output", tmp_path / "beam")
    assert again.returncode == 0, again.stderr
    assert "INFO:apache_beam" not in again.stderr  # no pipeline ran, which would say so


def test_only_what_writes_a_set_is_taken(tmp_path):
    words = ["--dataset", "got10k", "--source", tmp_path]
    done = run_example(*words, "--check-only")
    assert done.returncode == 2
    assert done.stderr == "error: give --output DIR, and neither --check-only nor --shard\n"
    done = run_example(*words, "--output", tmp_path / "out")
    assert done.returncode == 2 and "error: nothing to read for got10k" in done.stderr
    assert "Traceback" not in done.stderr
