"""Every annotation parser: hand-made files with their warts, and any bytes at all."""

import numpy as np
import pytest
from any_text import contents
from hypothesis import given, settings

from siamfc_jax.data import groundtruth


@pytest.mark.parametrize(
    "text",
    [
        "1,2,3,4\n5,6,7.5,8\n",
        "1\t2\t3\t4\n5\t6\t7.5\t8",
        "1 2 3 4\r\n5  6, 7.5 8\r\n\r\n",  # windows line ends, mixed separators, blank end
        "\ufeff1,2,3,4\n5,6,7.5,8\n\n \n",  # byte order mark
    ],
)
def test_read_boxes_in_every_published_form(tmp_path, text):
    path = tmp_path / "groundtruth_rect.txt"
    path.write_bytes(text.encode())
    boxes = groundtruth.read_boxes(path, one_based=True)
    assert boxes.dtype == np.float32
    np.testing.assert_array_equal(boxes, [[0, 1, 3, 4], [4, 5, 7.5, 8]])
    np.testing.assert_array_equal(groundtruth.read_boxes(path, one_based=False)[0], [1, 2, 3, 4])


def test_read_boxes_keeps_nan(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("NaN,NaN,NaN,NaN\n1,1,1,1\n")
    boxes = groundtruth.read_boxes(path, one_based=True)
    assert np.isnan(boxes[0]).all()
    np.testing.assert_array_equal(boxes[1], [0, 0, 1, 1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"a.txt is empty; expected 4 numbers x,y,w,h"),
        ("\n\n", "a.txt is empty"),
        ("1,2,3,4\n1,2,3\n", r"a.txt, line 2: expected 4 numbers x,y,w,h, got '1,2,3'"),
        ("1,2,3,4\n\n1,2,3,4\n", r"a.txt, line 2: expected 4 numbers x,y,w,h, got ''"),
        ("1,2,3,four\n", "line 1: expected 4 numbers x,y,w,h, got '1,2,3,four'"),
        ("1,2,3,inf\n", "line 1: expected 4 numbers"),
        ("1,2,3,1e30\n", "line 1: expected 4 numbers"),
    ],
)
def test_read_boxes_names_the_line(tmp_path, text, message):
    path = tmp_path / "a.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        groundtruth.read_boxes(path, one_based=True)


def test_read_regions(tmp_path):
    path = tmp_path / "groundtruth.txt"
    path.write_text("1,2,3,4\n0,0,10,0,10,10,0,10\nnan,nan,nan,nan\n0\n0,0,5,0,5,5\n")
    regions = groundtruth.read_regions(path)
    assert [len(region) for region in regions] == [4, 8, 4, 4, 6]
    np.testing.assert_array_equal(np.isnan([region[0] for region in regions]), [0, 0, 1, 1, 0])
    path.write_text("1,2,3,4\nm10,10,5,5,0,25\n")
    with pytest.raises(ValueError, match=r"line 2: .*\(a mask 'm...' is not read\), got 'm10"):
        groundtruth.read_regions(path)
    path.write_text("1,2,3,4,5\n")
    with pytest.raises(ValueError, match="line 1: expected x,y,w,h or at least 3 corners"):
        groundtruth.read_regions(path)


def test_upright_boxes_by_hand():
    diamond = np.array([20, 15, 25, 20, 20, 25, 15, 20], float)  # centre 20, side sqrt(50)
    square = np.array([0, 0, 9, 0, 9, 9, 0, 9], float)  # pixels 0..9
    line = np.array([0, 0, 0, 2, 0, 2, 0, 0], float)  # pixels 0..2 of a column
    point = np.full(8, 5.0)
    boxes = groundtruth.upright_boxes([diamond, square, np.array([1, 2, 3, 4.0]), line, point])
    side = np.sqrt(50) + 1
    np.testing.assert_allclose(
        boxes,
        [
            [20.5 - side / 2, 20.5 - side / 2, side, side],
            [0, 0, 10, 10],
            [1, 2, 3, 4],
            [0, 0, 1, 3],
            [5, 5, 1, 1],
        ],
        rtol=1e-6,
    )


