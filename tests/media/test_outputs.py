"""No result is written over what is read, none is half of one, and each has one writer."""

import importlib.util
import os
import pathlib
import signal
import subprocess
import sys

import at_once
import pytest

from siamfc_jax.media import outputs

ROOT = pathlib.Path(__file__).parents[2]
LOCKS = pytest.mark.skipif(not importlib.util.find_spec("fcntl"), reason="needs flock")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a video, links to it, and a folder of images."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").write_bytes(b"video")
    (tmp_path / "link.mp4").symlink_to("clip.mp4")
    os.link("clip.mp4", "hard.mp4")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "0.png").write_bytes(b"image")
    (tmp_path / "other").symlink_to("images")
    return tmp_path


@pytest.mark.parametrize(
    "source, output",
    [
        ("clip.mp4", "clip.mp4"),
        ("clip.mp4", "./images/../clip.mp4"),
        ("clip.mp4", "link.mp4"),
        ("clip.mp4", "hard.mp4"),
        ("link.mp4", "clip.mp4"),
        ("images", "images/out.csv"),
        ("images", "other/out.csv"),
        ("other", "images/deep/out.csv"),
        ("images/*.png", "images/0.png"),
    ],
)
def test_output_that_is_an_input(place, source, output):
    with pytest.raises(ValueError, match=r"--output .* (is|lies in) the input .*; choose"):
        outputs.check_outputs([None, source], {"--output": output, "--boxes": None})
    assert (place / "clip.mp4").read_bytes() == b"video"


def test_two_outputs_that_are_one(place):
    (place / "new.csv").symlink_to("out.csv")
    for first, second in [("out.csv", "./out.csv"), ("new.csv", "out.csv")]:
        with pytest.raises(ValueError, match="--boxes and --output are both"):
            outputs.check_outputs(["clip.mp4"], {"--boxes": first, "--output": second})


def test_what_is_no_input_is_allowed(place):
    (place / "a [b].mp4").touch()
    outputs.check_outputs(
        ["images/*.png", "0", "rtsp://camera/1", "a [b].mp4", None],
        {"--output": "out.mp4", "--boxes": "deep/er/out.csv", "--debug": "images.mp4"},
    )
    assert not (place / "deep").exists()


def test_places_that_cannot_be_written(place):
    for output, reason in [("images", "it is a folder"), ("clip.mp4/x/out.csv", "Not a dir")]:
        with pytest.raises(ValueError, match=f"cannot write {output}: {reason}"):
            outputs.check_outputs([], {"--output": output})


def test_new_result_grows_at_its_place(place):
    with outputs.whole("deep/out.txt") as path:
        path.write_text("half")
        assert (place / "deep" / "out.txt").read_text() == "half"


def test_result_that_replaces_another_appears_whole(place):
    with outputs.whole("link.mp4") as path:
        path.write_bytes(b"new")
        assert (place / "clip.mp4").read_bytes() == b"video"
    assert (place / "clip.mp4").read_bytes() == b"new"
    assert (place / "link.mp4").is_symlink()
    assert not list(place.glob("*.part*"))


def test_longest_name_that_systems_take(place):
    name = "ü" * 125 + ".txt"
    for text in ("old", "new"):
        with outputs.whole(name) as path:
            path.write_text(text)
    assert (place / name).read_text() == "new"


def test_failure_leaves_the_older_result_and_tells_the_new_one(place):
    (place / "clip.part.mp4").write_bytes(b"of a run that was killed")

    def fail():
        with outputs.whole("clip.mp4") as path:
            path.write_bytes(b"half")
            raise ValueError("it broke")

    with pytest.raises(ValueError, match=r"it broke; what was written is in .*clip\.part2\.mp4"):
        fail()
    assert (place / "clip.mp4").read_bytes() == b"video"
    assert (place / "clip.part2.mp4").read_bytes() == b"half"
    assert (place / "clip.part.mp4").read_bytes() == b"of a run that was killed"


def test_a_body_that_removes_its_file_leaves_the_older_result(place):
    for name in ("clip.mp4", "new.mp4"):
        with outputs.whole(name) as path:
            path.unlink()
    assert (place / "clip.mp4").read_bytes() == b"video"
    assert not (place / "new.mp4").exists() and not list(place.glob("*.part*"))


def test_an_error_of_a_body_without_a_result_names_no_file(place):
    def fail():
        with outputs.whole("clip.mp4") as path:
            path.unlink()
            raise ValueError("it broke")

    with pytest.raises(ValueError, match=r"^it broke$"):
        fail()
    assert (place / "clip.mp4").read_bytes() == b"video"


@LOCKS
@pytest.mark.parametrize("name", ["clip.mp4", "link.mp4", "new.mp4"])
def test_a_second_writer_is_refused(place, name):
    message = f"another process writes to {name}; wait for its end, or choose another place"
    with outputs.whole(name) as path:
        path.write_bytes(b"fir")
        with pytest.raises(ValueError, match=message):
            outputs.check_outputs([], {"--output": name})
        with pytest.raises(ValueError, match=message), outputs.whole(name):
            pass
        path.write_bytes(b"first")
    assert (place / name).read_bytes() == b"first"
    assert not list(place.glob("*.part*"))
    with outputs.whole(name) as path:  # the first one has ended
        path.write_bytes(b"second")
    assert (place / name).read_bytes() == b"second"


WRITE = """
try:
    with outputs.whole(sys.argv[1]) as path, path.open("r+") as file:
        for _ in range(200):
            file.write(sys.argv[2])
            file.flush()
            time.sleep(0.001)
except ValueError as error:
    sys.exit(2)
"""


@LOCKS
def test_of_writers_that_begin_at_once_one_writes(place):
    for number in range(4):
        calls = [[place / f"{number}.txt", which] for which in "abc"]
        codes = at_once.run_at_once("from siamfc_jax.media import outputs", WRITE, calls)
        assert sorted(codes) == [0, 2, 2]
        assert (place / f"{number}.txt").read_text() == 200 * "abc"[codes.index(0)]


@LOCKS
def test_a_writer_that_is_killed_holds_nobody_up(place):
    code = "import os, sys\nfrom siamfc_jax.media import outputs\n"
    code += "with outputs.whole(sys.argv[1]) as path:\n"
    code += "    path.write_text('half')\n    os.kill(os.getpid(), 9)"
    done = subprocess.run([sys.executable, "-c", code, place / "new.mp4"], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert (place / "new.mp4").read_text() == "half"
    with outputs.whole("new.mp4") as path:
        path.write_text("all")
    assert (place / "new.mp4").read_text() == "all"


def test_a_pipe_is_written_and_stays(place):
    with outputs.whole("/dev/null") as path:
        assert str(path) == "/dev/null"
        path.write_text("x")
    assert not os.path.isfile("/dev/null")
