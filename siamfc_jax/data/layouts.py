"""The layouts in which annotated videos are published, each read by one function.

`list_NAME` finds the sequences of a layout quickly, `read_NAME_sequence` reads one of them.
Evaluation reads whole sets with `read_NAME`, which refuses a set of which anything is wrong.
Preparation reads one sequence after another with `strict=False`: single images may be missing
there, and a sequence that cannot be read is left out.
"""

import functools
import pathlib
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from siamfc_jax.data import groundtruth, otb_table
from siamfc_jax.data.groundtruth import read_boxes, read_labels, read_names
from siamfc_jax.data.sequences import Sequence, frame_number, make_sequence
from siamfc_jax.images import list_images

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


def list_files(root: str | pathlib.Path, *patterns: str) -> list[pathlib.Path]:
    """Lists the files and folders of some patterns, by name.

    Args:
      root: folder.
      patterns: globs below it.

    Returns:
      The paths; hidden ones, which systems leave beside files (`._NAME`), are left out.
    """
    root = pathlib.Path(root)
    paths = [path for pattern in patterns for path in root.glob(pattern)]
    return sorted(p for p in paths if not any(s[0] == "." for s in p.relative_to(root).parts))


def _read_set(root, units: Iterable, read: Callable, missing: str) -> list[Sequence]:
    """Reads every sequence of a set, each with a first box to start a tracker from."""
    sequences = [read(unit) for unit in units]
    if not sequences:
        raise ValueError(missing)
    for sequence in sequences:
        if not _is_solid(sequence.boxes[0]):
            raise ValueError(
                f"the first box of {sequence.name} in {root} is "
                f"{','.join(f'{value:g}' for value in sequence.boxes[0])}; expected finite numbers "
                "and a positive width and height, as a tracker starts from it"
            )
    return sequences


def _is_solid(box):
    return np.isfinite(box).all() and (box[2:] > 0).all()


def _only_first(boxes, length):
    """Fills up with NaN where a test set publishes just the first of `length` boxes."""
    if len(boxes) != 1 or length < 1:
        return boxes
    return np.concatenate([boxes, np.full((length - 1, 4), np.nan, np.float32)])


def _flags(path, length, *, missing):
    return read_labels(path, length) if path.is_file() else np.full(length, missing)


def list_otb(root: str | pathlib.Path, version: str | None = None) -> list[pathlib.Path]:
    """Lists the annotation files of the OTB layout: `NAME/groundtruth_rect*.txt`.

    Two objects in one video have files that end in `.1.txt` and `.2.txt`; an empty one of
    these (Human4) is left out.

    Args:
      root: holds the folders.
      version: `2013`, `50` or `100`, of which every sequence must be there; None
        takes what is there.

    Returns:
      Paths by name.

    Raises:
      ValueError: sequences of the version are missing.
    """
    files = list_files(root, "*/groundtruth_rect*.txt")
    if version is not None and files:
        names = otb_table.VERSIONS[version]
        missing = sorted(set(names) - {file.parent.name for file in files})
        if missing:
            raise ValueError(f"OTB-{version} needs {', '.join(missing)}, not found in {root}")
        files = [file for file in files if file.parent.name in names]
    return [file for file in files if not _otb_object(file) or file.read_bytes().strip()]


def _otb_object(file):
    """Returns the number of the object in its video, "" where it is the only one."""
    return file.stem.removeprefix("groundtruth_rect").strip(".")


def read_otb_sequence(file: pathlib.Path, *, strict: bool = True) -> Sequence:
    """Reads `NAME/groundtruth_rect.txt`, whose boxes are 1-based, and `NAME/img/*.jpg`.

    The known frame ranges are applied. Numbers do not begin at 1 everywhere, so no image may
    be missing here, strict or not.

    Args:
      file: the annotation file.
      strict: makes no difference.

    Returns:
      The sequence, named NAME, or NAME-1 and NAME-2 for two objects in one video.

    Raises:
      ValueError: there are not as many boxes as images.
    """
    folder, number = file.parent, _otb_object(file)
    first, last = otb_table.RANGES.get(folder.name, (0, np.inf))
    frames = folder / "img"
    paths = list_images(frames)
    if folder.name in otb_table.RANGES:
        paths = [path for path in paths if first <= frame_number(path) <= last]
    name = f"{folder.name}-{number}" if number else folder.name
    attributes = otb_table.ATTRIBUTES_OF.get(folder.name, ())
    boxes = read_boxes(file, one_based=True)
    return make_sequence(name, frames, paths, boxes, attributes=attributes)


