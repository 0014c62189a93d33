"""What one evaluation is: a tracker, a benchmark, a protocol, and where the results go."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Callable
from typing import NamedTuple

from siamfc_jax.config import TrackerConfig
from siamfc_jax.data.sequences import Sequence
from siamfc_jax.evaluation import opencv_trackers, runner
from siamfc_jax.evaluation.benchmarks import Benchmark
from siamfc_jax.evaluation.protocols import OPE, WITHOUT_RESTARTS, Protocol
from siamfc_jax.network.saved_models import checksum, load_model
from siamfc_jax.tracking import tracker


class SiamFC(NamedTuple):
    """Our tracker.

    Attributes:
      weights: name or path of a model.
      settings: of the tracker.
    """

    weights: str
    settings: TrackerConfig

    def make(self) -> Callable:
        """Returns the tracker as a generator function, see runner.py."""
        return runner.siamfc(tracker.prepare(load_model(self.weights)), config=self.settings)

    def describe(self) -> dict:
        """Returns what decides over its results, for run.json."""
        return {
            "tracker": "siamfc_jax",
            "weights": checksum(load_model(self.weights).variables),
            "settings": dataclasses.asdict(self.settings),
        }


class Exported(NamedTuple):
    """Our tracker without JAX, from the files of `siamfc export`.

    Attributes:
      folder: that it wrote.
    """

    folder: str

    def make(self) -> Callable:
        """Returns the tracker as a generator function, see runner.py."""
        return runner.exported(self.folder)

    def describe(self) -> dict:
        """Returns what decides over its results, for run.json."""
        from siamfc_jax.tracking.siamfc_onnx import Tracker  # here, as it needs onnxruntime

        manifest = Tracker(self.folder).manifest
        hashes = {name: entry["sha256"] for name, entry in manifest["files"].items()}
        return {"tracker": "siamfc_onnx", "files": hashes, "settings": manifest["tracker"]}


class OpenCV(NamedTuple):
    """A tracker of OpenCV.

    Attributes:
      name: of `opencv_trackers.NAMES`.
      files: paths of its model files.
    """

    name: str
    files: tuple[str, ...] = ()

    def make(self) -> Callable:
        """Returns the tracker as a generator function, see runner.py."""
        return opencv_trackers.opencv(self.name, self.files)

    def describe(self) -> dict:
        """Returns what decides over its results, for run.json."""
        self.make()  # refuses missing files
        hashes = [
            hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest() for path in self.files
        ]
        return {"tracker": self.name, **({"files": hashes} if hashes else {})}


class Plan(NamedTuple):
    """One evaluation.

    Attributes:
      name: of the benchmark.
      benchmark: how result files and numbers of the benchmark look.
      protocol: how a tracker runs over a sequence.
      sequences: what it runs over.
      output: folder of results and report.
      tracker: what runs; None if result files are only reported on.
      jobs: processes that share the sequences and the cores.
      together: sequences that our tracker steps in one call.
    """

    name: str
    benchmark: Benchmark
    protocol: Protocol
    sequences: list[Sequence]
    output: pathlib.Path
    tracker: SiamFC | Exported | OpenCV | None
    jobs: int = 1
    together: int = 1


def choose_protocol(benchmark: Benchmark, name: str | None) -> Protocol:
    """Returns the protocol of a name, that of the benchmark for None.

    Args:
      benchmark: what is run.
      name: of `protocols.WITHOUT_RESTARTS`.

    Raises:
      ValueError: the benchmark has runs of its own.
    """
    if name is None:
        return benchmark.protocol
    if benchmark.protocol is not OPE:
        raise ValueError(
            f"--protocol {name} is for benchmarks without restarts, VOT has runs of its own; "
            "leave it out"
        )
    return WITHOUT_RESTARTS[name]


def choose_measures(benchmark: Benchmark, eao: list[int] | None) -> Benchmark:
    """Returns the benchmark with other run lengths of EAO, itself for None.

    Args:
      benchmark: what is run.
      eao: first and last run length.

    Raises:
      ValueError: the benchmark has no EAO, or the lengths are no range.
    """
    if eao is None:
        return benchmark
    if "eao" not in benchmark.measures:
        raise ValueError("--eao is for the VOT benchmarks; leave it out")
    low, high = eao
    if not 1 <= low <= high:
        raise ValueError(f"--eao LOW HIGH needs 1 <= LOW <= HIGH, got {low} {high}")
    return benchmark._replace(measures=benchmark.measures | {"eao": (low, high)})


def checked(plan: Plan) -> Plan:
    """Returns the plan, if it can be carried out.

    Args:
      plan: what the flags ask for.

    Raises:
      ValueError: the text names the flag.
    """
    for name, number in (("jobs", plan.jobs), ("together", plan.together)):
        if number < 1:
            raise ValueError(f"--{name} must be at least 1, got {number}")
    batched = isinstance(plan.tracker, SiamFC) and plan.protocol in WITHOUT_RESTARTS.values()
    if plan.together > 1 and (plan.jobs > 1 or not batched):
        raise ValueError(
            "--together is for our tracker, in one process, on benchmarks without restarts; "
            "leave it out, or --tracker and --jobs"
        )
    return plan
