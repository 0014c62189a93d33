"""Lets the operations of a CPU be XLA's own, which compile in half the time.

For tests in which it does not matter how a convolution is computed, but the compilation of
a whole step takes most of their time. What the two forms give is compared in tests/network, and
the processes that tests start, except for training, have those of a CPU.
"""

from jax import lax

_BY_PLATFORM = lax.platform_dependent


def _choose(*operands, default, **_):
    """Takes the place of `lax.platform_dependent`."""
    return default(*operands)


def use(plain: bool = True) -> bool:
    """Chooses XLA's own operations for all that is traced from now on, or those of the platform.

    Args:
      plain: False for those of the platform.

    Returns:
      Whether this changes anything.
    """
    chosen = _choose if plain else _BY_PLATFORM
    changed = lax.platform_dependent is not chosen
    lax.platform_dependent = chosen
    return changed