def read_otb(root: str | pathlib.Path, *, version: str | None = None) -> list[Sequence]:
    """Reads sequences in the OTB layout, see `read_otb_sequence`.

    Args:
      root: holds the folders.
      version: see `list_otb`.

    Returns:
      Sequences by name.

    Raises:
      ValueError: nothing in that layout lies below `root`, sequences of the version
        are missing, or one does not have as many boxes as images.
    """
    missing = f"no NAME/groundtruth_rect.txt below {root}; expected the OTB layout"
    return _read_set(root, list_otb(root, version), read_otb_sequence, missing)


def list_got10k(root: str | pathlib.Path, split: str) -> list[pathlib.Path]:
    """Lists the folders that `root/split/list.txt` names; none where it is missing."""
    listing = pathlib.Path(root) / split / "list.txt"
    return [listing.parent / name for name in read_names(listing)] if listing.is_file() else []


def list_folders(root: str | pathlib.Path, split: str = "") -> list[pathlib.Path]:
    """Lists the folders of videos of one's own: `NAME/groundtruth.txt`; no split is known."""
    return [file.parent for file in list_files(root, "*/groundtruth.txt")]


def read_got10k_sequence(folder: pathlib.Path, *, strict: bool = True) -> Sequence:
    """Reads `NAME/groundtruth.txt`, whose boxes are 0-based, and `NAME/*.jpg`.

    The object is absent where `absence.label` is not 0, or `cover.label`, the part in sight
    in eighths, is 0. `source_frames` in `meta_info.ini` gives the original frame numbers.
    Where only the first box is published, the others are NaN.

    Args:
      folder: of one video.
      strict: whether every image must be there; else they are found by number, from 1.

    Returns:
      The sequence.

    Raises:
      ValueError: a file cannot be read, or boxes and images do not belong together.
    """
    paths = list_images(folder)
    boxes = read_boxes(folder / "groundtruth.txt", one_based=False)
    boxes = _only_first(boxes, len(paths)) if strict else boxes
    absence = _flags(folder / "absence.label", len(boxes), missing=0)
    cover = _flags(folder / "cover.label", len(boxes), missing=8)
    meta = _read_meta(folder / "meta_info.ini", len(boxes))
    return make_sequence(
        folder.name,
        folder,
        paths,
        boxes,
        visible=(absence == 0) & (cover > 0),
        first=None if strict else 1,
        frame_numbers=meta.source_frames,
        source=meta.source,
        category=meta.category,
        occluded=cover < 8,
    )


def read_got10k(root: str | pathlib.Path, split: str) -> list[Sequence]:
    """Reads the GOT-10k layout, see `read_got10k_sequence`.

    Args:
      root: folder that holds the split.
      split: `train`, `val` or `test`.

    Returns:
      Sequences in the order of `list.txt`.

    Raises:
      ValueError: `list.txt` is missing or empty, or a sequence cannot be read.
    """
    listing = pathlib.Path(root) / split / "list.txt"
    missing = f"no {listing}; expected the GOT-10k layout, one track name a line"
    return _read_set(root, list_got10k(root, split), read_got10k_sequence, missing)


class _Meta(NamedTuple):
    """What the `meta_info.ini` of a track says.

    Attributes:
      category: class of the object, or "".
      source: name of the set that the track came from, or "".
      source_frames: i64[T] frame numbers in the source video; 0 to T - 1 where it says none.
    """

    category: str
    source: str
    source_frames: np.ndarray


