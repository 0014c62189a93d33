"""Cuts a published data set into shards of work and writes them, side by side.

A shard is a fixed share of the videos. Its report is written last, so a shard with a report
is whole. After a kill the same call therefore skips the shards that are done; the files are
the same byte for byte whatever the number of workers.
"""

import collections
import concurrent.futures
import contextlib
import io
import json
import multiprocessing
import os
import pathlib
import signal
import zlib
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter
from tqdm import tqdm

from siamfc_jax import signals
from siamfc_jax.data import prepared
from siamfc_jax.data.annotations import Track
from siamfc_jax.files import write_whole
from siamfc_jax.preparation import curation, video_sets

MAX_SHARDS = 128  # what a kill may cost: a share of 1 / 128 for each worker
MIN_UNITS = 8  # videos in a shard, so that a small set is not a heap of tiny files
RECORD_OPTIONS = "group_size:1,uncompressed"  # any record alone; JPEG does not shrink further
FEATURES = tfds.features.FeaturesDict(
    {
        "image": tfds.features.Image(shape=(None, None, 3)),
        "box": tfds.features.Tensor(shape=(4,), dtype=np.float32),
        "track": tfds.features.Text(),
        "frame": np.int64,
    }
)
SERIALIZER = tfds.core.ExampleSerializer(FEATURES.get_serialized_info())


class ShardJob(NamedTuple):
    """One shard to be written.

    Attributes:
      dataset: key of `video_sets.READERS`.
      root: folder of the published set.
      split: part of it.
      units: what the reader listed.
      stem: path of the files to write, without ending; "" to check only.
      as_is: whether source images are kept.
    """

    dataset: str
    root: str
    split: str
    units: list
    stem: str
    as_is: bool


class Report(NamedTuple):
    """What a preparation found.

    Attributes:
      videos: videos or still images read.
      tracks: objects with at least one good frame.
      frames: crops stored.
      dropped: reason -> boxes left out.
      unreadable: messages on files and annotations that could not be read.
    """

    videos: int
    tracks: int
    frames: int
    dropped: dict
    unreadable: list


def join_reports(reports: list[Report]) -> Report:
    """Adds reports up."""
    dropped = collections.Counter()
    for report in reports:
        dropped.update(report.dropped)
    return Report(
        videos=sum(report.videos for report in reports),
        tracks=sum(report.tracks for report in reports),
        frames=sum(report.frames for report in reports),
        dropped={reason: dropped[reason] for reason in curation.REASONS},
        unreadable=[message for report in reports for message in report.unreadable],
    )


def format_report(report: Report, *, shown: int | None = None) -> str:
    """Returns a report as lines of text.

    Args:
      report: what was found.
      shown: how many messages to print; the others are in the report file. None for all.
    """
    lines = [f"{report.videos} videos, {report.tracks} tracks, {report.frames} frames kept"]
    lines += [f"{sum(report.dropped.values())} boxes dropped"]
    lines += [f"  {reason}: {count}" for reason, count in report.dropped.items()]
    lines += [f"{len(report.unreadable)} files or annotations unreadable"]
    lines += [f"  {message}" for message in report.unreadable[:shown]]
    if shown is not None and len(report.unreadable) > shown:
        lines += [f"  and {len(report.unreadable) - shown} more, see {prepared.REPORT_NAME}"]
    return "\n".join(lines)


