"""Reads the tracking benchmarks as they are published, nothing to be prepared.

Each reader takes the folder that the published archives unpack into.
"""

import functools
import pathlib
import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from siamfc_jax.data import groundtruth
from siamfc_jax.data.groundtruth import read_boxes, read_labels, read_names
from siamfc_jax.data.sequences import (
    Sequence,
    assemble,
    frame_number,
    images,
    only_first,
    read_got10k,
    read_otb,
)
from siamfc_jax.evaluation import measures
from siamfc_jax.evaluation.protocols import MULTISTART, OPE, SUPERVISED, Protocol

# First frames of the UAV123 sequences that are later parts of a video (configSeqs.m of UAV123).
_UAV_STARTS = {
    "bird1_2": 775, "bird1_3": 1573, "car1_2": 751, "car1_3": 1627, "car6_2": 487,
    "car6_3": 1807, "car6_4": 2953, "car6_5": 3925, "car8_2": 1357, "car16_2": 415,
    "group1_2": 1333, "group1_3": 2515, "group1_4": 3925, "group2_2": 907, "group2_3": 1771,
    "group3_2": 1567, "group3_3": 2827, "group3_4": 4369, "person2_2": 1189, "person4_2": 1501,
    "person5_2": 877, "person7_2": 1249, "person8_2": 1075, "person12_2": 601,
    "person14_2": 847, "person14_3": 1813, "person17_2": 1501, "person19_2": 1243,
    "person19_3": 2791, "truck4_2": 577, "uav1_2": 1555, "uav1_3": 2473,
}  # fmt: skip


def _files(root, pattern, layout):
    found = sorted(pathlib.Path(root).glob(pattern))
    if not found:
        raise ValueError(f"no {pattern} below {root}; expected the {layout} layout")
    return found


def read_vot(root) -> list[Sequence]:
    """Reads a VOT stack: `list.txt`, `NAME/groundtruth.txt`, `NAME/color/*.jpg` or `NAME/*.jpg`.

    Regions stay as published; `boxes` are upright ones of the same area. `anchor.value`
    gives the anchors, the other `*.tag` and `*.label` files the attributes: the names of
    those that hold for some frame.

    Args:
      root: folder of `list.txt`.

    Returns:
      Sequences in the order of `list.txt`.

    Raises:
      ValueError: `list.txt` is missing or empty, or a file does not fit its images.
    """
    listing = pathlib.Path(root) / "list.txt"
    if not listing.is_file():
        raise ValueError(f"no {listing}; expected the VOT layout, one sequence name a line")
    return [_read_vot_sequence(listing.parent / name) for name in read_names(listing)]


def _read_vot_sequence(folder):
    paths = images(folder / "color") or images(folder)
    regions = groundtruth.read_regions(folder / "groundtruth.txt")
    tags = sorted([*folder.glob("*.tag"), *folder.glob("*.label")])
    fields = {}
    if (folder / "anchor.value").is_file():
        fields["anchors"] = np.sign(read_labels(folder / "anchor.value", len(regions)))
    return assemble(
        folder.name,
        folder,
        paths,
        groundtruth.upright_boxes(regions),
        regions=regions,
        attributes=tuple(tag.stem for tag in tags if read_labels(tag, len(regions)).any()),
        **fields,
    )


def read_lasot(root) -> list[Sequence]:
    """Reads LaSOT: `CLASS/CLASS-N/groundtruth.txt` (1-based), `img/*.jpg`, two flag files.

    Frames that `full_occlusion.txt` or `out_of_view.txt` mark are not visible. Where
    `testing_set.txt` lies in `root`, only its sequences are read.

    Args:
      root: holds the classes, or the sequences themselves.

    Returns:
      Sequences by name.

    Raises:
      ValueError: nothing in that layout, or a file does not fit its images.
    """
    root = pathlib.Path(root)
    files = sorted(root.glob("*/*/groundtruth.txt")) or _files(root, "*/groundtruth.txt", "LaSOT")
    listing = root / "testing_set.txt"
    if listing.is_file():
        names = read_names(listing)
        missing = sorted(set(names) - {file.parent.name for file in files})
        if missing:
            raise ValueError(f"{listing} names {', '.join(missing[:5])}, not found in {root}")
        files = [file for file in files if file.parent.name in names]
    return [_read_lasot_sequence(file.parent) for file in files]


def _read_lasot_sequence(folder):
    boxes = read_boxes(folder / "groundtruth.txt", one_based=True)
    visible = np.ones(len(boxes), bool)
    for flag in ("full_occlusion.txt", "out_of_view.txt"):
        if (folder / flag).is_file():
            visible &= read_labels(folder / flag, len(boxes)) == 0
    frames = folder / "img"
    return assemble(folder.name, frames, images(frames), boxes, visible=visible)


