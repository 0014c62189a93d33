"""Files that are either whole or not there."""

import contextlib
import os
import pathlib


def write_whole(path: str | os.PathLike, content: str | bytes) -> None:
    """Writes a file that appears whole or not at all, also when the process is killed.

    The content goes to a file beside it, which then takes the place of `path`. Where
    something fails, an older file at `path` stays as it was.

    Args:
      path: file to write; its folder must be there.
      content: all of it; text becomes UTF-8.

    Raises:
      OSError: the file cannot be written.
    """
    path = pathlib.Path(path)
    data = content.encode() if isinstance(content, str) else content
    partial = path.with_name(f"{path.name}.part")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # else a power cut could leave the new name with no content
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
