"""Files appear whole or not at all."""

import errno
import itertools
import os
import signal
import subprocess
import sys

import at_once
import pytest

from siamfc_jax.files import locked, standing, whole_folder, write_whole


def test_text_and_bytes_take_the_place_of_an_older_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    write_whole(path, "naïve\n")
    assert path.read_bytes() == "naïve\n".encode()
    write_whole(str(path), b"\x00\r\n")
    assert path.read_bytes() == b"\x00\r\n"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_is_not_replaced_by_a_file(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    write_whole(path, "new")
    assert os.read(reader, 9) == b"new"
    os.close(reader)
    assert path.is_fifo() and os.listdir(tmp_path) == ["pipe"]


def test_a_full_disk_leaves_the_older_file(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "none" / "a.txt", "x")


def fill(path, text, error=None):
    with whole_folder(path) as folder:
        (folder / "a").write_text(text)
        if error:
            raise error


def test_a_folder_takes_the_place_of_an_older_one_and_keeps_what_else_lay_there(tmp_path):
    path = tmp_path / "deep" / "folder"
    fill(path, "one")
    (path / "card").write_text("mine")
    (tmp_path / "link").symlink_to(path)
    fill(tmp_path / "link", "two")
    texts = {entry.name: entry.read_text() for entry in path.iterdir()}
    assert texts == {"a": "two", "card": "mine"}
    assert os.listdir(path.parent) == ["folder"] and (tmp_path / "link").is_symlink()


def test_a_folder_whose_writer_fails_stays(tmp_path):
    fill(tmp_path / "folder", "one")
    with pytest.raises(KeyError):
        fill(tmp_path / "folder", "half", KeyError())
    assert (tmp_path / "folder" / "a").read_text() == "one"
    assert os.listdir(tmp_path) == ["folder"]


def test_a_kill_between_the_renames_leaves_the_older_folder(tmp_path):
    path, old = tmp_path / "folder", tmp_path / ".folder.siamfc-old"
    assert standing(path) == path
    fill(path, "one")
    os.rename(path, old)
    assert standing(path) == old
    fill(path, "two")
    assert standing(path) == path and (path / "a").read_text() == "two"
    assert os.listdir(tmp_path) == ["folder"]


KILLED = """
import itertools, os, pathlib, signal, sys
from siamfc_jax.files import whole_folder, write_whole
path, last = pathlib.Path(sys.argv[1]), int(sys.argv[2])
operations = itertools.count(1)
def watch(event, arguments):
    if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"):
        if str(path.parent) in str(arguments[0]) and next(operations) == last:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
with whole_folder(path) as folder:
    (folder / "deep").mkdir()
    for name in ("a", "deep/b"):
        write_whole(folder / name, "new")
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_writer_killed_at_any_file_operation_leaves_the_older_folder_or_the_new_one(tmp_path):
    """The same with a model, as `save_model` writes it: tests/network, `make test-long`."""
    seen = []
    for number in itertools.count(1):
        path = tmp_path / str(number) / "folder"
        fill(path, "old")
        (path / "card").write_text("mine")
        done = subprocess.run([sys.executable, "-c", KILLED, path, str(number)], check=False)
        seen.append((standing(path) / "a").read_text())
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        fill(path, "next")
        assert sorted(os.listdir(path.parent)) == ["folder"]
        assert (path / "card").read_text() == "mine"
    assert seen == sorted(seen, reverse=True)  # the old one, then the new one
    assert seen.count("old") > 5 and seen.count("new") > 2


def test_the_current_folder_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="is the current folder; name a folder in it or beside"):
        fill(".", "one")


def test_a_folder_has_one_writer(tmp_path):
    with locked(tmp_path / "a"), locked(tmp_path / "b", beside=True):
        for path, beside in (("a", False), ("b", True)):
            with (
                pytest.raises(ValueError, match=f"another process writes to .*{path}; wait for"),
                locked(tmp_path / path, beside=beside),
            ):
                pass
    with locked(tmp_path / "a"), locked(tmp_path / "b", beside=True):
        assert not (tmp_path / "b").exists()


def test_a_lock_goes_with_its_process(tmp_path):
    code = "import os, sys\nfrom siamfc_jax.files import locked\n"
    code += "with locked(sys.argv[1]):\n    os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, tmp_path / "a"], check=False)
    assert (tmp_path / "a").is_dir()
    with locked(tmp_path / "a"):
        pass


def test_machines_with_different_shares_write_to_one_folder(tmp_path):
    with (
        locked(tmp_path, share="0/2"),
        locked(tmp_path, share="1/2"),
        pytest.raises(ValueError, match="another process writes"),
        locked(tmp_path, share="0/2"),
    ):
        pass


@pytest.mark.parametrize("first, second", [(None, "0/2"), ("0/2", None)])
def test_who_writes_all_and_who_writes_a_share_exclude_each_other(tmp_path, first, second):
    with (
        locked(tmp_path, share=first),
        pytest.raises(ValueError, match="another process writes to"),
        locked(tmp_path, share=second),
    ):
        pass
    with locked(tmp_path, share=second):
        pass


def test_shares_that_begin_at_once_do_not_hinder_each_other(tmp_path):
    code = "with locked(sys.argv[1], share=sys.argv[2]):\n    time.sleep(0.1)"
    calls = [[tmp_path, f"{share}/6"] for share in range(6)]
    codes = at_once.run_at_once("from siamfc_jax.files import locked", code, calls)
    assert codes == [0] * 6
