"""The contact sheet: boxes and labels where they belong, and its messages."""

import cv2
import numpy as np
import pytest
from training_trees import make_got10k

from siamfc_jax.commands import shell
from siamfc_jax.config import TrainConfig
from siamfc_jax.data.sequences import Sequence
from siamfc_jax.training.contact_sheet import YELLOW, draw_sample, draw_sheet


def make_track(boxes):
    """Returns a track of grey frames."""
    frames = [np.full((60, 80, 3), 100, np.uint8)] * len(boxes)
    count = len(boxes)
    return Sequence("a", frames, np.float32(boxes), np.ones(count, bool), np.arange(count))


def test_boxes_and_labels():
    # A square of side s has an exemplar of side 2 s, so it takes 63.5 px of a crop.
    track = make_track([[20, 20, 16, 16], [30, 20, 16, 16]])
    tile = draw_sample(track, np.array([0, 1]), radius=16)
    assert tile.shape == (253, 366, 3)
    yellow = (tile == YELLOW).all(-1)
    for part, middle in ((yellow[:, :127], 63), (yellow[:, 127:], 119)):
        for places in np.nonzero(part):
            assert (places.min(), places.max()) == (middle - 31, middle + 31)
    green = (tile[:, 127:] == [50, 177, 50]).all(-1)
    assert green.sum() == 13 * 7 * 7  # 13 cells, a pixel free between them
    np.testing.assert_allclose(np.argwhere(green).mean(0), [119, 119])


def test_sheet_shows_different_tracks():
    tracks = [
        make_track([[20, 20, 16, 16]]),
        make_track([[np.nan] * 4]),
        make_track([[1, 1, 9, 9]]),
    ]
    tracks = [track._replace(name=str(number)) for number, track in enumerate(tracks)]
    sheet = draw_sheet(tracks, rows=1, columns=2, config=TrainConfig())
    assert sheet.shape == (253, 732, 3)
    assert not np.array_equal(sheet[:, :366], sheet[:, 366:])
    with pytest.raises(ValueError, match=r"none of 1 tracks has a visible box with a size"):
        draw_sheet(tracks[1:2], rows=1, columns=1, config=TrainConfig())


def test_command(tmp_path, capsys):
    make_got10k(tmp_path / "train", "a", [[10, 8, 20, 16]] * 2)
    size = ["--rows", "1", "--columns", "2"]
    common = ["--data", str(tmp_path / "train"), *size, "--output"]
    assert shell.main(["contact-sheet", *common, str(tmp_path / "a.png")]) == 0
    assert capsys.readouterr().out == f"2 samples of 1 tracks in {tmp_path / 'a.png'}\n"
    assert cv2.imread(str(tmp_path / "a.png")).shape == (253, 732, 3)
    assert shell.main(["contact-sheet", *common, str(tmp_path / "new" / "a.png")]) == 0
    assert (tmp_path / "new" / "a.png").read_bytes() == (tmp_path / "a.png").read_bytes()
    capsys.readouterr()
    for args, said in [
        ([*common, "a.gif"], "--output must end in .png or .jpg, got a.gif"),
        ([*common, str(tmp_path / "a.png" / "b.png")], "b.png: Not a directory; choose another"),
        ([*common, "a.png", "--rows", "0"], "--rows and --columns: at least 1, got 0, 2"),
        (["--data", str(tmp_path / "b"), "--output", "a.png"], f"no folder {tmp_path / 'b'}; "),
        (["--data", str(tmp_path / "train/a"), "--output", "a.png"], "holds 0 prepared data sets"),
    ]:
        assert shell.main(["contact-sheet", *args]) == 2
        assert said in capsys.readouterr().err
