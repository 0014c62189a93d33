"""Trains SiamFC: `siamfc train`.

python train.py --workdir runs/a --data GOT-10k
"""

import sys

from siamfc_jax.commands import shell


def main(argv=None) -> int:
    """Runs the command; returns its exit code."""
    return shell.main(["train", *(sys.argv[1:] if argv is None else argv)])


if __name__ == "__main__":
    sys.exit(main())
