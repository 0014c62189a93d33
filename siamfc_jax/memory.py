"""How much memory there is, asked before much of it is taken."""

import os
import pathlib

MEMINFO = pathlib.Path("/proc/meminfo")
# Limit and use of a container, in control groups of version 2.
CGROUP = pathlib.Path("/sys/fs/cgroup")


def free_bytes() -> int | None:
    """Returns how much memory a process can take at most, None where the system does not say."""
    found = []
    try:
        rows = dict(line.split(":") for line in MEMINFO.read_text().splitlines())
        found.append(int(rows["MemAvailable"].split()[0]) * 1024)
    except (OSError, KeyError, ValueError):  # not Linux
        if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
            found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    try:
        limit, used = (int((CGROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        rows = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        # Files that are kept in memory count as used, but go when it is asked for.
        used -= int(rows["active_file"]) + int(rows["inactive_file"])
        found.append(max(limit - used, 0))
    except (OSError, KeyError, ValueError):  # no container, or one without a limit
        pass
    return min(found, default=None)


def check(needed: int, what: str, *, free: int | None = None) -> None:
    """Refuses what needs more memory than there is, before any is taken.

    Args:
      needed: bytes, at least.
      what: needs them, and what to change: a flag or a file.
      free: bytes that there are; None for those of this machine.

    Raises:
      ValueError: there is less.
    """
    free = free_bytes() if free is None else free
    if free is not None and needed > free:
        raise ValueError(f"{what} needs {needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} are free")
