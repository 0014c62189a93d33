"""Strict settings for all tests: CPU, two devices, no implicit rank promotion."""

import os

# Read when JAX starts, so set before anything imports it.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
)
# Tests leave nothing in the user's cache; their processes may choose a folder.
os.environ["JAX_COMPILATION_CACHE_DIR"] = ""

import jax

jax.config.update("jax_numpy_rank_promotion", "raise")
