"""Many videos by one command: what one video gives, whole or absent, whatever dies on the way."""

import csv
import itertools
import pathlib
import pickle
import re
import shutil

import archive_processes
import archive_work
import jax
import pytest
from archive_work import BOX

from siamfc_jax.commands import archive, flags, shell


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return archive_work.make_archive(tmp_path_factory.mktemp("archive"))


def track(place, *words):
    return shell.main(["track", "--weights", str(place / "model"), *map(str, words)])


def plan_of(words):
    return archive.plan(shell.make_parser(words).parse_args(words[1:]))


def read_failures(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def run_here(work, entries, count, stopped, connect):
    """Takes the place of `archive.run_side_by_side`, without processes."""
    return map(work, entries)


def test_an_archive_is_what_single_commands_give(place, capsys, monkeypatch):
    output = place / "results"
    words = ["--manifest", place / "jobs.csv", "--output", output, "--jobs", 2]
    assert track(place, *words) == 1
    said = capsys.readouterr().out
    assert re.search("4 videos, 14 frames in [0-9]+ s\n1 of 4 lines had trouble, see", said), said
    failed = read_failures(output / "failures.csv")
    assert [(row["name"], row["source"]) for row in failed] == [("c", str(place / "clips" / "c"))]
    assert failed[0]["reason"].startswith("no file ") and "\n" not in failed[0]["reason"]

    single = place / "single.csv"
    assert track(place, "--video", place / "clips/a", "--box", BOX, "--boxes", single) == 0
    assert (output / "first" / "a.csv").read_bytes() == single.read_bytes()
    box_words = ["--box", BOX, "--box", "9,15,18,18"]
    assert track(place, "--video", place / "clips/b", *box_words, "--boxes", single) == 0
    assert (output / "b.csv").read_bytes() == single.read_bytes()
    assert (output / "from_file.csv").is_file()
    assert sorted(path.name for path in output.iterdir() if path.name[0] != ".") == [
        "b.csv", "failures.csv", "first", "from_file.csv"]  # fmt: skip

    # What was wrong is mended: the rest alone is done, and nothing else is touched.
    shutil.copytree(place / "clips" / "a", place / "clips" / "c")
    before = (output / "b.csv").stat().st_mtime_ns
    capsys.readouterr()
    monkeypatch.setattr(archive, "run_side_by_side", run_here)
    assert track(place, *words) == 0
    said = capsys.readouterr().out
    assert said.startswith("3 of 4 results are there already\n1 videos, 6 frames in "), said
    assert not (output / "failures.csv").exists()
    assert (output / "c.csv").is_file() and (output / "b.csv").stat().st_mtime_ns == before


def test_all_videos_have_the_model_of_the_begin(place, tmp_path):
    """Also where a training goes on in the folder of the weights; and none loads it anew."""
    shutil.copytree(place / "model", tmp_path / "model")
    words = ["--weights", tmp_path / "model", "--manifest", place / "jobs.csv"]
    words = ["track", *map(str, words), "--output", str(tmp_path / "results")]
    plan = plan_of(words)
    shutil.rmtree(tmp_path / "model")
    work = pickle.loads(pickle.dumps(plan.work))  # as another process gets it
    assert [work(entry).code for entry in plan.waiting[:2]] == [0, 0]
    single = tmp_path / "single.csv"
    assert track(place, "--video", place / "clips/a", "--box", BOX, "--boxes", single) == 0
    assert (tmp_path / "results" / "first" / "a.csv").read_bytes() == single.read_bytes()


def test_videos_stepped_together_are_what_single_commands_give(place, tmp_path, capsys):
    """But for rounding. One has two objects, one a box of a later frame, one is missing."""
    boxes = {"two": [BOX, "9,15,18,18"], "later": [BOX, "2:14,16,16,16"]}
    lines = [f'{place}/clips/a,"{"; ".join(texts)}",{name}' for name, texts in boxes.items()]
    manifest, output = tmp_path / "jobs.csv", tmp_path / "results"
    manifest.write_text("\n".join(["source,boxes,name", f'missing,"{BOX}",', *lines]))
    assert track(place, "--manifest", manifest, "--output", output, "--together", 2) == 1
    assert re.search("3 videos, 12 frames in ", capsys.readouterr().out)
    assert [row["name"] for row in read_failures(output / "failures.csv")] == ["missing"]
    for name, texts in boxes.items():
        single, words = tmp_path / "single.csv", [f"--box={text}" for text in texts]
        assert track(place, "--video", place / "clips/a", *words, "--boxes", single) == 0
        with (output / f"{name}.csv").open() as there, single.open() as here:
            for ours, theirs in zip(csv.reader(there), csv.reader(here), strict=True):
                for mine, other in zip(ours, theirs, strict=True):
                    assert mine == other or float(mine) == pytest.approx(float(other), abs=0.011)


def test_a_result_with_gaps_stays_among_the_troubles(tmp_path, capsys):
    """It is not tracked again, and what is wrong with it is not forgotten."""
    entries = [archive.Entry(name, (BOX,), False, name) for name in "ab"]
    failures = tmp_path / "failures.csv"
    first = archive.Archive(None, 2, entries, None, tmp_path, tmp_path / "p" / "0", failures)
    outcomes = [archive.Outcome(entries[0], 1, 5, "a.mp4 is\ndamaged"),
                archive.Outcome(entries[1], 2, 0, "error: no file b")]  # fmt: skip
    assert archive.follow(first, outcomes) == 1
    reasons = {row["name"]: row["reason"] for row in read_failures(failures)}
    assert reasons == {"a": "a.mp4 is damaged", "b": "no file b"}
    second = first._replace(waiting=entries[1:])
    assert archive.follow(second, [archive.Outcome(entries[1], 0, 5, "")]) == 1
    assert [row["name"] for row in read_failures(failures)] == ["a"]
    assert archive.follow(second, []) == 1  # as after Ctrl-C
    assert "stopped after 0 videos" in capsys.readouterr().out


def test_a_process_that_dies_costs_its_entry_alone():
    entries = ["a", "deadly", "b", "c"]
    outcomes = [*archive.run_side_by_side(archive_processes.count, entries, 1, lambda: False)]
    assert [outcome.entry for outcome in outcomes] == entries
    assert [outcome.code for outcome in outcomes] == [0, 2, 0, 0]
    assert outcomes[1].message == "the process ended with code 9, perhaps as memory was full"
    first, _, third, fourth = (outcome.frames for outcome in outcomes)  # the process that did it
    assert first != third == fourth


def test_an_accelerator_is_left_to_the_processes_that_track(place, tmp_path, monkeypatch):
    """A TPU serves one process; of a GPU's memory the first one would take three quarters."""
    told = {}
    with monkeypatch.context() as patch:
        patch.setattr(jax.config, "update", told.__setitem__)
        words = ["track", "--weights", place / "model", "--manifest", place / "jobs.csv"]
        plan_of([*map(str, words), "--output", str(tmp_path)])
    assert told == {"jax_platforms": "cpu"}
    monkeypatch.delenv("XLA_PYTHON_CLIENT_PREALLOCATE", raising=False)
    (outcome,) = archive.run_side_by_side(archive_processes.allocation, ["a"], 1, lambda: False)
    assert outcome.message == "false"


def test_a_stop_is_no_failure():
    """Ctrl-C ends the processes, too; what they say of it is not an outcome."""
    done = [*archive.run_side_by_side(archive_processes.count, ["a", "deadly"], 2, lambda: True)]
    assert done == []


@pytest.mark.parametrize(
    "text, environment, share",
    [
        (None, {}, (0, 1)),
        ("2/5", {}, (2, 5)),
        (None, {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_MIN": "1",
                "SLURM_ARRAY_TASK_MAX": "8", "SLURM_ARRAY_TASK_STEP": "1"}, (2, 8)),
        (None, {"SLURM_ARRAY_TASK_ID": "6", "SLURM_ARRAY_TASK_MIN": "2",
                "SLURM_ARRAY_TASK_MAX": "8", "SLURM_ARRAY_TASK_STEP": "2"}, (2, 4)),
        ("0/2", {"SLURM_ARRAY_TASK_ID": "3"}, (0, 2)),
    ],
)  # fmt: skip
def test_shares(text, environment, share):
    assert flags.parse_shard(text, environment) == share


def test_shares_are_all_of_it(place):
    entries = archive.read_manifest(str(place / "jobs.csv"))
    parts = [entries[part::3] for part in range(3)]
    assert sorted(itertools.chain(*parts)) == sorted(entries) and len(entries) == 4


@pytest.mark.parametrize(
    "content, error",
    [
        ("source,name\na,b\n", "has no column boxes; its first line must name them: source,boxes"),
        ("source,boxes\n", "has no line below its header"),
        ('source,boxes\na,"1,2,3,4"\n,"1,2,3,4"\n', "line 3: source is empty"),
        ("source,boxes\na,\n", "line 2: boxes is empty"),
        ('source,boxes\nx/a,"1,2,3,4"\ny/a,"1,2,3,4"\n', "line 3: a second result 'a'; give each"),
        ('source,boxes,name\na,"1,2,3,4",../b\n', "'../b' is no name inside of the folder"),
        ('source,boxes,name\na,"1,2,3,4",/b\n', "'/b' is no name inside of the folder"),
        (b"source,boxes\n\xff\xfe", "is not UTF-8 text"),
    ],
)
def test_wrong_manifests(content, error, tmp_path):
    path = tmp_path / "jobs.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=re.escape(error)):
        archive.read_manifest(str(path))


def test_a_manifest_of_a_spreadsheet_is_read(tmp_path):
    path = tmp_path / "jobs.csv"
    path.write_text('source,boxes\r\nrtsp://x/y,"1,2,3,4"\r\n3,"1,2,3,4"\r\n', encoding="utf-8-sig")
    sources = [entry.source for entry in archive.read_manifest(str(path))]
    assert sources == ["rtsp://x/y", "3"]  # a stream and a camera, no paths
    assert archive.read_manifest(str(path))[0].name == "y"


@pytest.mark.parametrize(
    "words, error",
    [
        (["--manifest", "j.csv"], "nowhere to put the results; give --output DIR"),
        (["--manifest", "j.csv", "--output", "o", "--box", BOX],
         "--box is about one video; it does not go with --manifest"),
        (["--manifest", "j.csv", "--output", "o", "--shard", "4/4"], "--shard is I/N with I from"),
        (["--manifest", "j.csv", "--output", "o", "--jobs", "0"], "--jobs must be at least 1"),
        (["--manifest", "j.csv", "--output", "o", "--together", "0"], "--together must be at lea"),
        (["--manifest", "j.csv", "--output", "o", "--together", "2", "--jobs", "2"],
         "--jobs does not go with --together, which starts a process a video"),
        (["--manifest", "j.csv", "--output", "o", "--together", "2", "--chunk", "2"],
         "--together steps one frame of each video, with a network in JAX; leave out --chunk"),
        (["--video", "a.mp4", "--box", BOX, "--boxes", "b.csv", "--together", "2"],
         "--together is about many videos; it goes with --manifest"),
        (["--video", "a.mp4", "--box", BOX, "--boxes", "b.csv", "--jobs", "2"],
         "--jobs is about many videos; it goes with --manifest"),
        (["--video", "a.mp4", "--boxes", "b.csv"], "nothing to follow; give --box X,Y,W,H"),
    ],
)  # fmt: skip
def test_wrong_words(words, error, capsys, monkeypatch):
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID", raising=False)
    assert shell.main(["track", *words]) == 2
    assert capsys.readouterr().err.startswith(f"error: {error}")


def test_a_wrong_model_is_told_once(place, tmp_path, capsys):
    words = ["--manifest", str(place / "jobs.csv"), "--output", str(tmp_path / "o")]
    assert shell.main(["track", "--weights", "nowhere", *words]) == 2
    assert capsys.readouterr().err.startswith("error: no model at nowhere")
    assert not pathlib.Path(tmp_path / "o").exists()
