"""The command refuses wrong files before it opens any, and tells damage by its exit code."""

import av
import numpy as np
import pytest
import tiny_networks

import track
from siamfc_jax.config import TrackerConfig
from siamfc_jax.media import box_files, video
from siamfc_jax.network import saved_models


@pytest.mark.parametrize(
    "words, message",
    [
        (["--output", "clip.mp4"], "--output clip.mp4 is the input clip.mp4; choose another place"),
        (["--boxes", "clip.mp4", "--format", "csv"], "--boxes clip.mp4 is the input clip.mp4"),
        (["--debug", "a.mp4", "--output", "./a.mp4"], "--output and --debug are both ./a.mp4"),
        (["--output", "a.avi"], "a.avi must end in .mp4; video is written as H.264"),
        (["--boxes", "a.dat"], "a.dat must end in .csv, .json or .txt"),
        (["--output", "clip.mp4/a.mp4"], "cannot write clip.mp4/a.mp4: Not a directory"),
    ],
)
def test_outputs_are_refused_at_once(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").write_bytes(b"not even opened")
    assert track.main(["--video", "clip.mp4", "--box", "1,2,30,40", *words]) == 2
    assert message in capsys.readouterr().err
    assert (tmp_path / "clip.mp4").read_bytes() == b"not even opened"


def test_box_file_is_not_written_over(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("x,y,w,h\n1,2,3,4\n")
    assert track.main(["--video", "0", "--box-file", "a.csv", "--boxes", "a.csv"]) == 2
    assert "--boxes a.csv is the input a.csv" in capsys.readouterr().err


def test_frame_that_the_box_file_lacks(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with video.video_writer("clip.mp4", (48, 64, 3), fps=10) as write:
        for _ in range(3):
            write(np.zeros((48, 64, 3), np.uint8))
    (tmp_path / "a.csv").write_text("frame,x,y,w,h\n0,1,2,3,4\n")
    words = ["--video", "clip.mp4", "--start", "1", "--box-file", "a.csv", "--boxes", "b.csv"]
    assert track.main(words) == 2
    assert "a.csv has no key box from frame 1 on; mend it, or --start" in capsys.readouterr().err
    assert not (tmp_path / "b.csv").exists()


def test_damage_is_left_out_and_told_by_the_exit_code(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    with video.video_writer("a.mp4", (48, 64, 3), fps=10) as write:
        for _ in range(70):  # a key frame every 30
            write(rng.integers(0, 255, (48, 64, 3)).astype(np.uint8))
    with av.open("a.mp4") as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    data = bytearray((tmp_path / "a.mp4").read_bytes())
    data[places[40] + 50 : places[45]] = bytes(places[45] - places[40] - 50)
    (tmp_path / "a.mp4").write_bytes(data)
    variables = tiny_networks.variables()
    network = saved_models.Model(variables, tiny_networks.CONFIG, TrackerConfig(num_scales=1))
    saved_models.save_model(tmp_path / "tiny", network)
    words = ["--video", "a.mp4", "--box", "20,10,20,20", "--boxes", "a.csv", "--weights", "tiny"]
    assert track.main(words) == 1
    assert "a.mp4 is damaged from " in capfd.readouterr().err
    numbers = [row.frame for row in box_files.read_box_file("a.csv")]
    assert numbers[:30] == list(range(30)) and numbers[-10:] == list(range(60, 70))
    assert 45 not in numbers