def read_uav(root, *, version: str) -> list[Sequence]:
    """Reads UAV123 or UAV20L: `anno/VERSION/NAME.txt` (1-based), `data_seq/UAV123/FOLDER/*.jpg`.

    Several sequences of UAV123 are parts of one video: car1_2 lies in the folder car1
    from frame 751 on. A box of NaN means that the object is hidden or outside.

    Args:
      root: holds `anno` and `data_seq`.
      version: `UAV123` or `UAV20L`.

    Returns:
      Sequences by name.

    Raises:
      ValueError: nothing in that layout, or images are missing.
    """
    sequences = []
    for file in _files(root, f"anno/{version}/*.txt", version):
        boxes = read_boxes(file, one_based=True)
        videos = pathlib.Path(root) / "data_seq" / "UAV123"
        folder = videos / file.stem
        if not folder.is_dir():
            folder = videos / re.sub(r"_\d+$", "", file.stem)
        first = _UAV_STARTS.get(file.stem, 1)
        paths = [path for path in images(folder) if 0 <= frame_number(path) - first < len(boxes)]
        sequences.append(assemble(file.stem, folder, paths, boxes))
    return sequences


def read_nfs(root, *, fps: int) -> list[Sequence]:
    """Reads NfS: `NAME/FPS/NAME.txt` in VATIC's form, `NAME/FPS/NAME/*.jpg`.

    At 30 frames a second the annotation is that of the 240: every eighth line counts.
    One line or image too many is left out, as in got10k.

    Args:
      root: holds the sequences.
      fps: 30 or 240.

    Returns:
      Sequences by name.

    Raises:
      ValueError: nothing in that layout, or a file does not fit its images.
    """
    sequences = []
    for file in _files(root, f"*/{fps}/*.txt", "NfS"):
        boxes, visible = groundtruth.read_vatic(file)
        folder = file.with_suffix("")
        paths = images(folder)
        if paths and abs(len(boxes) / len(paths) - 8) < 1:
            boxes, visible = boxes[::8], visible[::8]
        if abs(len(boxes) - len(paths)) == 1:
            count = min(len(boxes), len(paths))
            boxes, visible, paths = boxes[:count], visible[:count], paths[:count]
        sequences.append(assemble(file.stem, folder, paths, boxes, visible=visible))
    return sequences


def read_tcolor128(root) -> list[Sequence]:
    """Reads TColor-128: `NAME/NAME_gt.txt` (1-based), `NAME_frames.txt`, `NAME/img/*.jpg`.

    Args:
      root: holds the sequences.

    Returns:
      Sequences by name.

    Raises:
      ValueError: nothing in that layout, or a file does not fit its images.
    """
    sequences = []
    for file in _files(root, "*/*_gt.txt", "TColor-128"):
        folder = file.parent
        listing = folder / f"{file.stem[:-3]}_frames.txt"
        first, last = read_labels(listing, 2)
        if not 0 < first <= last:
            raise ValueError(f"{listing}: expected the first and last frame, got {first},{last}")
        frames = folder / "img"
        paths = [path for path in images(frames) if first <= frame_number(path) <= last]
        sequences.append(assemble(folder.name, frames, paths, read_boxes(file, one_based=True)))
    return sequences


def read_trackingnet(root) -> list[Sequence]:
    """Reads TrackingNet's test set: `TEST/anno/NAME.txt`, `TEST/frames/NAME/0.jpg`, ...

    Only the first box is published (0-based); the others are NaN.

    Args:
      root: holds `TEST`.

    Returns:
      Sequences by name.

    Raises:
      ValueError: nothing in that layout, or images are missing.
    """
    sequences = []
    for file in _files(root, "TEST/anno/*.txt", "TrackingNet"):
        folder = file.parents[1] / "frames" / file.stem
        paths = images(folder)
        boxes = only_first(read_boxes(file, one_based=False), len(paths))
        sequences.append(assemble(file.stem, folder, paths, boxes))
    return sequences


def read_alov(root) -> list[Sequence]:
    """Reads ALOV300++: `alov300++_rectangleAnnotation_full/CLASS/VIDEO.ann`, `imagedata++/...`.

    About every fifth frame has a box, around the four corners that are given; the
    others are NaN. A sequence goes from its first to its last annotated frame.

    Args:
      root: holds the two folders.

    Returns:
      Sequences by name.

    Raises:
      ValueError: nothing in that layout, or images are missing.
    """
    sequences = []
    for file in _files(root, "alov300++_rectangleAnnotation_full/*/*.ann", "ALOV300++"):
        numbers, known = groundtruth.read_sparse(file)
        boxes = np.full((numbers[-1] - numbers[0] + 1, 4), np.nan, np.float32)
        boxes[numbers - numbers[0]] = known
        category = file.parent.name
        folder = pathlib.Path(root) / "imagedata++" / category / file.stem
        paths = [path for path in images(folder) if numbers[0] <= frame_number(path) <= numbers[-1]]
        sequences.append(assemble(file.stem, folder, paths, boxes, attributes=(category,)))
    return sequences


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
