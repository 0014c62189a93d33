"""Every benchmark's reader on a tiny tree in its published layout."""

import pathlib
import re

import numpy as np
import pytest
from any_text import contents
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_layouts import make_got10k, write_boxes, write_images

from siamfc_jax.evaluation import benchmarks


def make_vot(root, names=("bag",), *, frames=3):
    for name in names:
        write_images(root / name / "color", range(1, frames + 1), digits=8)
        line = "0,0,9,0,9,9,0,9\n"
        (root / name / "groundtruth.txt").write_text(line * frames)
    (root / "list.txt").write_text("\n".join(names) + "\n")


def test_vot(tmp_path):
    make_vot(tmp_path, ("bag", "ball"))
    (tmp_path / "bag" / "occlusion.tag").write_text("0\n1\n")  # shorter than the sequence
    (tmp_path / "bag" / "camera_motion.tag").write_text("0\n0\n0\n")
    (tmp_path / "bag" / "anchor.value").write_text("1\n0\n-1\n")
    write_images(tmp_path / "ball", [1, 2], digits=8)  # before VOT2018: no folder `color`
    for path in (tmp_path / "ball" / "color").glob("*"):
        path.unlink()
    (tmp_path / "ball" / "groundtruth.txt").write_text("1,2,3,4\r\nnan,nan,nan,nan\r\n")
    bag, ball = benchmarks.read_vot(tmp_path)
    assert len(bag.frames) == 3
    np.testing.assert_array_equal(bag.regions[0], [0, 0, 9, 0, 9, 9, 0, 9])
    np.testing.assert_array_equal(bag.boxes[0], [0, 0, 10, 10])
    np.testing.assert_array_equal(bag.anchors, [1, 0, -1])
    assert bag.attributes == ("occlusion",)
    np.testing.assert_array_equal(ball.boxes[0], [1, 2, 3, 4])
    np.testing.assert_array_equal(ball.visible, [True, False])
    assert ball.anchors is None
    (tmp_path / "list.txt").unlink()
    with pytest.raises(ValueError, match=r"no .*list.txt; expected the VOT layout"):
        benchmarks.read_vot(tmp_path)


def make_lasot(root, name, *, frames=3):
    folder = root / name.split("-")[0] / name
    write_images(folder / "img", range(1, frames + 1), digits=8)
    write_boxes(folder / "groundtruth.txt", frames)
    (folder / "full_occlusion.txt").write_text("0,1,0")
    (folder / "out_of_view.txt").write_text("0,0,1")


def test_lasot(tmp_path):
    make_lasot(tmp_path, "bird-2")
    make_lasot(tmp_path, "airplane-1")
    airplane, bird = benchmarks.read_lasot(tmp_path)
    assert (airplane.name, bird.name) == ("airplane-1", "bird-2")
    np.testing.assert_array_equal(bird.visible, [True, False, False])
    np.testing.assert_array_equal(bird.boxes[0], [0, 1, 5, 6])
    assert [s.name for s in benchmarks.read_lasot(tmp_path / "bird")] == ["bird-2"]
    (tmp_path / "testing_set.txt").write_text("bird-2\n")
    assert [s.name for s in benchmarks.read_lasot(tmp_path)] == ["bird-2"]
    (tmp_path / "testing_set.txt").write_text("bird-2\ncar-9\n")
    with pytest.raises(ValueError, match=r"testing_set.txt names car-9, not found in "):
        benchmarks.read_lasot(tmp_path)
    with pytest.raises(ValueError, match=r"no \*/groundtruth.txt below .*; expected the LaSOT"):
        benchmarks.read_lasot(tmp_path / "missing")


def make_uav(root):
    write_images(root / "data_seq" / "UAV123" / "car1", range(749, 755), digits=6)
    write_images(root / "data_seq" / "UAV123" / "car1_s", [1, 2], digits=6)
    write_boxes(root / "anno" / "UAV123" / "car1_2.txt", 3)  # frames 751 to 753
    (root / "anno" / "UAV123" / "car1_s.txt").write_text("3,4,5,6\nNaN,NaN,NaN,NaN\n")