def test_read_sparse(tmp_path):
    path = tmp_path / "01-Light_video00001.ann"
    path.write_text("1 11 21 31 21 31 51 11 51\n6 12.5 21 32.5 21 32.5 51 12.5 51\n")
    frames, boxes = groundtruth.read_sparse(path)
    np.testing.assert_array_equal(frames, [1, 6])
    np.testing.assert_array_equal(boxes, [[10, 20, 20, 30], [11.5, 20, 20, 30]])
    path.write_text("6 1 1 2 1 2 2 1 2\n6 1 1 2 1 2 2 1 2\n")
    with pytest.raises(ValueError, match="line 2: expected a frame after 6"):
        groundtruth.read_sparse(path)
    for bad in ("0 1 1 2 1 2 2 1 2", "1.5 1 1 2 1 2 2 1 2", "1 1 1 2 1 2 2 1", "1 nan" + " 1" * 7):
        path.write_text(bad)
        with pytest.raises(ValueError, match="line 1: expected a frame number and 4 corners"):
            groundtruth.read_sparse(path)


def test_read_vatic(tmp_path):
    path = tmp_path / "airboard_1.txt"
    path.write_text('0 10 20 40 80 1 0 0 0 "air board"\r\n0 11 20 41 80 2 1 0 1 "air board"\r\n')
    boxes, visible = groundtruth.read_vatic(path)
    np.testing.assert_array_equal(boxes, [[10, 20, 30, 60], [11, 20, 30, 60]])
    np.testing.assert_array_equal(visible, [True, False])
    path.write_text("0 10 20 40\n")
    with pytest.raises(ValueError, match="line 1: expected 9 numbers: track, xmin"):
        groundtruth.read_vatic(path)


def test_read_labels(tmp_path):
    path = tmp_path / "cover.label"
    path.write_text("8\n7\n0\n")
    np.testing.assert_array_equal(groundtruth.read_labels(path, 3), [8, 7, 0])
    np.testing.assert_array_equal(groundtruth.read_labels(path, 5), [8, 7, 0, 0, 0])
    path.write_text("0,1,0")  # LaSOT: one line
    np.testing.assert_array_equal(groundtruth.read_labels(path, 3), [0, 1, 0])
    with pytest.raises(ValueError, match="at most 2 whole numbers, one a frame, got 3"):
        groundtruth.read_labels(path, 2)
    for bad in ("0.5", "x", "nan", "1e300"):
        path.write_text(bad)
        with pytest.raises(ValueError, match="whole number"):
            groundtruth.read_labels(path, 2)


def test_read_names(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes(b"\xef\xbb\xbfbag\r\nmy red ball \r\n\r\n")
    assert groundtruth.read_names(path) == ["bag", "my red ball"]
    path.write_text(" \n")
    with pytest.raises(ValueError, match=r"list.txt is empty; expected one name a line"):
        groundtruth.read_names(path)
    for name in ("/", "a/b", "..", "..\\a"):
        path.write_text(f"bag\n{name}\n")
        with pytest.raises(ValueError, match=r"list.txt: expected names of folders beside it, got"):
            groundtruth.read_names(path)


@pytest.mark.parametrize("name", ["missing.txt", "nul\0.txt"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, name):
    with pytest.raises(ValueError, match=r"cannot be read \(.*\); expected 4 numbers x,y,w,h"):
        groundtruth.read_boxes(tmp_path / name, one_based=True)


PARSERS = {
    "boxes": lambda path: groundtruth.read_boxes(path, one_based=True),
    "regions": lambda path: groundtruth.upright_boxes(groundtruth.read_regions(path)),
    "sparse": lambda path: groundtruth.read_sparse(path)[1],
    "vatic": lambda path: groundtruth.read_vatic(path)[0],
    "labels": lambda path: groundtruth.read_labels(path, 4).reshape(1, 4),
}


@pytest.mark.parametrize("parser", PARSERS)
@settings(max_examples=150, deadline=None)
@given(content=contents)
def test_any_bytes_give_boxes_or_a_clear_error(tmp_path_factory, parser, content):
    path = tmp_path_factory.getbasetemp() / f"{parser}.txt"
    path.write_bytes(content)
    try:
        boxes = PARSERS[parser](path)
    except ValueError as error:
        message = str(error)
        boxes = np.zeros((1, 4))
    else:
        message = f"{path}: as expected"
    assert message.startswith(str(path))
    assert "expected" in message
    assert boxes.ndim == 2
    assert boxes.shape[1] == 4
    assert len(boxes) >= 1
    assert not np.isinf(boxes).any()
