"""`python -m siamfc_jax` is the command `siamfc`."""

import sys

from siamfc_jax.commands.shell import main

if __name__ == "__main__":
    sys.exit(main())
