"""Where results are written: never over what is read, and whole where they replace others."""

import contextlib
import glob
import itertools
import os
import pathlib
from collections.abc import Iterator


def check_outputs(inputs, outputs) -> None:
    """Refuses outputs that are an input or another output, before anything is opened.

    Links and other spellings of one file are seen through. A folder or glob of images is
    meant with all that lies in it.

    Args:
      inputs: files, folders, globs, cameras or URLs that are read; None is left out.
      outputs: flag -> the file that it writes, or None.

    Raises:
      ValueError: two are one, or a place cannot be written.
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


@contextlib.contextmanager
def whole(path) -> Iterator[pathlib.Path]:
    """Gives the file to write what shall stand at a place.

    A new result is written where it shall stand, so that it can be read while it grows and
    after a kill. One that replaces another is written beside it, `out.part.csv` for `out.csv`,
    and takes its place when it is done, so that the older one is whole until then.

    Args:
      path: where the result shall stand; folders above it are made.

    Yields:
      The path of the file, which does not exist yet, except devices and pipes.

    Raises:
      ValueError: the place cannot be written, or the body raised it; then the older result
        stands as before, and the text says where the new one is as far as it got.
    """
    target = pathlib.Path(os.path.realpath(path))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.is_file():
            beside = None
            target.open("ab").close()
        else:
            beside = _name_beside(target)
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror}; choose another place") from error
    if beside is None:
        yield target
        return
    try:
        yield beside
    except ValueError as error:
        raise ValueError(f"{error}; what was written is in {beside}") from error
    try:
        os.replace(beside, target)
    except OSError as error:
        raise ValueError(f"cannot replace {path}: {error.strerror}; it is in {beside}") from error


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
