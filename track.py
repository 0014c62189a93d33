"""Follows objects through a video: `siamfc track`; with --serve, `siamfc serve`.

python track.py --video clip.mp4 --box 62,36,50,64 --output out.mp4 --boxes out.csv
python track.py --serve
"""

import sys

from siamfc_jax.commands import shell


def main(argv=None) -> int:
    """Runs the command; returns its exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    if "--serve" in words:
        return shell.main(["serve", *(word for word in words if word != "--serve")])
    return shell.main(["track", *words])


if __name__ == "__main__":
    sys.exit(main())
