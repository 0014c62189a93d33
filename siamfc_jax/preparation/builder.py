"""The tensorflow-datasets builder of prepared sets.

It needs no TensorFlow: records are array_record files and images stay encoded. Also
by hand, after importing this module:

    builder = tfds.builder("object_crops/vid", data_dir="prepared", file_format="array_record")
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir="ILSVRC2015")
    )
"""

import contextlib
import json
import os
import pathlib
import shutil

import tensorflow_datasets as tfds

from siamfc_jax.data import prepared
from siamfc_jax.files import write_whole
from siamfc_jax.preparation import shards
from siamfc_jax.preparation.video_sets import READERS

STAGING_NAME = ".staging"


class ObjectCrops(tfds.core.dataset_builder.FileReaderBuilder):
    """Patches around annotated objects, one configuration a published set.

    The folder of the published set is `manual_dir` in the words of
    tensorflow-datasets; `file_format` must be array_record.
    """

    name = "object_crops"
    pkg_dir_path = tfds.core.Path(__file__).parent
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = tuple(
        tfds.core.BuilderConfig(name=name, description=reader.layout)
        for name, reader in READERS.items()
    )
    MANUAL_DOWNLOAD_INSTRUCTIONS = "manual_dir is the folder of the published set, unpacked."

    def __init__(self, *, split=None, workers=1, as_is=False, **kwargs):
        """Takes the split of the published set, processes, and whether images are kept."""
        self.source_split, self.workers, self.as_is = split, workers, as_is
        super().__init__(**kwargs)

    @property
    def settings(self) -> dict:
        """What the content of the prepared set depends on, besides its source."""
        dataset = self.builder_config.name
        split = self.source_split or READERS[dataset].split
        return {"dataset": dataset, "split": split, "as_is": self.as_is}

    def _info(self):
        return self.dataset_info_from_configs(features=shards.FEATURES)

    def _download_and_prepare(self, dl_manager, download_config=None):
        folder = pathlib.Path(self.data_dir_root) / STAGING_NAME
        jobs = shards.make_jobs(root=dl_manager.manual_dir, folder=folder, **self.settings)
        pathlib.Path(jobs[0].stem).parent.mkdir(parents=True, exist_ok=True)
        reports = shards.run_jobs(jobs, workers=self.workers)
        report = shards.join_reports(reports)
        if not report.frames:
            raise ValueError(f"no frame can be used:\n{shards.format_report(report)}")
        counts = [report.frames for report in reports]
        self._take_over([(j.stem, n) for j, n in zip(jobs, counts, strict=True) if n])
        text = json.dumps({"settings": self.settings, "report": report._asdict()}, indent=2)
        write_whole(pathlib.Path(self.data_dir) / prepared.REPORT_NAME, text)

    def _take_over(self, stems: list):
        """Moves shards, (stem, number of records) each, to where tensorflow-datasets reads them."""
        split = self.settings["split"]
        template = self._get_filename_template(split_name=split)
        size = 0
        for number, (stem, _) in enumerate(stems):
            place = template.sharded_filepath(shard_index=number, num_shards=len(stems))
            size += os.path.getsize(f"{stem}.array_record")
            os.replace(f"{stem}.array_record", place)
        index = prepared.join_indexes(prepared.load_index(f"{stem}.npz") for stem, _ in stems)
        prepared.save_index(pathlib.Path(self.data_dir) / prepared.INDEX_NAME, index)
        lengths = [length for _, length in stems]
        info = tfds.core.SplitInfo(split, lengths, size, template)
        self.info.set_splits(tfds.core.SplitDict([info]))


def prepare(
    dataset: str,
    source: str | pathlib.Path,
    output: str | pathlib.Path,
    *,
    split: str | None,
    workers: int,
    as_is: bool,
) -> tuple[pathlib.Path, shards.Report]:
    """Makes a prepared set, or finds it made by an earlier call.

    Args:
      dataset: key of `video_sets.READERS`.
      source: folder of the published set.
      output: folder that is to hold this one prepared set.
      split: part of the published set, None for the usual one.
      workers: processes.
      as_is: store the source images unchanged.

    Returns:
      The folder of the records and the `shards.Report`.

    Raises:
      ValueError: nothing can be read or used, or `output` holds another set.
    """
    source, output = pathlib.Path(source), pathlib.Path(output)
    builder = _make_builder(dataset, source, output, split, workers, as_is)
    with contextlib.redirect_stdout(None):  # tfds prints of downloads, of which there are none
        builder.download_and_prepare(
            download_dir=output / STAGING_NAME,
            download_config=tfds.download.DownloadConfig(manual_dir=source),
        )
    folder = pathlib.Path(builder.data_dir)
    leftovers = folder.parent.glob(f"incomplete.*_{folder.name}")  # of calls that were killed
    for path in [output / STAGING_NAME, *leftovers]:
        shutil.rmtree(path, ignore_errors=True)
    return folder, shards.Report(**_read_report(folder / prepared.REPORT_NAME)["report"])


def is_whole(output: str | pathlib.Path) -> bool:
    """Says whether `prepare` has ended in a folder, so that no share of it is missing."""
    reports = pathlib.Path(output).glob(f"{ObjectCrops.name}/*/*/{prepared.REPORT_NAME}")
    return any("incomplete" not in path.parent.name for path in reports)  # of calls killed


def _make_builder(dataset, source, output, split, workers, as_is):
    """Makes a builder; refuses a source that is none, and a place that holds another set."""
    if not source.is_dir() or not any(source.iterdir()):
        raise ValueError(f"no folder {source}, or an empty one; expected a published data set")
    builder = ObjectCrops(
        config=dataset,
        data_dir=output,
        file_format="array_record",
        split=split,
        workers=workers,
        as_is=as_is,
    )
    for path in output.glob(f"{builder.name}/*/*/{prepared.REPORT_NAME}"):
        settings = _read_report(path)["settings"]
        if settings != builder.settings:
            raise ValueError(f"{output} holds {settings}; choose another --output or remove it")
    return builder


def plan(
    dataset: str,
    source: str | pathlib.Path,
    output: str | pathlib.Path,
    *,
    split: str | None,
    as_is: bool,
) -> list[shards.ShardJob]:
    """Cuts the work of `prepare` into jobs for several machines.

    What `shards.write_shard` has done of them, in any order and anywhere, `prepare` finds done.

    Args:
      dataset: key of `video_sets.READERS`.
      source: folder of the published set, the same path on every machine.
      output: folder that is to hold this one prepared set, shared by the machines.
      split: part of the published set, None for the usual one.
      as_is: store the source images unchanged.

    Returns:
      The jobs; the folder that they write to is there.

    Raises:
      ValueError: nothing can be read, or `output` holds another set.
    """
    source, output = pathlib.Path(source), pathlib.Path(output)
    settings = _make_builder(dataset, source, output, split, 1, as_is).settings
    jobs = shards.make_jobs(root=source, folder=output / STAGING_NAME, **settings)
    pathlib.Path(jobs[0].stem).parent.mkdir(parents=True, exist_ok=True)
    return jobs


def _read_report(path):
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        shards.Report(**content["report"])
        return {"settings": content["settings"], "report": content["report"]}
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is damaged ({error}); remove the prepared set and prepare it again"
        ) from None