def _read_meta(path, length):
    """Reads the `key: value` lines of a `meta_info.ini`; the file may be missing."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    pairs = (line.partition(":") for line in text.splitlines())
    entries = {key.strip(): value.strip() for key, colon, value in pairs if colon}
    numbers = entries.get("source_frames", " ".join(map(str, range(length)))).split()
    if len(numbers) != length or not all(re.fullmatch(r"\d{1,9}", n) for n in numbers):
        raise ValueError(
            f"source_frames in {path} must be {length} frame numbers, "
            f"got {' '.join(numbers)[:80]!r}"
        )
    source_frames = np.array([int(number) for number in numbers], np.int64)
    return _Meta(entries.get("object_class", ""), entries.get("source", ""), source_frames)


def list_lasot(
    root: str | pathlib.Path, split: str, *, named_only: bool = False
) -> list[pathlib.Path]:
    """Lists the folders of LaSOT: `CLASS/CLASS-N`, as far as `SPLIT_set.txt` names them.

    Args:
      root: holds the classes, or the sequences themselves.
      split: `training` or `testing`.
      named_only: whether there is nothing to read without `SPLIT_set.txt`, so that
        training never sees a sequence of the test set; else all are read then.

    Returns:
      Folders of the sequences.

    Raises:
      ValueError: the list names a sequence that is not there.
    """
    root = pathlib.Path(root)
    listing = root / f"{split}_set.txt"
    if not listing.is_file() and named_only:
        return []
    files = list_files(root, "*/*/groundtruth.txt") or list_files(root, "*/groundtruth.txt")
    folders = [file.parent for file in files]
    if not listing.is_file():
        return folders
    names = read_names(listing)
    if named_only:  # a sequence that is not there is left out and counted when it is read
        return [root / name.rpartition("-")[0] / name for name in names]
    missing = sorted(set(names) - {folder.name for folder in folders})
    if missing and folders:
        raise ValueError(f"{listing} names {', '.join(missing[:5])}, not found in {root}")
    return [folder for folder in folders if folder.name in names]


def read_lasot_sequence(folder: pathlib.Path, *, strict: bool = True) -> Sequence:
    """Reads `groundtruth.txt`, whose boxes are 1-based, and `img/*.jpg` of one sequence.

    The object is absent in frames that `full_occlusion.txt` or `out_of_view.txt` mark.

    Args:
      folder: of the sequence.
      strict: whether every image must be there; else they are found by number, from 1.

    Returns:
      The sequence.

    Raises:
      ValueError: a file cannot be read, or boxes and images do not belong together.
    """
    boxes = read_boxes(folder / "groundtruth.txt", one_based=True)
    hidden = _flags(folder / "full_occlusion.txt", len(boxes), missing=0)
    away = _flags(folder / "out_of_view.txt", len(boxes), missing=0)
    return make_sequence(
        folder.name,
        folder / "img",
        list_images(folder / "img"),
        boxes,
        visible=(hidden == 0) & (away == 0),
        first=None if strict else 1,
        category=folder.name.rpartition("-")[0],
    )


def read_lasot(root: str | pathlib.Path) -> list[Sequence]:
    """Reads LaSOT, see `read_lasot_sequence`.

    Where `testing_set.txt` lies in `root`, only its sequences are read.

    Args:
      root: holds the classes, or the sequences themselves.

    Returns:
      Sequences by name.

    Raises:
      ValueError: nothing in that layout, or a file does not fit its images.
    """
    missing = f"no */groundtruth.txt below {root}; expected the LaSOT layout"
    return _read_set(root, list_lasot(root, "testing"), read_lasot_sequence, missing)


def list_trackingnet(root: str | pathlib.Path, split: str) -> list[pathlib.Path]:
    """Lists the annotation files of TrackingNet: `SPLIT/anno/NAME.txt`."""
    return list_files(root, f"{split}/anno/*.txt")


def read_trackingnet_sequence(file: pathlib.Path, *, strict: bool = True) -> Sequence:
    """Reads `anno/NAME.txt`, whose boxes are 0-based, and `frames/NAME/0.jpg`, ...

    Args:
      file: the annotation file.
      strict: whether every image must be there, and a single box means that the others are
        not published; else images are found by number, from 0.

    Returns:
      The sequence.

    Raises:
      ValueError: boxes and images do not belong together.
    """
    folder = file.parents[1] / "frames" / file.stem
    paths = list_images(folder)
    boxes = read_boxes(file, one_based=False)
    boxes = _only_first(boxes, len(paths)) if strict else boxes
    return make_sequence(file.stem, folder, paths, boxes, first=None if strict else 0)


def read_trackingnet(root: str | pathlib.Path) -> list[Sequence]:
    """Reads TrackingNet's test set, of which only the first boxes are published.

    Args:
      root: holds `TEST`.

    Returns:
      Sequences by name.

    Raises:
      ValueError: nothing in that layout, or images are missing.
    """
    missing = f"no TEST/anno/*.txt below {root}; expected the TrackingNet layout"
    units = list_trackingnet(root, "TEST")
    return _read_set(root, units, read_trackingnet_sequence, missing)


def read_vot(root: str | pathlib.Path) -> list[Sequence]:
    """Reads a VOT stack: `list.txt`, see `read_vot_sequence`.

    Args:
      root: folder of `list.txt`.

    Returns:
      Sequences in the order of `list.txt`.

    Raises:
      ValueError: `list.txt` is missing or empty, or a file does not fit its images.
    """
    listing = pathlib.Path(root) / "list.txt"
    missing = f"no {listing}; expected the VOT layout, one sequence name a line"
    names = read_names(listing) if listing.is_file() else []
    return _read_set(root, (listing.parent / name for name in names), read_vot_sequence, missing)


def read_vot_sequence(folder: pathlib.Path) -> Sequence:
    """Reads `groundtruth.txt` and `color/*.jpg` or `*.jpg` of one sequence.

    Regions stay as published; `boxes` are upright ones of the same area. `anchor.value`
    gives the anchors, the other `*.tag` and `*.label` files the attributes: the names of
    those that hold for some frame.

    Args:
      folder: of the sequence.

    Returns:
      The sequence.

    Raises:
      ValueError: a file does not fit its images.
    """
    paths = list_images(folder / "color") or list_images(folder)
    regions = groundtruth.read_regions(folder / "groundtruth.txt")
    tags = list_files(folder, "*.tag", "*.label")
    fields = {}
    if (folder / "anchor.value").is_file():
        fields["anchors"] = np.sign(read_labels(folder / "anchor.value", len(regions)))
    return make_sequence(
        folder.name,
        folder,
        paths,
        groundtruth.upright_boxes(regions),
        regions=regions,
        attributes=tuple(tag.stem for tag in tags if read_labels(tag, len(regions)).any()),
        **fields,
    )


def read_uav(root: str | pathlib.Path, *, version: str) -> list[Sequence]:
    """Reads UAV123 or UAV20L, see `read_uav_sequence`.

    Args:
      root: holds `anno` and `data_seq`.
      version: `UAV123` or `UAV20L`.

    Returns:
      Sequences by name.

    Raises:
      ValueError: nothing in that layout, or images are missing.
    """
    pattern = f"anno/{version}/*.txt"
    missing = f"no {pattern} below {root}; expected the {version} layout"
    return _read_set(root, list_files(root, pattern), read_uav_sequence, missing)


def read_uav_sequence(file: pathlib.Path) -> Sequence:
    """Reads `anno/VERSION/NAME.txt`, 1-based, and `data_seq/UAV123/FOLDER/*.jpg`.

    Several sequences of UAV123 are parts of one video: car1_2 lies in the folder car1
    from frame 751 on. A box of NaN means that the object is hidden or outside.

    Args:
      file: the annotation file.

    Returns:
      The sequence.

    Raises:
      ValueError: images are missing.
    """
    boxes = read_boxes(file, one_based=True)
    videos = file.parents[2] / "data_seq" / "UAV123"
    folder = videos / file.stem
    if not folder.is_dir():
        folder = videos / re.sub(r"_\d+$", "", file.stem)
    first = _UAV_STARTS.get(file.stem, 1)
    paths = [p for p in list_images(folder) if 0 <= frame_number(p) - first < len(boxes)]
    return make_sequence(file.stem, folder, paths, boxes)


def read_nfs(root: str | pathlib.Path, *, fps: int) -> list[Sequence]:
    """Reads NfS, see `read_nfs_sequence`.

    Args:
      root: holds the sequences.
      fps: 30 or 240.

    Returns:
      Sequences by name.

    Raises:
      ValueError: nothing in that layout, or a file does not fit its images.
    """
    pattern = f"*/{fps}/*.txt"
    missing = f"no {pattern} below {root}; expected the NfS layout"
    return _read_set(root, list_files(root, pattern), read_nfs_sequence, missing)


def read_nfs_sequence(file: pathlib.Path) -> Sequence:
    """Reads `NAME/FPS/NAME.txt` in VATIC's form and `NAME/FPS/NAME/*.jpg`.

    At 30 frames a second the annotation is that of the 240: every eighth line counts.
    One line or image too many is left out, as in got10k.

    Args:
      file: the annotation file.

    Returns:
      The sequence.

    Raises:
      ValueError: the file does not fit its images.
    """
    boxes, visible = groundtruth.read_vatic(file)
    folder = file.with_suffix("")
    paths = list_images(folder)
    if paths and abs(len(boxes) / len(paths) - 8) < 1:
        boxes, visible = boxes[::8], visible[::8]
    if paths and abs(len(boxes) - len(paths)) == 1:
        count = min(len(boxes), len(paths))
        boxes, visible, paths = boxes[:count], visible[:count], paths[:count]
    return make_sequence(file.stem, folder, paths, boxes, visible=visible)


def read_tcolor128(root: str | pathlib.Path) -> list[Sequence]:
    """Reads TColor-128, see `read_tcolor128_sequence`.

    Args:
      root: holds the sequences.

    Returns:
      Sequences by name.

    Raises:
      ValueError: nothing in that layout, or a file does not fit its images.
    """
    missing = f"no */*_gt.txt below {root}; expected the TColor-128 layout"
    return _read_set(root, list_files(root, "*/*_gt.txt"), read_tcolor128_sequence, missing)


def read_tcolor128_sequence(file: pathlib.Path) -> Sequence:
    """Reads `NAME/NAME_gt.txt`, 1-based, `NAME_frames.txt` and `NAME/img/*.jpg`.

    Args:
      file: the annotation file.

    Returns:
      The sequence.

    Raises:
      ValueError: a file does not fit its images.
    """
    folder = file.parent
    listing = folder / f"{file.stem[:-3]}_frames.txt"
    first, last = read_labels(listing, 2)
    if not 0 < first <= last:
        raise ValueError(f"{listing}: expected the first and last frame, got {first},{last}")
    frames = folder / "img"
    paths = [path for path in list_images(frames) if first <= frame_number(path) <= last]
    return make_sequence(folder.name, frames, paths, read_boxes(file, one_based=True))


def read_alov(root: str | pathlib.Path) -> list[Sequence]:
    """Reads ALOV300++: `alov300++_rectangleAnnotation_full/CLASS/VIDEO.ann`, `imagedata++/...`.

    Args:
      root: holds the two folders.

    Returns:
      Sequences by name.

    Raises:
      ValueError: nothing in that layout, or images are missing.
    """
    pattern = "alov300++_rectangleAnnotation_full/*/*.ann"
    missing = f"no {pattern} below {root}; expected the ALOV300++ layout"
    read = functools.partial(read_alov_sequence, images=pathlib.Path(root) / "imagedata++")
    return _read_set(root, list_files(root, pattern), read, missing)


def read_alov_sequence(file: pathlib.Path, *, images: pathlib.Path) -> Sequence:
    """Reads `CLASS/VIDEO.ann` and the images `CLASS/VIDEO/*.jpg` of another folder.

    About every fifth frame has a box, around the four corners that are given; the
    others are NaN. A sequence goes from its first to its last annotated frame.

    Args:
      file: the annotation file.
      images: folder of the classes' images.

    Returns:
      The sequence.

    Raises:
      ValueError: images are missing.
    """
    numbers, known = groundtruth.read_sparse(file)
    boxes = np.full((numbers[-1] - numbers[0] + 1, 4), np.nan, np.float32)
    boxes[numbers - numbers[0]] = known
    category = file.parent.name
    folder = images / category / file.stem
    paths = [p for p in list_images(folder) if numbers[0] <= frame_number(p) <= numbers[-1]]
    return make_sequence(file.stem, folder, paths, boxes, attributes=(category,))
