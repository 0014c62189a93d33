"""Lets the operations of a CPU be XLA's own, which compile in half the time.

For tests in which it does not matter how a convolution is computed, but the compilation of
a whole step takes most of their time. What the two forms give is compared in tests/network.
"""

from jax import lax


def choose(*operands, default, **_):
    """Takes the place of `lax.platform_dependent`."""
    return default(*operands)


def use() -> None:
    """Chooses XLA's own for the rest of this process."""
    lax.platform_dependent = choose
