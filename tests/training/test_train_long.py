"""What train.py promises and what takes minutes to show; `make test-long`."""

import json
import os
import pathlib
import signal
import socket
import time

import numpy as np
import pytest
import tiny_networks
import tiny_tracks
from train_process import Training, assert_same, leaves

from siamfc_jax.config import ModelConfig, TrackerConfig
from siamfc_jax.network import run_folders, saved_models
from siamfc_jax.network.saved_models import Model

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    root = tmp_path_factory.mktemp("train")
    return Training(root, batch_size=4, epochs=3, cache=root / "cache")  # for 4 devices


@pytest.fixture(scope="module")
def reference(training):
    """Returns the variables of a run that nothing disturbed."""
    training.run("reference")
    return training.variables("reference")


def assert_close(training, workdir, reference):
    """Checks a run against one on one device: the same but for the order of sums.

    Measured after 12 steps: 6e-7 of a loss, 6e-5 of the largest value of an array.
    """
    losses, expected = training.losses(workdir), training.losses("reference")
    # One that was stopped has a record more, and means over fewer steps around it.
    assert losses.keys() >= expected.keys()
    assert losses[training.steps] == pytest.approx(expected[training.steps], rel=1e-4)
    if losses.keys() == expected.keys():
        np.testing.assert_allclose(list(losses.values()), list(expected.values()), rtol=1e-4)
    wanted = dict(leaves(reference))
    furthest = 0.0
    for name, value in leaves(training.variables(workdir)):
        # A bias before batch normalisation has no gradient but rounding: it stays near 0.
        scale = max(np.abs(wanted[name]).max(), 1e-3)
        furthest = max(furthest, float(np.abs(value - wanted[name]).max() / scale))
    print(f"{workdir}: {furthest:.1e}, losses {losses} {expected}")
    assert furthest < 3e-4


def test_killed_at_every_file_operation(training, reference):
    """Each start is killed one or two file operations later than the one before it."""
    _, err = training.run("counted")
    operations = int(err.splitlines()[-1].split()[0])
    kills = 0
    for count in [*range(1, 60), *range(60, operations, 7)]:
        process = training.start("killed", interrupt=("9", "any", str(count)))
        _, err = process.communicate(timeout=900)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, err
        kills += 1
    else:
        training.run("killed")
    print(f"{kills} kills of {operations} operations")
    assert kills >= 30
    assert_same(training.variables("killed"), reference)


def test_killed_at_any_time(training, reference):
    """Killed from outside, after times that differ by less than a save takes."""
    kills = 0
    for number in range(40):
        process = training.start("timed")
        folder = training.root / "timed" / "checkpoints"
        before = set(folder.glob("*")) if folder.is_dir() else set()
        while process.poll() is None and not (
            folder.is_dir() and any(p.name.endswith("tmp") for p in set(folder.glob("*")) - before)
        ):
            time.sleep(0.001)
        time.sleep(0.005 * number)
        process.kill()
        process.communicate()
        if process.returncode == 0:
            break
        kills += 1
    print(f"{kills} kills by time")
    training.run("timed")
    assert_same(training.variables("timed"), reference)


def test_goes_on_with_another_number_of_devices(training, reference):
    training.run("moved", interrupt=("15", "os.rename", "3"), devices=2, code=143)
    training.run("moved", interrupt=("2", "os.rename", "3"), devices=1, code=130)
    training.run("moved", devices=4)
    assert_close(training, "moved", reference)


def test_patches_on_two_devices_change_nothing(training):
    training.run("loaded", devices=2)
    training.run("resident", "--resident", interrupt=("9", "os.rename", "4"), devices=2, code=-9)
    training.run("resident", "--resident", devices=2)
    assert_same(training.variables("resident"), training.variables("loaded"))


def free_port():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def start_hosts(training, workdir, *flags, interrupt=None):
    """Starts two processes with two devices each; only the second one is interrupted."""
    hosts = ["--coordinator", f"localhost:{free_port()}", "--num-processes", "2"]
    return [
        training.start(
            workdir,
            *hosts,
            *("--process-id", number),
            *flags,
            devices=2,
            **({"interrupt": interrupt} if interrupt and number else {}),
        )
        for number in range(2)
    ]


def finish_hosts(processes, *, code=0):
    outputs = [process.communicate(timeout=900) for process in processes]
    for process, (_, err) in zip(processes, outputs, strict=True):
        assert process.returncode == code, err
    return outputs


def test_two_hosts_equal_one(training, reference):
    """2 processes with 2 devices each, 1 process with 4 devices, 1 device: one loss curve."""
    training.run("devices", devices=4)
    assert_close(training, "devices", reference)
    outputs = finish_hosts(start_hosts(training, "hosts"))
    assert_close(training, "hosts", reference)
    assert "pair/s" in outputs[0][1] and "pair/s" not in outputs[1][1]
    assert "step alone" in outputs[0][0] and "step alone" not in outputs[1][0]


