"""The example for Apache Beam, on two workers of this machine; `make test-beam` runs it."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from training_trees import make_got10k

from siamfc_jax.commands import shell
from siamfc_jax.data import prepared

pytest.importorskip("apache_beam", reason="run by make test-beam")
ROOT = pathlib.Path(__file__).parents[2]
TWO_WORKERS = ["--runner", "DirectRunner", "--direct_running_mode", "multi_processing"]
TWO_WORKERS += ["--direct_num_workers", "2"]


def start_example(*words):
    return subprocess.Popen(
        [sys.executable, "examples/prepare_beam.py", *map(str, words)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a group of its own, in which its workers are
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def run_example(*words):
    process = start_example(*words)
    out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def assert_equal_sets(first, second, *, shards):
    first, second = map(prepared.find_prepared, (first, second))
    names = sorted(path.name for path in first.iterdir())
    assert names == sorted(path.name for path in second.iterdir()) and len(names) == shards + 4
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_a_pipeline_gives_what_the_command_gives(tmp_path):
    source = tmp_path / "got10k"
    for number in range(18):  # three shards
        make_got10k(source / "train", f"{number:02d}", [[30, 20, 50, 40]] * 2)
    words = ["--dataset", "got10k", "--source", source]
    done = run_example(*words, "--output", tmp_path / "beam", "--", *TWO_WORKERS)
    assert done.returncode == 0, done.stderr
    assert "18 videos, 18 tracks, 36 frames kept" in done.stdout
    assert shell.main(["prepare", *map(str, words), "--output", str(tmp_path / "plain")]) == 0
    assert_equal_sets(tmp_path / "plain", tmp_path / "beam", shards=3)
    assert not list((tmp_path / "beam").rglob(".staging"))
    again = run_example(*words, "--output", tmp_path / "beam")
    assert again.returncode == 0, again.stderr
    assert "INFO:apache_beam" not in again.stderr  # no pipeline ran, which would say so


def workers_of(process):
    """Returns the numbers of the processes of Beam's workers, whose parent is a shell."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            is_worker = b"sdk_worker_main" in (folder / "cmdline").read_bytes()
            if is_worker and os.getpgid(int(folder.name)) == process.pid:
                found.append(int(folder.name))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_worker_that_is_killed_costs_its_shard(tmp_path):
    """Beam's own runner then waits for ever: Ctrl-C, and the same command goes on."""
    source, output = tmp_path / "got10k", tmp_path / "beam"
    for number in range(48):  # six shards
        make_got10k(source / "train", f"{number:02d}", [[30, 20, 50, 40]] * 25)
    words = ["--dataset", "got10k", "--source", source]
    process = start_example(*words, "--output", output, "--", *TWO_WORKERS)
    while not (done := list(output.rglob("*.json"))) and process.poll() is None:
        time.sleep(0.05)
    assert process.poll() is None
    times = {path: path.stat().st_mtime_ns for path in done}
    os.kill(workers_of(process)[-1], signal.SIGKILL)
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130 and err.endswith("stopped\n")
    assert times == {path: path.stat().st_mtime_ns for path in done}
    again = run_example(*words, "--output", output, "--", *TWO_WORKERS)
    assert again.returncode == 0, again.stderr
    assert shell.main(["prepare", *map(str, words), "--output", str(tmp_path / "plain")]) == 0
    assert_equal_sets(tmp_path / "plain", output, shards=6)


def test_only_what_writes_a_set_is_taken(tmp_path):
    words = ["--dataset", "got10k", "--source", tmp_path]
    done = run_example(*words, "--check-only")
    assert done.returncode == 2
    assert done.stderr == "error: give --output DIR, and neither --check-only nor --shard\n"
    done = run_example(*words, "--output", tmp_path / "out")
    assert done.returncode == 2 and "error: nothing to read for got10k" in done.stderr
    assert "Traceback" not in done.stderr
