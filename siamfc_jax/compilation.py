"""What XLA compiles once for this machine, kept for the next start."""

import contextlib
import os
import pathlib

import jax

FOLDER_VARIABLE = "JAX_COMPILATION_CACHE_DIR"  # of JAX itself; empty for no cache
MAX_BYTES = 2**30  # the programs used longest ago go first


def keep_compiled() -> None:
    """Lets this process and later ones share compiled programs, in a folder of the user's.

    The folder is `$JAX_COMPILATION_CACHE_DIR` where that is set, else `siamfc_jax` in
    `$XDG_CACHE_HOME` or `~/.cache`. Where it cannot be written, everything is compiled anew.
    """
    # By default JAX keeps what takes more than a second; ours are many that take less.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    if FOLDER_VARIABLE in os.environ:
        return
    folder = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    folder = folder / "siamfc_jax"
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    if os.access(folder, os.W_OK):
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_compilation_cache_max_size", MAX_BYTES)
