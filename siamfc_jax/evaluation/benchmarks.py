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
from siamfc_jax.evaluation import reports


class Benchmark(NamedTuple):
    """How a benchmark is read, run and scored.

    Attributes:
      read: folder -> list of Sequence.
      one_based: whether its result files count the first pixel as 1.
      protocol: of `protocols.py`: `ope`, `supervised` or `multistart`.
      absent_counts: whether frames without the object count as missed.
      extra: further numbers, see `reports.report`.
      eao: run lengths of EAO.
      server: where the true boxes are not published: names of a sequence's boxes and
        times in the archive that the server takes.
    """

    read: Callable
    one_based: bool = True
    protocol: str = "ope"
    absent_counts: bool = False
    extra: Callable | None = None
    eao: tuple[int, int] | None = None
    server: tuple[str, str | None] | None = None


# EAO ranges are those of the VOT toolkit's stacks.
_supervised = functools.partial(Benchmark, read_vot, one_based=False, protocol="supervised")
_multistart = functools.partial(Benchmark, read_vot, one_based=False, protocol="multistart")
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
    "lasot": Benchmark(read_lasot, absent_counts=True),
    "alov": Benchmark(read_alov, extra=reports.alov),
    "got10k-val": Benchmark(
        functools.partial(read_got10k, split="val"), one_based=False, extra=reports.got10k
    ),
    "got10k-test": Benchmark(
        functools.partial(read_got10k, split="test"),
        one_based=False,
        server=("{0}/{0}_001.txt", "{0}/{0}_time.txt"),
    ),
    "trackingnet": Benchmark(read_trackingnet, one_based=False, server=("{0}.txt", None)),
    "vot2015": _supervised(eao=(108, 371)),
    "vot2016": _supervised(eao=(108, 371)),
    "vot2017": _supervised(eao=(100, 356)),
    "vot2018": _supervised(eao=(100, 356)),
    "vot2019": _supervised(eao=(46, 291)),
    "vot2020": _multistart(eao=(115, 755)),
    "vot2021": _multistart(eao=(115, 755)),
    "vot2022": _multistart(eao=(115, 755)),
}
