"""Text forms of boxes, by hand-written files and round trips."""

import json

import numpy as np
import pytest

from siamfc_jax.media import box_files

FRAMES = [
    (0, np.array([[10, 20, 30, 40], [1.5, 2.25, 3, 4]], np.float32), np.array([np.nan, np.nan])),
    (2, np.array([[11, 21, 30, 40], [0, 0, 3, 4]], np.float32), np.array([0.5, -1.23456])),
]


SURE = [(np.ones(2), np.array([False, False])), (np.array([0.98765, 0.1]), np.array([False, True]))]


def write(path, count, form=None, states=False):
    names = ["a,b", "c"][:count]
    with box_files.box_writer(path, names, form=form, states=states) as write_frame:
        for (number, *found), sure in zip(FRAMES, SURE, strict=True):
            write_frame(number, *(array[:count] for array in (*found, *sure)))
    return path.read_text()


def test_csv_of_one_object(tmp_path):
    assert write(tmp_path / "a.csv", 1) == (
        "frame,x,y,w,h,score\n0,10.0,20.0,30.0,40.0,nan\n2,11.0,21.0,30.0,40.0,0.5\n"
    )


def test_csv_of_several_objects(tmp_path):
    assert write(tmp_path / "deep" / "er" / "a.csv", 2) == (
        'frame,object,x,y,w,h,score\n0,"a,b",10.0,20.0,30.0,40.0,nan\n0,c,1.5,2.25,3.0,4.0,nan\n'
        '2,"a,b",11.0,21.0,30.0,40.0,0.5\n2,c,0.0,0.0,3.0,4.0,-1.2346\n'
    )


def test_csv_with_states(tmp_path):
    assert write(tmp_path / "a.csv", 1, states=True) == (
        "frame,x,y,w,h,score,confidence,lost\n"
        "0,10.0,20.0,30.0,40.0,nan,1.0,0\n2,11.0,21.0,30.0,40.0,0.5,0.9877,0\n"
    )
    assert write(tmp_path / "b.csv", 2, states=True).endswith(",-1.2346,0.1,1\n")
    np.testing.assert_array_equal(box_files.read_box_file(tmp_path / "b.csv")[1], FRAMES[0][1])


def test_otb_counts_pixels_from_one(tmp_path):
    assert write(tmp_path / "a.txt", 1) == "11.0,21.0,30.0,40.0\n12.0,22.0,30.0,40.0\n"


def test_mot_counts_everything_from_one(tmp_path):
    assert write(tmp_path / "a.txt", 2).splitlines() == [
        "1,1,11.0,21.0,30.0,40.0,1.0,-1,-1,-1",
        "1,2,2.5,3.25,3.0,4.0,1.0,-1,-1,-1",
        "3,1,12.0,22.0,30.0,40.0,0.9877,-1,-1,-1",
        "3,2,1.0,1.0,3.0,4.0,0.1,-1,-1,-1",
    ]


def test_json_is_whole_after_every_frame(tmp_path):
    path = tmp_path / "a.json"
    with box_files.box_writer(path, ["x"]) as write_frame:
        for length, (number, found, scores) in enumerate(FRAMES, start=1):
            write_frame(number, found[:1], scores[:1], np.ones(1), np.array([length > 1]))
            rows = json.loads(path.read_text())
            assert len(rows) == length
    first, second = rows
    assert first == {
        "frame": 0, "object": "x", "x": 10.0, "y": 20.0, "w": 30.0, "h": 40.0,
        "score": None, "confidence": 1.0, "lost": False,
    }  # fmt: skip
    assert second == first | {"frame": 2, "x": 11.0, "y": 21.0, "score": 0.5, "lost": True}


def test_form_overrides_the_ending(tmp_path):
    assert write(tmp_path / "a.csv", 1, form="otb").startswith("11.0,21.0")


@pytest.mark.parametrize("name", ["a.csv", "a.json"])
def test_what_is_written_can_be_read_as_first_frame(tmp_path, name):
    write(tmp_path / name, 2)
    names, found = box_files.read_box_file(tmp_path / name)
    assert names == ["a,b", "c"]
    np.testing.assert_array_equal(found, FRAMES[0][1])


def test_short_box_file(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x,y,w,h\n1,2,3,4\n5,6,7,8\n")
    names, found = box_files.read_box_file(path)
    assert names == ["1", "2"]
    np.testing.assert_array_equal(found, [[1, 2, 3, 4], [5, 6, 7, 8]])


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("a.csv", "1,2,3,4\n5,6,7,8\n", "box 1: expected columns x,y,w,h"),
        ("a.csv", "x,y,w,h\n1,2,3\n", "box 1: expected columns x,y,w,h"),
        ("a.csv", "x,y,w,h\n", "holds no box"),
        ("a.json", "{", "is not JSON"),
        ("a.json", "[]", "holds no box"),
        ("a.json", "[[1,2,3,4]]", "box 1: expected columns x,y,w,h"),
    ],
)
def test_bad_box_files(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        box_files.read_box_file(tmp_path / name)


def test_missing_box_file(tmp_path):
    with pytest.raises(ValueError, match=r"cannot read .*none\.csv: No such file"):
        box_files.read_box_file(tmp_path / "none.csv")


def test_bad_outputs(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"cannot write .*choose another place"):
        write(tmp_path / "file" / "a.csv", 1)
    with pytest.raises(ValueError, match=r"must end in \.csv, \.json or \.txt"):
        write(tmp_path / "a.dat", 1)
    with pytest.raises(ValueError, match="otb form holds one object, got 2"):
        write(tmp_path / "a.txt", 2, form="otb")


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "1,2,3,x"])
def test_bad_box(text):
    with pytest.raises(ValueError, match="a box is X,Y,W,H in pixels, got"):
        box_files.parse_box(text)


def test_box():
    assert box_files.parse_box("-1,2.5,3,4") == [-1, 2.5, 3, 4]
