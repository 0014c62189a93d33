"""Files and folders that are either whole or not there."""

import contextlib
import os
import pathlib
import shutil
import time
from collections.abc import Iterator


def write_whole(path: str | os.PathLike, content: str | bytes) -> None:
    """Writes a file that appears whole or not at all, also when the process is killed.

    The content goes to a file beside it, which then takes the place of `path`. Where
    something fails, an older file at `path` stays as it was. Two writers at once need a lock,
    as the file beside has one name.

    Args:
      path: file to write; its folder must be there.
      content: all of it; text becomes UTF-8.

    Raises:
      OSError: the file cannot be written.
    """
    path = pathlib.Path(path)
    data = content.encode() if isinstance(content, str) else content
    if path.exists() and not path.is_file():  # a device or a pipe, which is not to be replaced
        path.write_bytes(data)
        return
    partial = path.with_name(f"{path.name}.part")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # else a power cut could leave the new name with no content
        os.replace(partial, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        if isinstance(error, OSError):
            error.filename, error.filename2 = str(path), None  # what the caller knows of
        raise


@contextlib.contextmanager
def whole_folder(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Gives a new folder to fill; it takes the place of `path` when the body ends.

    An older folder is renamed before, and removed after. A kill between the two renames
    leaves it under its other name, where `standing` finds it and the next writer puts it back.
    What lies in the older folder and not in the new one is kept.

    Args:
      path: folder to write; those above it are made.

    Yields:
      The folder to fill.

    Raises:
      OSError: it cannot be written; the older folder stays as it was, as it does where the
        body fails.
      ValueError: it is the current folder, which a new one cannot replace.
    """
    path = pathlib.Path(os.path.realpath(path))
    if path == pathlib.Path(os.path.realpath(os.getcwd())):
        raise ValueError(f"{path} is the current folder; name a folder in it or beside it")
    new, old = _beside(path, "new"), _beside(path, "old")
    path.parent.mkdir(parents=True, exist_ok=True)
    _settle(path, old)
    if new.exists():  # of a writer that was killed
        shutil.rmtree(new)
    new.mkdir()
    try:
        yield new
        if path.exists():
            os.rename(path, old)
        os.rename(new, path)
    except BaseException:
        if old.exists() and not path.exists():
            os.rename(old, path)
        _remove(new)
        raise
    _settle(path, old)


def _remove(folder):
    # Threads of the library that failed to write may go on with its other files for a moment.
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.05)
        if not folder.exists():
            return


@contextlib.contextmanager
def locked(
    path: str | os.PathLike, *, beside: bool = False, share: str | None = None
) -> Iterator[pathlib.Path]:
    """Keeps all other processes that ask from writing to a folder, until this one ends.

    An empty hidden file is locked, which stays; the system frees it when its process ends,
    however that comes about.

    Args:
      path: folder; it is made, or those above it where the lock lies beside.
      beside: whether the lock lies beside the folder, as `whole_folder` replaces all of it.
      share: `I/N` of several machines that write to the folder at once, each its own files;
        None for one that writes all, beside which there is no share.

    Yields:
      The path of the file that is locked.

    Raises:
      OSError: the place cannot be written.
      ValueError: another process holds the lock.
    """
    target = pathlib.Path(os.path.realpath(path))
    all_of_it = _beside(target, "lock") if beside else target / ".siamfc-lock"
    place = all_of_it
    if share:
        place = place.with_name(f"{place.name}-{share.replace('/', '-of-')}")
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = _take(place, path)
    try:
        if share:  # others look there as well, for a moment
            _take(all_of_it, path, timeout=1).release()
        elif not beside:
            for other in place.parent.glob(f"{place.name}-*-of-*"):
                _take(other, path).release()
        yield place
    finally:
        lock.release()


def _take(place, path, timeout=0):
    """Returns a lock that is held; refuses where another process holds it."""
    import filelock  # here, as reading files does without it

    lock = filelock.FileLock(place)
    try:
        lock.acquire(timeout=timeout)
    except filelock.Timeout:
        raise ValueError(
            f"another process writes to {path}; wait for its end, or choose another place"
        ) from None
    return lock


def standing(path: str | os.PathLike) -> pathlib.Path:
    """Returns where a folder of `whole_folder` is to be read.

    Args:
      path: the folder.

    Returns:
      `path`; or where the older folder is, if a writer was killed before the new one stood.
    """
    path = pathlib.Path(path)
    old = _beside(pathlib.Path(os.path.realpath(path)), "old")
    return old if old.is_dir() and not path.exists() else path


def _beside(path, what):
    """Returns the path of the new or the old folder: hidden, and a name that nobody else gives."""
    return path.with_name(f".{path.name}.siamfc-{what}")


def _settle(path, old):
    """Ends what a writer began: the older folder comes back, or gives what is its own and goes."""
    if not old.exists():
        return
    if not path.exists():
        os.rename(old, path)
        return
    for entry in old.iterdir():
        if not (path / entry.name).exists():
            os.rename(entry, path / entry.name)
    shutil.rmtree(old)
