"""The command, end to end: what it stores, reports, refuses, and resumes after a kill."""

import json
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import tensorflow_datasets as tfds
from training_trees import make_coco, make_got10k, make_vid, write_image

from siamfc_jax.commands import shell
from siamfc_jax.data import prepared
from siamfc_jax.data.prepared import load_index, read_prepared
from siamfc_jax.preparation import shards
from siamfc_jax.preparation.curation import curate
from siamfc_jax.preparation.video_sets import READERS

ROOT = pathlib.Path(__file__).parents[2]


def run(capsys, *args):
    """Runs the command in this process; returns its exit code, output and messages."""
    code = shell.main(["prepare", *args])
    return code, *capsys.readouterr()


def prepare(capsys, dataset, source, output, *args):
    code, out, _ = run(
        capsys, "--dataset", dataset, "--source", source, "--output", output, "--workers", 1, *args
    )
    assert code == 0
    return out


def test_vid_end_to_end(tmp_path, capsys):
    root = make_vid(tmp_path / "vid")
    out = prepare(capsys, "vid", root, tmp_path / "out")
    assert "2 videos, 2 tracks, 6 frames kept\n4 boxes dropped\n" in out
    for line in ("missing image: 2", "corrupt image: 1", "over 90 % of the frame: 1", "absent: 0"):
        assert f"\n  {line}\n" in out
    assert "\n3 files or annotations unreadable\n" in out
    for message in (
        "000004.JPEG (No such file or directory)",
        "000005.JPEG (it is cut off); expected a whole JPEG file",
        "000000.xml is no annotation",
    ):
        assert message in out

    dog, cat = read_prepared(tmp_path / "out")
    assert dog.name.endswith("ILSVRC2015_train_00000003/0") and dog.source == "ilsvrc_vid"
    np.testing.assert_array_equal(dog.frame_numbers, [0, 1, 2, 3])
    np.testing.assert_array_equal(cat.frame_numbers, [2, 3])
    assert dog.boxes.dtype == np.float32 and dog.visible.all()
    unit = READERS["vid"].list_units(root, "train")[0]
    tracks = READERS["vid"].read(root, "train", unit)
    for sequence, crops in zip((dog, cat), curate(tracks, as_is=False)[0], strict=True):
        assert [sequence.frames.encoded(i) for i in range(len(crops))] == [
            crop.image for crop in crops.values()
        ]
        np.testing.assert_array_equal(sequence.boxes, [crop.box for crop in crops.values()])
    index = load_index(prepared.find_prepared(tmp_path / "out") / prepared.INDEX_NAME)
    np.testing.assert_array_equal(index.categories, ["n02084071", "n02121808"])
    np.testing.assert_array_equal(index.occluded, [False, True, False, False, False, False])
    np.testing.assert_array_equal(index.generated, [False] * 5 + [True])

    again = prepare(capsys, "vid", root, tmp_path / "out")
    told = "the whole set is there already, so nothing was done\n"
    assert again == told + out[out.index("records in") :]
    assert not (tmp_path / "out" / ".staging").exists()


def test_tfds_reads_it_as_its_own(tmp_path, capsys):
    """And builds it: `download_and_prepare` with `manual_dir`, as for any tfds set."""
    config = tfds.download.DownloadConfig(manual_dir=make_coco(tmp_path / "coco"))
    builder = tfds.builder("object_crops/coco", data_dir=tmp_path, file_format="array_record")
    builder.download_and_prepare(download_config=config)
    source = builder.as_data_source("train2017")
    assert len(source) == builder.info.splits["train2017"].num_examples == 2
    first, second = source
    assert (first["track"], second["track"]) == (b"000000000007.jpg/1", b"000000000007.jpg/2")
    assert first["image"].shape == (319, 319, 3)
    (sequence, _) = read_prepared(tmp_path)
    np.testing.assert_array_equal(sequence.frames[0], first["image"])
    np.testing.assert_array_equal(sequence.boxes[0], first["box"])
    assert "tensorflow" not in sys.modules


