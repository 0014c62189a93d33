"""The temporary folder of a server, which goes with it however it ends."""

import contextlib
import os
import pathlib
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator

from siamfc_jax.files import locked

PREFIX = "siamfc_page-"


@contextlib.contextmanager
def temporary_folder() -> Iterator[pathlib.Path]:
    """Makes a folder for this process, and removes those that killed ones left.

    Each folder has a lock beside it, which the system frees when its process ends. So what a
    killed process left can be told from the folder of a living one.

    Yields:
      The folder, which only this user can read. It is removed in the end.

    Raises:
      OSError: there is no place for it.
    """
    root = pathlib.Path(os.path.realpath(tempfile.gettempdir()))
    for folder in root.glob(f"{PREFIX}*"):
        if _is_mine(folder):
            with contextlib.suppress(OSError, ValueError):  # ValueError: its process lives
                _remove(folder)
    folder = root / f"{PREFIX}{secrets.token_hex(8)}"
    # Locked before it is there, so that no other process takes it for an abandoned one.
    with locked(folder, beside=True) as lock:
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    lock.unlink(missing_ok=True)


def _remove(folder):
    with locked(folder, beside=True) as lock:
        shutil.rmtree(folder, ignore_errors=True)
    lock.unlink(missing_ok=True)


def _is_mine(path):
    """Says whether it is a folder of this user; a link may lead anywhere."""
    status = path.lstat()
    return stat.S_ISDIR(status.st_mode) and (
        not hasattr(os, "getuid") or status.st_uid == os.getuid()
    )
