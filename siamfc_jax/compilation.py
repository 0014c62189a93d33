"""What is kept so that it need not be made again, compiled programs and memory; what is shared."""

import contextlib
import ctypes
import os
import pathlib

FOLDER_VARIABLE = "JAX_COMPILATION_CACHE_DIR"  # of JAX itself; empty for no cache
MAX_BYTES = 2**30  # the programs used longest ago go first
# What mallopt of <malloc.h> calls M_ARENA_MAX, M_MMAP_MAX, M_TRIM_THRESHOLD and M_TOP_PAD.
_ALLOCATION = ((-8, 1), (-4, 0), (-1, 2**31 - 1), (-2, 2**26))


def keep_compiled() -> None:
    """Lets this process and later ones share compiled programs, in a folder of the user's.

    The folder is `$JAX_COMPILATION_CACHE_DIR` where that is set, else `siamfc_jax` in
    `$XDG_CACHE_HOME` or `~/.cache`. Where it cannot be written, everything is compiled anew.
    """
    import jax  # here, so that words of a command are read before it

    # By default JAX keeps what takes more than a second; ours are many that take less.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    if FOLDER_VARIABLE in os.environ:
        return
    try:
        folder = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    except RuntimeError:  # a user without a home, as in containers
        return
    folder = folder / "siamfc_jax"
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    if os.access(folder, os.W_OK):
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_compilation_cache_max_size", MAX_BYTES)


def use_own_cores(number: int, count: int) -> None:
    """Gives this process its own cores, as processes that all use all cores wait for each other.

    Args:
      number: of this process, from 0.
      count: of the processes that share the machine.
    """
    if hasattr(os, "sched_setaffinity"):  # Linux
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[number % len(cores) :: count])


def leave_accelerator() -> None:
    """Keeps this process to the CPU, so that the processes it starts find the accelerator free.

    A TPU serves one process alone. Call it before JAX computes anything.
    """
    import jax

    jax.config.update("jax_platforms", "cpu")


def share_accelerator() -> None:
    """Lets this process take of a GPU's memory what it needs, as others use the same GPU.

    By default JAX takes three quarters of it for the first process. Call it before JAX computes
    anything; a value that the user has given for the variable stays.
    """
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


def keep_memory() -> None:
    """Lets this process keep the memory of one call for the next one, where the C library can.

    XLA asks for the working memory of each call anew. By default glibc takes large pieces
    from the system and gives them back, and touching new pages takes a CPU a third of a frame
    of the full network. Call it before JAX computes anything; it holds for all of the process,
    which then never shrinks by less than 2 GiB.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        for parameter, value in _ALLOCATION:
            mallopt(parameter, value)
