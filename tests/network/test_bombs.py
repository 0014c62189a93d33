"""Small files that claim to hold much are refused before memory is taken for it."""

import pathlib
import pickle
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
import scipy.io
import torch_writers

from siamfc_jax import memory
from siamfc_jax.network import matlab_files, weights


def write_pickle(path, data):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/data.pkl", data)
        archive.writestr("net/data/0", b"\0" * 4)


def expanded():
    """A tensor of 4 bytes that claims 4 GB by strides of 0."""
    storage = torch_writers.Storage("0", np.zeros(1, np.float32))
    tensor = torch_writers.Tensor(storage, 0, (1 << 15, 1 << 15), (0, 0))
    return torch_writers.dump({"a.weight": tensor})


def matrix(kind, sides, *content):
    """An element of a MATLAB file: an array of a kind, whatever its content."""
    flags = struct.pack("<IIII", 6, 8, kind, 0)
    shape = struct.pack("<II", 5, 4 * len(sides)) + struct.pack(f"<{len(sides)}I", *sides)
    shape += bytes(-len(shape) % 8)
    data = flags + shape + struct.pack("<HH4s", 1, 3, b"net") + b"".join(content)
    return struct.pack("<II", 14, len(data)) + data


def write_matlab(path, element):
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + element)


FIELDS = struct.pack("<HHI", 5, 4, 32) + struct.pack("<II", 1, 32) + b"a" * 32


def bombs():
    """Yields (file, what is said of it)."""
    yield "memo.pth", pickle.PROTO + b"\x02}r\x00\x00\x00\x20.", "has 0 convolutions"
    yield "expanded.pth", expanded(), "is larger than its storage"
    yield "numbers.pth", pickle.dumps({1: 2}), "its names are no text"
    yield "string.pth", pickle.BINUNICODE8 + struct.pack("<Q", 1 << 40) + b"x", "is no state_dict"
    yield "struct.mat", matrix(2, (1 << 15, 1 << 15), FIELDS), "holds no MatConvNet network"
    yield "cell.mat", matrix(1, (1 << 28, 1)), "claims 2147483648 bytes or more"
    yield "zeros.mat", matrix(6, (1 << 28, 1), bytes(64)), "claims 268435456 bytes or more"
    small = zlib.compress(matrix(1, (1 << 28, 1)))
    packed = struct.pack("<II", 15, len(small)) + small
    yield "packed.mat", packed, "claims 2147483648 bytes or more"
    yield "other.mat", matrix(17, (1, 1)), "it holds functions or objects"


@pytest.mark.parametrize("name, content, text", bombs(), ids=lambda value: str(value)[:12])
def test_a_small_file_takes_little_memory(name, content, text, tmp_path):
    path = tmp_path / name
    (write_pickle if path.suffix == ".pth" else write_matlab)(path, content)
    tracemalloc.start()
    with pytest.raises(ValueError, match=text):
        weights.read_weights(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6  # with scipy, which is imported


def test_a_zip_that_grows_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net/data.pkl", bytes(10_000_000))
    with pytest.raises(ValueError, match="it holds more than its size"):
        weights.read_weights(tmp_path / "a.pth")


def test_what_needs_more_than_there_is_is_refused(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", a=np.zeros(1000))
    monkeypatch.setattr(memory, "free_bytes", lambda: 1000)
    with pytest.raises(ValueError, match=r"a.npz needs 0.0 GB of memory, 0.0 are free"):
        weights.read_weights(tmp_path / "a.npz")
    monkeypatch.setattr(memory, "free_bytes", lambda: None)  # a system that does not say
    memory.check(1 << 60, "x")


def test_the_limit_of_a_container_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:   4000 kB\n")
    assert memory.free_bytes() == 4_096_000
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("500\n")
    assert memory.free_bytes() == 4_096_000
    (tmp_path / "memory.max").write_text("3000\n")
    (tmp_path / "memory.stat").write_text("anon 200\nactive_file 100\ninactive_file 200\n")
    assert memory.free_bytes() == 2800  # files that are kept in memory can go


def test_files_of_matlab_pass(tmp_path):
    net = {"a": np.zeros((3, 4)), "b": "text", "c": {"d": np.empty((0, 0)), "e": np.eye(2) > 0}}
    for compressed in (False, True):
        scipy.io.savemat(tmp_path / "a.mat", {"net": net}, do_compression=compressed)
        matlab_files.check(tmp_path / "a.mat")
    cut = (tmp_path / "a.mat").read_bytes()[:-9]
    (tmp_path / "a.mat").write_bytes(cut)
    with pytest.raises(ValueError, match="it is cut off"):
        matlab_files.check(tmp_path / "a.mat")


def test_whatever_a_damaged_file_raises_is_one_line(tmp_path, monkeypatch):
    def fail(path):
        raise IndexError("deep")

    monkeypatch.setitem(weights.READERS, ".npz", fail)
    pathlib.Path(tmp_path / "a.npz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"holds no network that is known \(IndexError: deep\)"):
        weights.read_weights(tmp_path / "a.npz")
