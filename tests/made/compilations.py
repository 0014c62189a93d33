"""Counts compilations by what JAX itself reports, for tests that nothing is compiled twice."""

import contextlib

import jax

_COMPILED = "/jax/core/compile/backend_compile_duration"


@contextlib.contextmanager
def compilations(*functions):
    """Collects the names of the jitted functions that are compiled within the block.

    Args:
      *functions: names of jitted functions to look for; others, such as JAX's own, do not count.

    Yields:
      A list that grows with each compilation.
    """
    names = []

    def listen(event, duration, *, fun_name="", **_):
        del duration
        name = fun_name.removeprefix("jit(").removesuffix(")")
        if event == _COMPILED and name in functions:
            names.append(name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield names
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
