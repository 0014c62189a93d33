"""The table of benchmarks: how each is read, run and scored."""

import functools
from collections.abc import Callable
from typing import NamedTuple

from siamfc_jax.data.layouts import (
    read_alov,
    read_got10k,
    read_lasot,
    read_nfs,
    read_otb,
    read_tcolor128,
    read_trackingnet,
    read_uav,
    read_vot,
)
from siamfc_jax.data.sequences import Sequence
from siamfc_jax.evaluation import measures
from siamfc_jax.evaluation.protocols import MULTISTART, OPE, SUPERVISED, Protocol


class Benchmark(NamedTuple):
    """How a benchmark is read, run and scored.

    Attributes:
      read: folder -> list of Sequence.
      one_based: whether its result files count the first pixel as 1.
      protocol: how a tracker is run over its sequences.
      measures: keywords of the protocol's `summarize`: what this benchmark counts otherwise
        or beside the common numbers. VOT needs `eao`, the run lengths of EAO.
      server: where the true boxes are not published: names of a sequence's boxes and
        times in the archive that the server takes.
    """

    read: Callable
    one_based: bool = True
    protocol: Protocol = OPE
    measures: dict = {}  # noqa: RUF012 (never written to)
    server: tuple[str, str | None] | None = None


def read_folders(benchmark: Benchmark, folders) -> list[Sequence]:
    """Reads several folders of one layout as one set of sequences.

    Args:
      benchmark: whose layout the folders have.
      folders: at least one.

    Returns:
      Sequences of all folders, in their order.

    Raises:
      ValueError: a folder is not in that layout, or two hold a sequence of the same name.
    """
    sequences, folder_of = [], {}
    for folder in folders:
        for sequence in benchmark.read(folder):
            if sequence.name in folder_of:
                raise ValueError(
                    f"sequence {sequence.name} is in {folder_of[sequence.name]} and in {folder}; "
                    "folders that are evaluated together need sequences of different names"
                )
            folder_of[sequence.name] = folder
            sequences.append(sequence)
    return sequences


def _vot(protocol: Protocol, *eao: int) -> Benchmark:
    """Returns a VOT challenge; the EAO ranges are those of the VOT toolkit's stacks."""
    return Benchmark(read_vot, one_based=False, protocol=protocol, measures={"eao": eao})


BENCHMARKS = {
    "otb": Benchmark(read_otb),
    "otb2013": Benchmark(functools.partial(read_otb, version="2013")),
    "otb50": Benchmark(functools.partial(read_otb, version="50")),
    "otb100": Benchmark(functools.partial(read_otb, version="100")),
    "dtb70": Benchmark(read_otb),
    "tcolor128": Benchmark(read_tcolor128),
    "uav123": Benchmark(functools.partial(read_uav, version="UAV123")),
    "uav20l": Benchmark(functools.partial(read_uav, version="UAV20L")),
    "nfs30": Benchmark(functools.partial(read_nfs, fps=30), one_based=False),
    "nfs240": Benchmark(functools.partial(read_nfs, fps=240), one_based=False),
    "lasot": Benchmark(read_lasot, measures={"absent_counts": True}),
    "alov": Benchmark(read_alov, measures={"extra": measures.alov}),
    "got10k-val": Benchmark(
        functools.partial(read_got10k, split="val"),
        one_based=False,
        measures={"extra": measures.got10k},
    ),
    "got10k-test": Benchmark(
        functools.partial(read_got10k, split="test"),
        one_based=False,
        server=("{0}/{0}_001.txt", "{0}/{0}_time.txt"),
    ),
    "trackingnet": Benchmark(read_trackingnet, one_based=False, server=("{0}.txt", None)),
    "vot2015": _vot(SUPERVISED, 108, 371),
    "vot2016": _vot(SUPERVISED, 108, 371),
    "vot2017": _vot(SUPERVISED, 100, 356),
    "vot2018": _vot(SUPERVISED, 100, 356),
    "vot2019": _vot(SUPERVISED, 46, 291),
    "vot2020": _vot(MULTISTART, 115, 755),
    "vot2021": _vot(MULTISTART, 115, 755),
    "vot2022": _vot(MULTISTART, 115, 755),
}
