"""Figures of a benchmark as JSON, and their comparison with those of an earlier run.

A file holds `{"machine": {...}, "figures": {name: milliseconds}}`; lower is better. The machine
tells whether two files can be compared at all.
"""

import argparse
import importlib.metadata
import json
import os
import pathlib
import platform
import re

import jax


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds `--json` and `--base`."""
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write the figures here")
    parser.add_argument(
        "--base", type=pathlib.Path, metavar="FILE", help="compare with this file of an earlier run"
    )


def machine() -> dict:
    """Returns what the figures depend on beside the code."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "jax": importlib.metadata.version("jax"),
        "device": jax.devices()[0].device_kind,
    }


def _processor():
    """Returns the name of the processor, from Linux's list where there is one."""
    path = pathlib.Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def peak_memory() -> float:
    """Returns the largest memory of this process so far, in MiB (Linux).

    Not `resource.getrusage`: a process that another one starts begins with the peak of that one.
    """
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) / 1024


def finish(args: argparse.Namespace, figures: dict[str, float]) -> None:
    """Writes the figures and prints their comparison, if the flags ask for it.

    Args:
      args: with the flags of `add_flags`.
      figures: name -> milliseconds.

    Raises:
      SystemExit: `--base` is no file of this form.
    """
    # Read first, as --json may name the same file.
    base = read(args.base) if args.base else None
    write(args, figures)
    if base:
        print("\n" + "\n".join(compare(base, {"machine": machine(), "figures": figures})))


def write(args: argparse.Namespace, figures: dict[str, float]) -> None:
    """Writes the figures, if the flags ask for it.

    Args:
      args: with the flags of `add_flags`.
      figures: name -> milliseconds.
    """
    if args.json:
        content = {"machine": machine(), "figures": figures}
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read(path: pathlib.Path) -> dict:
    """Reads a file that `finish` wrote.

    Args:
      path: of the file.

    Raises:
      SystemExit: it is missing, or no file of this form.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        content["machine"].items(), content["figures"].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SystemExit(
            f"error: {path} holds no figures ({error}); expected a file that --json wrote"
        ) from None
    return content


def compare(base: dict, now: dict) -> list[str]:
    """Returns the lines of a Markdown table of two runs.

    Args:
      base: the earlier run, from `read`.
      now: this run, of the same form.
    """
    lines = [
        f"other {key}: {base['machine'].get(key)} before, {value} now"
        for key, value in now["machine"].items()
        if base["machine"].get(key) != value
    ]
    lines += ["| figure | ms before | ms now | now / before |", "|---|---:|---:|---:|"]
    for name, value in now["figures"].items():
        if name in base["figures"]:
            before = base["figures"][name]
            lines.append(f"| {name} | {before:.2f} | {value:.2f} | {value / before:.2f} |")
        else:
            lines.append(f"| {name} | | {value:.2f} | |")
    return lines
