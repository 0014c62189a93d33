"""Runs a tracker on a benchmark and reports its official numbers: `siamfc evaluate`.

python evaluate.py --benchmark otb --data DIR --weights siamfc-small --output runs/siamfc
"""

import sys

from siamfc_jax.commands import shell


def main(argv=None) -> int:
    """Runs the command; returns its exit code."""
    return shell.main(["evaluate", *(sys.argv[1:] if argv is None else argv)])


if __name__ == "__main__":
    sys.exit(main())
