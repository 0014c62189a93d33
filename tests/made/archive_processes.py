"""What the processes of an archive do in tests; without JAX, which they would wait for."""

import os

from siamfc_jax.commands.archive import Outcome


def allocation(entry):
    """Returns an outcome that tells how the process takes a GPU's memory."""
    return Outcome(entry, 0, 0, os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"])


def count(entry):
    """Returns an outcome that tells the process; dies of an entry named "deadly"."""
    if entry == "deadly":
        os._exit(9)
    return Outcome(entry, 0, os.getpid(), "")