def test_uav(tmp_path):
    make_uav(tmp_path)
    part, whole = benchmarks.read_uav(tmp_path, version="UAV123")
    assert part.frames.paths[0].endswith("000751.jpg")
    assert len(part.frames) == 3
    np.testing.assert_array_equal(whole.boxes[0], [2, 3, 5, 6])
    np.testing.assert_array_equal(whole.visible, [True, False])
    with pytest.raises(ValueError, match=r"no anno/UAV20L/\*.txt below .*; expected the UAV20L"):
        benchmarks.read_uav(tmp_path, version="UAV20L")


def make_nfs(root):
    line = '0 10 20 40 80 {} {} 0 0 "ball"\n'
    for fps, frames, lines in ((30, 3, 22), (240, 4, 5)):
        folder = root / "ball_1" / str(fps)
        write_images(folder / "ball_1", range(1, frames + 1), digits=5)
        (folder / "ball_1.txt").write_text(
            "".join(line.format(i, int(i == 8)) for i in range(lines))
        )


def test_nfs(tmp_path):
    make_nfs(tmp_path)
    (slow,) = benchmarks.read_nfs(tmp_path, fps=30)
    np.testing.assert_array_equal(slow.boxes, [[10, 20, 30, 60]] * 3)
    np.testing.assert_array_equal(slow.visible, [True, False, True])  # line 8 is frame 1
    (fast,) = benchmarks.read_nfs(tmp_path, fps=240)  # one line too many
    assert len(fast.frames) == len(fast.boxes) == 4


def make_tcolor128(root):
    write_images(root / "Ball_ce" / "img", range(1, 6))
    write_boxes(root / "Ball_ce" / "Ball_ce_gt.txt", 3)
    (root / "Ball_ce" / "Ball_ce_frames.txt").write_text("2,4\n")


def test_tcolor128(tmp_path):
    make_tcolor128(tmp_path)
    (sequence,) = benchmarks.read_tcolor128(tmp_path)
    assert sequence.name == "Ball_ce"
    assert [path[-8:] for path in sequence.frames.paths] == ["0002.jpg", "0003.jpg", "0004.jpg"]
    np.testing.assert_array_equal(sequence.boxes[0], [0, 1, 5, 6])
    (tmp_path / "Ball_ce" / "Ball_ce_frames.txt").write_text("4")
    with pytest.raises(ValueError, match=r"expected the first and last frame, got 4,0"):
        benchmarks.read_tcolor128(tmp_path)


def make_trackingnet(root):
    write_images(root / "TEST" / "frames" / "abc_0", range(12), digits=1)
    write_boxes(root / "TEST" / "anno" / "abc_0.txt", 1)


def test_trackingnet(tmp_path):
    make_trackingnet(tmp_path)
    (sequence,) = benchmarks.read_trackingnet(tmp_path)
    assert sequence.frames.paths[10].endswith("10.jpg")
    np.testing.assert_array_equal(sequence.boxes[0], [1, 2, 5, 6])
    assert np.isnan(sequence.boxes[1:]).all()
    assert sequence.boxes.shape == (12, 4)


def make_alov(root):
    name = "01-Light_video00001"
    write_images(root / "imagedata++" / "01-Light" / name, range(1, 15), digits=8)
    file = root / "alov300++_rectangleAnnotation_full" / "01-Light" / f"{name}.ann"
    file.parent.mkdir(parents=True)
    file.write_text("2 11 21 31 21 31 51 11 51\n7 12 21 32 21 32 51 12 51\n12 1 1 2 1 2 2 1 2\n")


