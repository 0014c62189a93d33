"""Files that are complete or absent, never half written."""

import os
import pathlib


def write_whole(path, text: str) -> None:
    """Writes a text file under another name first and renames it when it is complete.

    A reader, or a command that goes on after a kill, therefore never meets half a file.

    Args:
      path: of the file; its folder must exist, an older file is replaced.
      text: what to write, as UTF-8.
    """
    path = pathlib.Path(path)
    partial = path.with_name(f"{path.name}.part")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
