"""Processes that begin something at the same moment."""

import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[2]
READY = """
import sys, time
print("ready", flush=True)
time.sleep(max(0, float(sys.stdin.readline()) - time.time()))
"""


def run_at_once(imports, code, calls):
    """Returns the exit codes of processes that wait for each other between imports and code.

    Args:
      imports: Python that each runs first.
      code: Python that all begin at once.
      calls: a list of arguments, `sys.argv[1:]`, for each process.
    """
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", imports + READY + code, *arguments],
            cwd=ROOT, text=True, stdin=pipe, stdout=pipe,
        )
        for arguments in calls
    ]  # fmt: skip
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * len(processes)
    begin = time.time() + 0.1
    for process in processes:
        process.stdin.write(f"{begin}\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
    return [process.returncode for process in processes]
