"""Where compiled programs are kept."""

import pathlib
import platform
import subprocess
import sys

import jax
import pytest

from siamfc_jax.compilation import FOLDER_VARIABLE, keep_compiled


@pytest.fixture
def updates(monkeypatch):
    """Returns what JAX is told, which it does not hear."""
    told = {}
    monkeypatch.setattr(jax.config, "update", told.__setitem__)
    monkeypatch.delenv(FOLDER_VARIABLE)
    return told


def test_the_users_cache_is_the_place(updates, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "new"))
    keep_compiled()
    assert updates["jax_compilation_cache_dir"] == str(tmp_path / "new" / "siamfc_jax")
    assert (tmp_path / "new" / "siamfc_jax").is_dir()
    assert updates["jax_persistent_cache_min_compile_time_secs"] == 0
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    keep_compiled()
    assert updates["jax_compilation_cache_dir"] == str(tmp_path / "home/.cache/siamfc_jax")


@pytest.mark.parametrize("folder", ["", "/elsewhere"])
def test_jax_own_variable_goes_first(updates, monkeypatch, folder):
    monkeypatch.setenv(FOLDER_VARIABLE, folder)
    keep_compiled()
    assert "jax_compilation_cache_dir" not in updates


def test_a_user_without_a_home_keeps_nothing(updates, monkeypatch):
    def fail():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(pathlib.Path, "home", fail)
    keep_compiled()
    assert "jax_compilation_cache_dir" not in updates


def test_without_a_place_nothing_is_kept(updates, monkeypatch, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(file))
    keep_compiled()
    assert "jax_compilation_cache_dir" not in updates


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_memory_is_kept():
    """Of a second large array, no page is new."""
    program = """
import resource
import numpy as np
from siamfc_jax.compilation import keep_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults(), faults())
keep_memory()
print(faults(), faults())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    (_, before), (_, after) = (map(int, line.split()) for line in done.stdout.splitlines())
    assert before > 100 > after, done
