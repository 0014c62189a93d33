"""Text forms of boxes, by hand-written files and round trips."""

import json
import os
import pathlib
import subprocess
import sys
import textwrap
import zipfile

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


def read(path, frame=0):
    rows = [row for row in box_files.read_box_file(path) if row.frame in (None, frame)]
    return [row.object for row in rows], np.float32([row.box for row in rows])


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
    np.testing.assert_array_equal(read(tmp_path / "b.csv")[1], FRAMES[0][1])


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
    for frame, boxes, _ in FRAMES:
        names, found = read(tmp_path / name, frame)
        assert names == ["a,b", "c"]
        np.testing.assert_array_equal(found, boxes)


def test_short_box_file(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x,y,w,h\n1,2,3,4\n5,6,7,8\n")
    names, found = read(path)
    assert names == ["1", "2"]
    np.testing.assert_array_equal(found, [[1, 2, 3, 4], [5, 6, 7, 8]])


TABLE = "frame,object,x,y,w,h,score\n0,ä,1,2.5,3,4,nan\n0,b,5,6,7,8,nan\n2,ä,9,2.5,3,4,1.5\n"


@pytest.mark.parametrize(
    "data",
    [
        TABLE.encode(),
        TABLE.encode("utf-8-sig"),
        TABLE.encode("utf-16"),
        TABLE.encode("utf-16-le"),
        TABLE.encode("utf-16-be"),
        TABLE.encode("utf-32"),
        TABLE.encode("cp1252"),
        TABLE.replace("\n", "\r\n").encode("utf-8-sig"),
        TABLE.replace(",", "\t").encode(),
        b"sep=;\n" + TABLE.replace(",", ";").replace(".", ",").encode(),
        TABLE.replace("frame,object,x", "Frame, Object , X").encode(),
        f"\n{TABLE}\n\n".encode(),
    ],
)
def test_tables_that_other_programs_saved(tmp_path, data):
    (tmp_path / "a.csv").write_bytes(data)
    rows = box_files.read_box_file(tmp_path / "a.csv")
    assert [row[:3] for row in rows] == [
        (0, "ä", [1, 2.5, 3, 4]),
        (0, "b", [5, 6, 7, 8]),
        (2, "ä", [9, 2.5, 3, 4]),
    ]


def test_json_with_a_mark(tmp_path):
    (tmp_path / "a.json").write_text('[{"frame": 3, "x": 1, "y": 2, "w": 3, "h": 4}]', "utf-8-sig")
    (row,) = box_files.read_box_file(tmp_path / "a.json")
    assert row == (3, "1", [1, 2, 3, 4], None, None)


def test_own_text_is_read_again(tmp_path):
    write(tmp_path / "otb.txt", 1)
    rows = box_files.read_box_file(tmp_path / "otb.txt")
    assert [row[0] for row in rows] == [0, 1]  # a line a frame
    np.testing.assert_array_equal(rows[0].box, FRAMES[0][1][0])
    write(tmp_path / "mot.txt", 2)
    rows = box_files.read_box_file(tmp_path / "mot.txt")
    assert [row[:2] for row in rows] == [(0, "1"), (0, "2"), (2, "1"), (2, "2")]
    np.testing.assert_array_equal(rows[3].box, FRAMES[1][1][1])


def test_text_of_others(tmp_path):
    (tmp_path / "a.txt").write_text("11\t21\t30\t40\nNaN\tNaN\tNaN\tNaN\n12 21  30 40\n")
    rows = box_files.read_box_file(tmp_path / "a.txt")
    assert [row[:3] for row in rows] == [
        (0, "1", [10, 20, 30, 40]),
        (2, "1", [11, 20, 30, 40]),
    ]
    (tmp_path / "gt.txt").write_text("7,3,11,21,30,40,1,1,0.5\n")  # MOT17's gt.txt
    (row,) = box_files.read_box_file(tmp_path / "gt.txt")
    assert row == (6, "3", [10, 20, 30, 40], None, None)
    (tmp_path / "gt.txt").write_text("1,0,11,21,30,40,1,person,1\n")  # of an older CVAT
    (row,) = box_files.read_box_file(tmp_path / "gt.txt")
    assert row == (0, "0", [10, 20, 30, 40], None, None)
    line = "1,-1,11,21,30,40,.9,-1,-1,-1\n"  # detections, which have no identity
    (tmp_path / "det.txt").write_text(line + line + line.replace("1,", "2,", 1))
    rows = box_files.read_box_file(tmp_path / "det.txt")
    assert [row[:2] for row in rows] == [(0, "1"), (0, "2"), (1, "1")]
    (tmp_path / "a.csv").write_text("10,20,30,40\n5,6,7,8\n")  # objects of one frame
    names, found = read(tmp_path / "a.csv", 9)
    assert names == ["1", "2"]
    np.testing.assert_array_equal(found, [[10, 20, 30, 40], [5, 6, 7, 8]])


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("a.csv", "0,1,2,3,4\n", "line 1: expected columns x,y,w,h"),
        ("a.csv", "a,b,c,d\n5,6,7,8\n", "box 1: expected columns x,y,w,h"),
        ("a.csv", "x,y,w,h\n1,2,3\n", "box 1: expected columns x,y,w,h"),
        ("a.csv", "frame,x,y,w,h\n1.5,1,2,3,4\n", "box 1: expected columns x,y,w,h"),
        ("a.csv", "x,y,w,h\n1,1e381,2,3\n", "box 1: expected columns x,y,w,h"),
        ("a.csv", "x,y,w,h\n", "holds no box"),
        ("a.csv", "x,y,w,h\n.5,.6,.1,.2\n", r"shares of the frame, such as \[0.5, .*pixels"),
        ("a.csv", "", "holds no box"),
        ("a.csv", "x,y,w,h\n" + "1" * 200_000, "is not a table: field larger than"),
        ("a.txt", "1,2,3,4,5,6,7,8\n", "line 1: expected columns"),
        ("a.txt", "1,2,3,inf,x\n", "line 1: expected columns"),
        ("a.txt", "inf,1,2,3,4,5\n", "line 1: expected columns"),
        ("a.json", "{", "is not JSON"),
        ("a.json", "[" * 100_000, "is not JSON"),
        ("a.json", "[]", "holds no box"),
        ("a.json", "{}", "holds no list of boxes"),
        ("a.json", "[[1,2,3,4]]", "holds no list of boxes"),
        ("a.json", '[{"x": ' + "1" * 400 + ', "y": 2, "w": 3, "h": 4}]', "box 1: expected col"),
        ("a.json", '[{"x": null, "y": 2, "w": 3, "h": 4}]', "box 1: expected columns x,y,w,h"),
    ],
)
def test_bad_box_files(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        box_files.read_box_file(tmp_path / name)
    assert len(str(caught.value)) < 400


def test_packed_box_file(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.csv", "w") as packed:  # what CVAT and spreadsheets give
        packed.writestr("annotations.xml", "<annotations/>")
    with pytest.raises(ValueError, match=r"a.csv is packed \(zip, xlsx\); give the file in it"):
        box_files.read_box_file(tmp_path / "a.csv")


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


def limited(folder, command):
    """Runs Python where files hold 2000 bytes, which stands for a disk that becomes full."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
    words = [sys.executable, "-c", limit + textwrap.dedent(command)]
    env = os.environ | {"PYTHONPATH": str(pathlib.Path(box_files.__file__).parents[2])}
    return subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True)


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.txt"])
def test_full_disk_leaves_what_was_whole(tmp_path, name):
    done = limited(
        tmp_path,
        f"""
        import numpy as np
        from siamfc_jax.media import box_files
        try:
            with box_files.box_writer({name!r}, ["a"]) as write:
                for number in range(500):
                    write(number, np.ones((1, 4)), np.ones(1), np.ones(1), np.zeros(1))
        except ValueError as error:
            print(number, error)
        """,
    )
    number, _, message = done.stdout.strip().partition(" ")
    assert message == f"cannot write {name}: File too large"
    assert len(box_files.read_box_file(tmp_path / name)) == int(number) > 10


def test_device_without_room():
    with pytest.raises(ValueError, match="cannot write /dev/full: No space left on device"):
        write(pathlib.Path("/dev/full"), 1, form="csv")


def test_older_boxes_stand_until_the_new_ones_are_whole(tmp_path):
    path, boxes = tmp_path / "a.csv", np.ones((1, 4))
    path.write_text("old")
    with box_files.box_writer(path, ["a"]) as write_frame:
        write_frame(0, boxes, np.ones(1), np.ones(1), np.zeros(1))
        assert path.read_text() == "old"
        assert (tmp_path / "a.part.csv").read_text().count("\n") == 2  # for who must be killed
    assert path.read_text() == "frame,x,y,w,h,score\n0,1.0,1.0,1.0,1.0,1.0\n"
    assert [item.name for item in tmp_path.iterdir()] == ["a.csv"]
