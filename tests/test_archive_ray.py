"""The example for Ray, on two actors of this machine; `make test-ray` installs Ray and runs it."""

import os
import pathlib
import subprocess
import sys

import archive_work
import pytest

from siamfc_jax.commands import shell

pytest.importorskip("ray", reason="run by make test-ray")
ROOT = pathlib.Path(__file__).parents[1]


def test_a_cluster_gives_what_the_command_gives(tmp_path):
    place = archive_work.make_archive(tmp_path)
    words = ["--weights", place / "model", "--manifest", place / "jobs.csv"]
    command = [sys.executable, "examples/archive_ray.py", *words, "--output", place / "ray"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*map(str, command), "--jobs", "2"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "4 videos, 14 frames in" in done.stdout, done.stdout
    assert shell.main(["track", *map(str, words), "--output", str(place / "plain")]) == 1
    names = [path.relative_to(place / "plain") for path in (place / "plain").rglob("*.csv")]
    assert len(names) == 4
    for name in names:
        assert (place / "plain" / name).read_bytes() == (place / "ray" / name).read_bytes(), name