def test_hosts_stop_together_and_go_on(training, reference):
    """SIGTERM to one of two; what they saved together goes on as one process."""
    processes = start_hosts(training, "preempted", "--save-every", "1", interrupt=NEVER_ALONE)
    finish_hosts(processes, code=143)
    assert max(training.losses("preempted")) < training.steps
    training.run("preempted", devices=2)
    assert_close(training, "preempted", reference)


# Process 1 only reads metrics.jsonl and makes folders that are there already.
NEVER_ALONE = ("15", "open", "1")


def test_workers_read_the_same_and_end_with_their_parent(training, reference):
    memory = pathlib.Path("/dev/shm")
    before = set(memory.iterdir()) if memory.is_dir() else set()
    process = training.start("workers", "--workers", "2", interrupt=("9", "os.rename", "4"))
    process.communicate(timeout=900)
    assert process.returncode == -signal.SIGKILL
    training.run("workers", "--workers", "2", interrupt=("15", "os.rename", "2"), code=143)
    training.run("workers", "--workers", "3")
    assert_same(training.variables("workers"), reference)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and (left := processes_of(training.root)):
        time.sleep(0.2)
    assert not left
    if memory.is_dir():
        assert set(memory.iterdir()) <= before


def processes_of(root):
    """Returns the command lines of processes that were started with our cache folder."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"{root}/cache".encode() in entry.read_bytes():
                found.append((entry.parent / "cmdline").read_bytes().replace(b"\0", b" "))
        except OSError:  # ended meanwhile, or not ours to read
            continue
    return found


def test_full_disk_ends_the_run_and_more_room_lets_it_go_on(training, reference):
    small_files = ("sh", "-c", 'ulimit -f 20; exec "$@"', "sh")  # of 512 bytes each
    _, err = training.run("full", prefix=small_files, code=2)
    assert "error: cannot save to " in err
    assert "the run goes on from its last whole checkpoint" in err
    training.run("full")
    assert_same(training.variables("full"), reference)


def test_validation_log_and_best_checkpoint(training):
    held_out = tiny_tracks.write(training.root / "held_out", source="held_out")
    config = ModelConfig(width=0.01, first_kernel=7)
    model = Model(tiny_networks.variables(config), config, TrackerConfig())
    saved_models.save_model(training.root / "begin", model)
    flags = ["--validation", held_out, "--profile", "2", "--learning-rate", ".3", "--keep", "1"]
    flags += ["--init-from", training.root / "begin"]
    # Stopped between the save and the end of the first validation.
    out, _ = training.run("validated", *flags, interrupt=("15", "os.rename", "5"), code=143)
    assert "\nbefore training, loss " in out
    out, _ = training.run("validated", *flags)
    assert "\nbefore training, loss " in out and "\nbest checkpoint: step " in out
    assert f"siamfc calibrate --weights {training.root}/validated --data {held_out} --out" in out
    folder = training.root / "validated"
    records = run_folders.read_metrics(folder)
    validated = [r for r in records if "validation_loss" in r]
    assert [r["step"] for r in validated] == [0, 4, 8, 12]
    for record in validated:
        assert 20 < record["validation_center_error_still"] < 30  # of a point in 64 x 64 px
        assert 0 <= record["validation_success"] <= 1
        assert record["validation_success_still"] < 0.8
    errors = run_folders.validation_errors(records)
    kept = {int(path.name) for path in (folder / "checkpoints").iterdir()}
    # The best of those before it was kept when 12 was saved, which had no figures yet.
    assert kept == {12, min((4, 8), key=errors.get)}
    trained = [r for r in records if "loss" in r]
    assert trained[-1]["learning_rate"] == pytest.approx(1e-5, rel=1e-4)
    assert all(r["pairs_per_second"] > 0 for r in trained[1:])
    traces = list((folder / "profile").rglob("*.xplane.pb"))
    assert traces and all(trace.stat().st_size > 1000 for trace in traces)
    tags = read_events(folder / "tensorboard")
    assert {"loss", "validation_center_error", "validation_response/0"} <= tags.keys()
    assert [step for step, _ in tags["validation_loss"]] == [0, 4, 8, 12]
    values = dict(tags["loss"])
    assert values[12] == pytest.approx(trained[-1]["loss"])
    json.dumps(records)


def read_events(folder):
    """Returns tag -> [(step, value)] of all event files, in the order of their starts."""
    from tensorboardX.proto.event_pb2 import Event

    found = {}
    for path in sorted(folder.iterdir(), key=os.path.getmtime):
        data, place = path.read_bytes(), 0
        while place < len(data):
            length = int.from_bytes(data[place : place + 8], "little")
            event = Event.FromString(data[place + 12 : place + 12 + length])
            place += 12 + length + 4
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found
