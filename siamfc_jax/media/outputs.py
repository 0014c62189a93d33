"""Where results are written: never over what is read, whole where they replace others, by one
process at a time.
"""

import contextlib
import glob
import itertools
import os
import pathlib
from collections.abc import Iterator

try:
    import fcntl
except ImportError:  # on Windows, where no process can replace a file that another one has open
    fcntl = None  # type: ignore[assignment]


def check_outputs(inputs, outputs) -> None:
    """Refuses outputs that are an input or another output, before anything is opened.

    Links and other spellings of one file are seen through. A folder or glob of images is
    meant with all that lies in it.

    Args:
      inputs: files, folders, globs, cameras or URLs that are read; None is left out.
      outputs: flag -> the file that it writes, or None.

    Raises:
      ValueError: two are one, a place cannot be written, or another process writes to it.
    """
    outputs = {flag: path for flag, path in outputs.items() if path}
    for flag, other in itertools.combinations(outputs, 2):
        if _same(outputs[flag], outputs[other]):
            raise ValueError(f"{flag} and {other} are both {outputs[flag]}; choose two files")
    for flag, path in outputs.items():
        for source in filter(None, map(str, [*inputs])):
            if _same(path, source) or _lies_in(path, source):
                where = "is" if _same(path, source) else "lies in"
                raise ValueError(f"{flag} {path} {where} the input {source}; choose another place")
        _check_place(path)


def _same(path, other):
    try:
        return os.path.samefile(path, other)
    except (OSError, ValueError):
        return os.path.realpath(path) == os.path.realpath(other)


def _lies_in(path, source):
    if os.path.isdir(source):
        folder = os.path.realpath(source)
        return os.path.commonpath([folder, os.path.realpath(path)]) == folder
    if "://" in source or os.path.exists(source) or not glob.has_magic(source):
        return False
    return any(_same(path, found) for found in glob.iglob(source, recursive=True))


def _check_place(path):
    place = os.path.realpath(path)
    if os.path.isdir(place):
        raise ValueError(f"cannot write {path}: it is a folder; choose another place")
    if os.path.exists(place):
        reason = None if os.access(place, os.W_OK) else "Permission denied"
    else:
        folder = os.path.dirname(place)
        while not os.path.exists(folder):
            folder = os.path.dirname(folder)
        reason = None if os.access(folder, os.W_OK | os.X_OK) else "Permission denied"
        reason = reason if os.path.isdir(folder) else "Not a directory"
    if reason:
        raise ValueError(f"cannot write {path}: {reason}; choose another place")
    if os.path.isfile(place):
        with _held(place, path):
            pass


@contextlib.contextmanager
def whole(path) -> Iterator[pathlib.Path]:
    """Gives the file to write what shall stand at a place.

    A new result is written where it shall stand, so that it can be read while it grows and
    after a kill. One that replaces another is written beside it, `out.part.csv` for `out.csv`,
    and takes its place when it is done, so that the older one is whole until then. Meanwhile
    the file at `path` is locked, so that a second process is refused and nobody's result is
    lost.

    Args:
      path: where the result shall stand; folders above it are made.

    Yields:
      The path of an empty file, or of a device or a pipe. A body that removes the file has no
      result, and the older one stands as before.

    Raises:
      ValueError: the place cannot be written, another process writes to it, or the body raised
        it; then the older result stands as before, and the text says where the new one is as
        far as it got.
    """
    target = pathlib.Path(os.path.realpath(path))
    with contextlib.ExitStack() as stack:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            is_new = not target.is_file()
            stack.enter_context(_held(target, path))
            beside = None if is_new else _name_beside(target)
        except OSError as error:
            raise ValueError(
                f"cannot write {path}: {error.strerror}; choose another place"
            ) from error
        if beside is None:
            yield target
            return
        try:
            yield beside
        except ValueError as error:
            if not beside.exists():
                raise
            raise ValueError(f"{error}; what was written is in {beside}") from error
        try:
            if beside.exists():
                os.replace(beside, target)
        except OSError as error:
            raise ValueError(
                f"cannot replace {path}: {error.strerror}; it is in {beside}"
            ) from error


@contextlib.contextmanager
def _held(target, path):
    """Keeps other processes from a file, which is made where it is missing, until the body ends.

    The lock lies on the result itself, as a file of its own would stay beside each result. The
    system frees it when its process is killed.
    """
    with open(target, "ab") as file:
        if fcntl is None:
            file.close()  # else it could not be replaced
        elif os.path.isfile(target):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(
                    f"another process writes to {path}; wait for its end, or choose another place"
                ) from None
            except OSError:  # a file system without locks
                pass
        yield


def _name_beside(target):
    """Makes and names a file that takes nobody's place, as an older part may hold a result."""
    number = 1
    while True:
        # Systems take names of 255 bytes.
        name = f"{target.stem[:60]}.part{number if number > 1 else ''}{target.suffix}"
        with contextlib.suppress(FileExistsError):
            target.with_name(name).open("xb").close()
            return target.with_name(name)
        number += 1
