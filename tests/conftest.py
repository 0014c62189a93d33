"""Strict settings for all tests: CPU, two devices, no implicit rank promotion."""

import gc
import importlib.metadata
import os
import shutil
import tempfile

# Read when JAX starts, so set before anything imports it.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
    # What is compiled here runs once or twice on small arrays; LLVM's level 3, the default, takes
    # two to twelve times as long to compile it.
    " --xla_backend_optimization_level=0"
)
# XLA's newer way to emit loops takes three times as long to compile as its older one. AVX has no
# fused multiply-add, with which the same sum in two loops of the older way may differ in its last
# bit. JAX 0.12 does not know the first flag.
os.environ["XLA_FLAGS"] += (
    " --xla_cpu_use_fusion_emitters=false --xla_cpu_max_isa=AVX"
    if importlib.metadata.version("jaxlib").startswith("0.10.")
    else ""
)
# One folder of compiled programs for this run of the tests and the processes that it starts, those
# of pytest-xdist among them: most of a test's time is compilation, and many tests compile the same.
# The user's cache stays as it is.
os.environ["JAX_COMPILATION_CACHE_DIR"] = (
    os.environ["JAX_COMPILATION_CACHE_DIR"]
    if "PYTEST_XDIST_WORKER" in os.environ
    else tempfile.mkdtemp(prefix="siamfc_jax_tests_")
)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"

import jax
import plain_forms
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
# Tracing makes many objects. By default Python walks through them so often, in search of garbage,
# that a tenth of the time went there.
gc.set_threshold(100_000, 10, 10)

# Folders and files in which the forms of a CPU are tested, or compared with other processes and
# programs. In all others the network computes in XLA's own forms, as they compile in half the time.
CPU_FORMS = {"network", "export", "test_archive.py", "test_augment.py", "test_lowering.py"}


def _takes_cpu_forms(path):
    return not CPU_FORMS.isdisjoint(path.parts)


def pytest_collection_modifyitems(items):
    """Puts whole trainings first: side by side with the others, the longest must not come last.

    Files with the forms of a CPU come last, as all is compiled anew where the forms change.
    """
    items.sort(key=lambda item: ("training" not in item.path.parts, _takes_cpu_forms(item.path)))


def pytest_collection_finish():
    """Keeps what was imported from being searched for garbage."""
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def forms(request):
    """Chooses the forms for the tests of a file."""
    if plain_forms.use(not _takes_cpu_forms(request.path)):
        jax.clear_caches()  # else a function would stay as another file has compiled it


@pytest.fixture
def no_pictures(monkeypatch):
    """Lets `siamfc evaluate` draw nothing, for tests that look at its numbers alone."""
    from siamfc_jax.evaluation import html_report, plots

    monkeypatch.setattr(plots, "figures", lambda summaries: {})
    monkeypatch.setattr(html_report, "build", lambda *_: "")


def pytest_unconfigure():
    """Removes the compiled programs of this run, when all its processes have ended."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        shutil.rmtree(os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
