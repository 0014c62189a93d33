"""Files appear whole or not at all."""

import errno
import os

import pytest

from siamfc_jax.files import write_whole


def test_text_and_bytes_take_the_place_of_an_older_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    write_whole(path, "naïve\n")
    assert path.read_bytes() == "naïve\n".encode()
    write_whole(str(path), b"\x00\r\n")
    assert path.read_bytes() == b"\x00\r\n"
    assert os.listdir(tmp_path) == ["a.txt"]


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