def test_alov(tmp_path):
    make_alov(tmp_path)
    (sequence,) = benchmarks.read_alov(tmp_path)
    assert len(sequence.frames) == 11
    assert sequence.frames.paths[0].endswith("00000002.jpg")
    np.testing.assert_array_equal(np.flatnonzero(sequence.visible), [0, 5, 10])
    np.testing.assert_array_equal(sequence.boxes[5], [11, 20, 20, 30])
    assert sequence.attributes == ("01-Light",)


def make_dtb70(root):
    write_images(root / "Car2" / "img", [1, 2], digits=5)
    write_boxes(root / "Car2" / "groundtruth_rect.txt", 2)


def test_dtb70(tmp_path):
    make_dtb70(tmp_path)
    (sequence,) = benchmarks.BENCHMARKS["dtb70"].read(tmp_path)
    assert sequence.frames.paths[1].endswith("00002.jpg")
    np.testing.assert_array_equal(sequence.boxes, [[0, 1, 5, 6], [1, 1, 5, 6]])


def make_got10k_val(root):
    folder = make_got10k(root)
    (folder / "absence.label").write_text("0\n1\n0\n0\n")
    (folder / "cover.label").write_text("8\n8\n0\n3\n")
    (folder / "meta_info.ini").write_text("source_frames: 5 9 13 17\n")


def make_vot_multistart(root):
    make_vot(root)
    (root / "bag" / "anchor.value").write_text("1\n0\n-1\n")
    (root / "bag" / "occlusion.tag").write_text("0\n1\n")


def make_lasot_test(root):
    make_lasot(root, "bird-2")
    (root / "testing_set.txt").write_text("bird-2\n")


TREES = {
    "alov": make_alov,
    "dtb70": make_dtb70,
    "got10k-val": make_got10k_val,
    "lasot": make_lasot_test,
    "nfs30": make_nfs,
    "tcolor128": make_tcolor128,
    "trackingnet": make_trackingnet,
    "uav123": make_uav,
    "vot2022": make_vot_multistart,
}


@pytest.mark.parametrize("name", TREES)
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_any_bytes_in_any_file_give_boxes_or_a_clear_error(tmp_path_factory, name, data):
    root = tmp_path_factory.getbasetemp() / f"any-{name}"
    if not root.exists():
        TREES[name](root)
    files = [path for path in sorted(root.rglob("*")) if path.suffix not in (".jpg", "")]
    file = data.draw(st.sampled_from(files))
    before = file.read_bytes()
    content = data.draw(st.none() | contents)
    try:
        file.unlink() if content is None else file.write_bytes(content)
        sequences, said = benchmarks.BENCHMARKS[name].read(root), ""
    except ValueError as error:
        sequences, said = [], str(error)
    finally:
        file.write_bytes(before)
    assert not said or (str(root) in said and "\n" not in said and "codec" not in said), said
    assert said or sequences
    for sequence in sequences:
        assert len(sequence.frames) == len(sequence.boxes) == len(sequence.visible)
        assert not np.isinf(sequence.boxes).any()
        assert np.isfinite(sequence.boxes[sequence.visible]).all()


@pytest.mark.parametrize(
    ("read", "make"),
    [
        (benchmarks.read_vot, make_vot),
        (benchmarks.read_lasot, lambda root: make_lasot(root, "bird-2")),
    ],
)
def test_missing_frames_are_named(tmp_path, read, make):
    make(tmp_path)
    next(tmp_path.rglob("00000002.jpg")).unlink()
    with pytest.raises(ValueError, match=r"3 boxes but 2 images in .*; the first one missing is"):
        read(tmp_path)


def test_every_benchmark_is_documented():
    text = (pathlib.Path(__file__).parents[2] / "docs" / "evaluation.md").read_text()
    rows = " ".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))
    named = set(re.findall(r"`([a-z0-9-]+)`", rows)) | {f"vot{year}" for year in range(2015, 2023)}
    assert set(benchmarks.BENCHMARKS) <= named