def test_a_tfds_detection_set_is_a_source(tmp_path, capsys):
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(),
            "objects": tfds.features.Sequence(
                {
                    "bbox": tfds.features.BBoxFeature(),
                    "label": tfds.features.ClassLabel(names=["cat", "dog"]),
                    "is_crowd": np.bool_,
                }
            ),
        }
    )
    boxes = [tfds.features.BBox(0.25, 0.125, 0.75, 0.5), tfds.features.BBox(0.0, 0.0, 0.5, 0.5)]
    objects = [
        {"bbox": box, "label": "dog", "is_crowd": crowd}
        for box, crowd in zip(boxes, (False, True), strict=True)
    ]
    example = {"image": str(write_image(tmp_path / "a.jpg")), "objects": objects}
    folder = tmp_path / "data" / "pets" / "1.0.0"
    folder.mkdir(parents=True)
    name = "pets-train.array_record-00000-of-00001"
    writer = shards.ArrayRecordWriter(str(folder / name), "group_size:1")
    writer.write(features.serialize_example(example))
    writer.close()
    template = tfds.core.ShardedFileTemplate(
        data_dir=folder, dataset_name="pets", filetype_suffix="array_record"
    )
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=features,
        split_infos=[tfds.core.SplitInfo("train", [1], 0, template.replace(split="train"))],
        filename_template=template,
        check_data=False,
    )
    prepare(capsys, "tfds:pets", tmp_path / "data", tmp_path / "out", "--as-is")
    (sequence,) = read_prepared(tmp_path / "out")
    # 48 rows, 64 columns; edges are ymin, xmin, ymax, xmax in shares.
    np.testing.assert_array_equal(sequence.boxes, [[8, 12, 24, 24]])
    assert sequence.source == "pets" and sequence.name == "0/0"
    code, _, said = run(
        capsys, "--dataset", "tfds:pets", "--source", tmp_path / "data", "--check-only",
        "--split", "test", "--workers", 1,
    )  # fmt: skip
    assert code == 2 and "splits ['train'] in array_record form; expected split 'test'" in said


def test_broken_annotations_are_left_out_and_listed_with_their_ids(tmp_path, capsys):
    root = make_coco(tmp_path / "coco")
    path = root / "annotations/instances_train2017.json"
    content = json.loads(path.read_text())
    extra = content["annotations"][0]
    content["annotations"] += [extra | {"id": 100 + n, "image_id": 999} for n in range(51)]
    path.write_text(json.dumps(content))
    out = prepare(capsys, "coco", root, tmp_path / "out")
    assert "2 tracks, 2 frames kept" in out and "52 files or annotations unreadable" in out
    assert "annotation 100 has image_id 999, which is not listed" in out
    assert out.endswith("  and 2 more, see report.json\n")
    text = (prepared.find_prepared(tmp_path / "out") / prepared.REPORT_NAME).read_text()
    assert "annotation 150 has image_id 999, which is not listed" in text
    code, out, _ = run(
        capsys, "--dataset", "coco", "--source", root, "--check-only", "--workers", 1
    )
    assert code == 0 and "annotation 150 has" in out and "more, see" not in out


def test_check_only_reports_and_writes_nothing(tmp_path, capsys):
    root = make_vid(tmp_path / "vid")
    before = sorted(tmp_path.rglob("*"))
    code, out, _ = run(capsys, "--dataset", "vid", "--source", root, "--check-only", "--workers", 1)
    assert code == 0 and out.startswith("2 videos, 2 tracks, 6 frames kept\n")
    assert sorted(tmp_path.rglob("*")) == before


def test_commands_of_the_documentation_are_understood():
    lines = (ROOT / "docs" / "data.md").read_text().splitlines()
    commands = [line.split()[1:] for line in lines if line.startswith("    siamfc prepare")]
    parsed = [shell.make_parser(words).parse_args(words[1:]) for words in commands]
    assert {args.dataset.partition(":")[0] for args in parsed} == set(READERS) - {"otb"}


def test_errors(tmp_path, capsys):
    root = make_coco(tmp_path / "coco")
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out"
    for dataset, source, args, said in [
        (
            "imagenet",
            root,
            ["--output", out],
            "unknown --dataset 'imagenet', known are vid, got10k",
        ),
        (
            "coco",
            root,
            [],
            "one of the arguments --output --check-only is required; see siamfc prepare --help",
        ),
        ("coco", root, ["--output", out, "--workers", 0], "--workers must be at least 1, got 0"),
        ("coco", root, ["--output", out, "--split", "a/b"], "digits and _, got 'a/b'"),
        ("coco", root / "none", ["--output", out], "none, or an empty one; expected a published"),
        ("coco", tmp_path / "empty", ["--output", out], "empty, or an empty one"),
        ("vid", root, ["--output", out], "nothing to read for vid, split 'train', in"),
        ("tfds", root, ["--check-only"], "coco holds 0 tensorflow-datasets folders, expected one"),
    ]:
        code, _, text = run(capsys, "--dataset", dataset, "--source", source, *args)
        assert code == 2 and text.startswith("error: ") and said in text
    shutil.rmtree(root / "train2017")
    code, _, text = run(
        capsys, "--dataset", "coco", "--source", root, "--output", out, "--workers", 1
    )
    assert code == 2 and "no frame can be used" in text and "missing image: 5" in text