def make_jobs(
    *,
    dataset: str,
    root: str | pathlib.Path,
    split: str,
    as_is: bool,
    folder: str | pathlib.Path | None,
) -> list[ShardJob]:
    """Cuts a published data set into shards of work.

    Args:
      dataset: key of `video_sets.READERS`.
      root: folder of the published set.
      split: part of it.
      as_is: keep the source images instead of cutting patches.
      folder: below it shards are written, in a folder named by the work, so that a
        later call with the same work finds them; None to check only.

    Returns:
      Jobs for `write_shard`, the same whatever the number of workers.

    Raises:
      ValueError: nothing in the layout of the set lies below `root`.
    """
    reader = video_sets.READERS[dataset]
    units = reader.list_units(pathlib.Path(root), split)
    if not units:
        raise ValueError(
            f"nothing to read for {dataset}, split '{split}', in {root}; expected {reader.layout}"
        )
    count = min(MAX_SHARDS, -(-len(units) // MIN_UNITS))
    bounds = [len(units) * shard // count for shard in range(count + 1)]
    work = zlib.crc32(repr((dataset, split, as_is, units)).encode())
    stems = [f"{folder}/{work:08x}/{shard:05d}" if folder else "" for shard in range(count)]
    return [
        ShardJob(dataset, str(root), split, units[start:stop], stem, as_is)
        for start, stop, stem in zip(bounds, bounds[1:], stems, strict=False)
    ]


def write_shard(job: ShardJob) -> Report:
    """Curates the videos of a shard and, unless it is a check, writes its files.

    Args:
      job: one of those that `make_jobs` returns.

    Returns:
      What was found, also where an earlier call has written it.
    """
    done, stored = pathlib.Path(f"{job.stem}.json"), pathlib.Path(f"{job.stem}.array_record")
    if job.stem and done.is_file() and stored.is_file():
        return Report(**json.loads(done.read_text(encoding="utf-8")))
    partial = f"{job.stem}-{os.getpid()}.partial"
    writer = ArrayRecordWriter(partial, RECORD_OPTIONS) if job.stem else None
    indexes, reports = [EMPTY_INDEX], []
    for unit in job.units:
        try:
            tracks = video_sets.READERS[job.dataset].read(pathlib.Path(job.root), job.split, unit)
        except (ValueError, OSError) as error:
            reports.append(Report(1, 0, 0, {}, [str(error)]))
            continue
        crops, dropped, messages = curation.curate(tracks, as_is=job.as_is)
        kept = [(track, usable) for track, usable in zip(tracks, crops, strict=True) if usable]
        frames = sum(len(usable) for _, usable in kept)
        reports.append(Report(1, len(kept), frames, dropped, messages))
        for track, usable in kept if writer else ():
            indexes.append(_index_track(track, usable))
            for index, crop in usable.items():
                writer.write(_serialize(track, index, crop))
    report = join_reports(reports)
    if writer:
        writer.close()
        os.replace(partial, stored)
        prepared.save_index(f"{job.stem}.npz", prepared.join_indexes(indexes))
        write_whole(done, json.dumps(report._asdict()))
    return report


EMPTY_INDEX = prepared.Index(
    *(np.empty(0, str) for _ in range(3)),
    lengths=np.empty(0, np.int64),
    boxes=np.empty((0, 4), np.float32),
    frame_numbers=np.empty(0, np.int64),
    occluded=np.empty(0, bool),
    generated=np.empty(0, bool),
)


def _index_track(track: Track, crops: dict) -> prepared.Index:
    kept = list(crops)
    return prepared.Index(
        names=np.array([track.sequence.name]),
        categories=np.array([track.sequence.category]),
        sources=np.array([track.sequence.source]),
        lengths=np.array([len(kept)]),
        boxes=np.stack([crop.box for crop in crops.values()]),
        frame_numbers=track.sequence.frame_numbers[kept],
        occluded=track.sequence.occluded[kept],
        generated=track.generated[kept],
    )


def _serialize(track: Track, index: int, crop: curation.Crop) -> bytes:
    example = {
        "image": io.BytesIO(crop.image),
        "box": crop.box,
        "track": track.sequence.name,
        "frame": int(track.sequence.frame_numbers[index]),
    }
    proto = SERIALIZER.get_tf_example(FEATURES.encode_example(example))
    # Otherwise the order of the features changes from process to process.
    return proto.SerializeToString(deterministic=True)


def run_jobs(jobs: list[ShardJob], *, workers: int) -> list[Report]:
    """Runs `write_shard` on every job.

    Args:
      jobs: what `make_jobs` returns.
      workers: processes; 1 works in this one.

    Returns:
      Reports in the order of the jobs.
    """
    reports = []
    with contextlib.ExitStack() as stack:
        results = map(write_shard, jobs)
        if workers > 1:
            pool = concurrent.futures.ProcessPoolExecutor(
                workers,
                multiprocessing.get_context("spawn"),
                initializer=signals.follow_parent,
                initargs=(signal.SIGINT,),  # it finishes its shard
            )
            stack.callback(pool.shutdown, cancel_futures=True)
            results = pool.map(write_shard, jobs)
        total = sum(len(job.units) for job in jobs)
        progress = stack.enter_context(tqdm(total=total, unit="video"))
        for job, report in zip(jobs, results, strict=True):
            reports.append(report)
            progress.update(len(job.units))
    return reports