def test_ctrl_c(tmp_path, capsys, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(shards, "run_jobs", interrupt)
    root = make_coco(tmp_path / "coco")
    code, _, said = run(capsys, "--dataset", "coco", "--source", root, "--check-only")
    assert code == 130 and said == "stopped; the same command goes on from here\n"


def test_a_share_of_a_check_is_refused(capsys):
    words = ["--dataset", "got10k", "--source", "s", "--check-only", "--shard", "0/2"]
    code, _, err = run(capsys, *words)
    assert (code, err) == (2, "error: --shard writes a share; leave out --check-only\n")


def test_another_set_in_the_output_is_refused(tmp_path, capsys):
    root = make_coco(tmp_path / "coco")
    prepare(capsys, "coco", root, tmp_path / "out")
    code, _, said = run(
        capsys, "--dataset", "coco", "--source", root, "--output", tmp_path / "out", "--as-is"
    )
    assert code == 2 and "'as_is': False}; choose another --output or remove it" in said


def stored_shards(folder):
    """Returns whole shard -> time of writing."""
    reports = folder.glob("a/.staging/*/*.json")
    return {path.stem: path.with_suffix(".array_record").stat().st_mtime_ns for path in reports}


def test_kill_and_go_on(tmp_path, capsys):
    """Killed at half, run again: the same bytes as in one go, and nothing is done twice."""
    source = tmp_path / "got10k"
    frame = write_image(tmp_path / "big.jpg", width=1600, height=1200).read_bytes()
    for number in range(48):
        boxes = [[300 + number, 200, 500, 400]] * 4
        folder = make_got10k(source / "train", f"{number:02d}", boxes)
        for image in folder.glob("*.jpg"):
            image.write_bytes(frame)
    command = ["-m", "siamfc_jax", "prepare", "--dataset", "got10k", "--source", source]
    killed = subprocess.Popen(
        [sys.executable, *command, "--output", tmp_path / "a", "--workers", "2"],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    while not list(tmp_path.glob("a/.staging/*/*.json")):
        assert killed.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    time.sleep(0.5)  # its workers follow it: no shard is added from here on
    done = stored_shards(tmp_path)
    time.sleep(0.5)
    assert done == stored_shards(tmp_path) and 1 <= len(done) < 6

    prepare(capsys, "got10k", source, tmp_path / "a")
    prepare(capsys, "got10k", source, tmp_path / "b")
    first, second = (prepared.find_prepared(tmp_path / name) for name in "ab")
    names = sorted(path.name for path in first.iterdir())
    assert names == sorted(path.name for path in second.iterdir()) and len(names) == 6 + 4
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    for shard, written in done.items():
        stored = first / f"object_crops-train.array_record-{shard}-of-00006"
        assert stored.stat().st_mtime_ns == written
    assert json.loads((first / prepared.REPORT_NAME).read_text())["report"]["frames"] == 192
    for root in (tmp_path / "a", tmp_path / "b"):  # nothing is left of the killed run
        assert {path.name for path in root.rglob("*")} - set(names) == {
            "object_crops", "got10k", "1.0.0", ".config", "metadata.json", ".siamfc-lock",
        }  # fmt: skip


def test_shares_of_several_machines_make_one_set(tmp_path, capsys):
    source = tmp_path / "got10k"
    for number in range(18):  # three shards
        make_got10k(source / "train", f"{number:02d}", [[30, 20, 50, 40]] * 2)
    out = prepare(capsys, "got10k", source, tmp_path / "a", "--shard", "0/2")
    assert "share 0 of 2 is done; when all are, the same command without --shard joins" in out
    assert "12 videos, 12 tracks, 24 frames kept" in out
    assert not list((tmp_path / "a").rglob(prepared.INDEX_NAME))
    assert "6 videos" in prepare(capsys, "got10k", source, tmp_path / "a", "--shard", "1/2")
    done = stored_shards(tmp_path)
    assert len(done) == 3
    prepare(capsys, "got10k", source, tmp_path / "a")
    prepare(capsys, "got10k", source, tmp_path / "b")
    first, second = (prepared.find_prepared(tmp_path / name) for name in "ab")
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes(), path.name
    for shard, written in done.items():  # joined, not done anew
        stored = first / f"object_crops-train.array_record-{shard}-of-00003"
        assert stored.stat().st_mtime_ns == written
    before = sorted((tmp_path / "a").rglob("*"))
    out = prepare(capsys, "got10k", source, tmp_path / "a", "--shard", "1/2")
    assert out.startswith("the whole set is there already, so nothing was done\nrecords in ")
    assert "18 videos, 18 tracks, 36 frames kept" in out
    assert sorted((tmp_path / "a").rglob("*")) == before
