"""What goes out in each form comes in equal, also by the readers of others."""

import contextlib
import importlib.util
import itertools
import json
import os
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from siamfc_jax.annotation import coco, cvat, formats, key_files, label_studio, yolo
from siamfc_jax.annotation.annotator import Row
from siamfc_jax.annotation.job import End
from siamfc_jax.annotation.places import Estimate
from siamfc_jax.annotation.tracks import Clip, Mark, Track, pieces

CLIP = Clip("street.mp4", 640, 480, 25.0, tuple(range(10)))


def mark(frame, x, key=False):
    return Mark(frame, (x, 20.25, 30.0, 40.125), key, 1.0 if key else 0.75, frame == 7)


ANNA = Track("anna <&> \"x\": y", (mark(0, 10.0, True), mark(1, 12.5), mark(2, 14.0), mark(3, 18.0),
                                mark(6, 100.0, True), mark(7, 110.0)))  # fmt: skip
BALL = Track("ball", tuple(mark(frame, 300.0 + frame, frame == 5) for frame in range(5, 10)))


def test_coco_comes_in_equal(tmp_path):
    coco.write(tmp_path / "a.json", CLIP, [ANNA, BALL])
    assert coco.read(tmp_path / "a.json") == (CLIP, [ANNA, BALL])


def test_coco_by_its_own_reader(tmp_path, capsys):
    reader = pytest.importorskip("pycocotools.coco")
    coco.write(tmp_path / "a.json", CLIP, [ANNA, BALL])
    found = reader.COCO(str(tmp_path / "a.json"))
    assert len(found.imgs) == 10
    annotations = found.loadAnns(found.getAnnIds(imgIds=[7]))  # of frame 6
    assert [(a["bbox"], a["track_id"]) for a in annotations] == [
        ([100.0, 20.25, 30.0, 40.125], 1), ([306.0, 20.25, 30.0, 40.125], 2),
    ]  # fmt: skip
    assert [c["name"] for c in found.loadCats([1, 2])] == [ANNA.name, "ball"]


def test_label_studio_comes_in_equal(tmp_path):
    label_studio.write(tmp_path / "a.json", CLIP, [ANNA, BALL])
    assert label_studio.read(tmp_path / "a.json") == (CLIP, [ANNA, BALL])


def test_label_studio_by_hand(tmp_path):
    label_studio.write(tmp_path / "a.json", CLIP, [ANNA])
    (result,) = json.loads((tmp_path / "a.json").read_text())[0]["annotations"][0]["result"]
    sequence = result["value"]["sequence"]
    assert (sequence[0]["frame"], sequence[0]["time"], sequence[0]["x"]) == (1, 0.04, 1.5625)
    # The last box before the object is gone, and the last of all.
    assert [each["frame"] for each in sequence if not each["enabled"]] == [4, 8]


def test_yolo_comes_in_equal_but_for_what_it_cannot_say(tmp_path):
    yolo.write(tmp_path / "set", CLIP, [ANNA, BALL])
    found = yolo.read(tmp_path / "set", 640, 480)
    for track, wanted in zip(found, [ANNA, BALL], strict=True):
        assert track.name == wanted.name
        assert [m.frame for m in track.marks] == [m.frame for m in wanted.marks]
        np.testing.assert_allclose([m.box for m in track.marks], [m.box for m in wanted.marks],
                                   atol=2e-3)  # fmt: skip
    assert (tmp_path / "set" / "labels" / "train" / "street_000004.txt").read_text() == ""


def test_yolo_cuts_off_what_lies_outside(tmp_path):
    outside = Track("a", (Mark(0, (-10.0, 400.0, 30.0, 100.0), False),))
    yolo.write(tmp_path / "set", CLIP, [outside])
    text = (tmp_path / "set" / "labels" / "train" / "street_000000.txt").read_text()
    numbers = [float(field) for field in text.split()]
    np.testing.assert_allclose(numbers, [0, 10 / 640, 440 / 480, 20 / 640, 80 / 480], atol=1e-6)


def test_cvat_comes_in_equal(tmp_path):
    cvat.write(tmp_path / "a.xml", CLIP, [ANNA, BALL])
    clip, tracks, ends = cvat.read(tmp_path / "a.xml")
    assert (clip.name, clip.width, clip.height, clip.frames) == CLIP[:3] + (CLIP.frames,)
    assert [(t.name, [m[:3] for m in t.marks]) for t in tracks] == [
        (t.name, [m[:3] for m in t.marks]) for t in (ANNA, BALL)
    ]
    assert ends == [(4, ANNA.name), (8, ANNA.name)]


def test_cvat_marks_key_frames_between_which_lines_are_good_enough(tmp_path):
    straight = [mark(n, 10.0 + n) for n in range(6)]
    bent = [mark(n, 10.0 + 5 * max(n - 3, 0)) for n in range(6)]
    drawn = [mark(n, 10.0 + n, n == 2) for n in range(6)]
    assert cvat.key_frames(tuple(straight)) == {0, 5}
    assert cvat.key_frames(tuple(bent)) == {0, 3, 5}
    assert cvat.key_frames(tuple(drawn)) == {0, 2, 5}
    rng = np.random.default_rng(0)
    wild = tuple(mark(n, float(x)) for n, x in enumerate(rng.normal(100, 2, 40).cumsum()))
    frames = sorted(cvat.key_frames(wild))
    for start, end in itertools.pairwise(frames):
        line = np.linspace(wild[start].box[0], wild[end].box[0], end - start + 1)
        assert np.abs(line - [m.box[0] for m in wild[start : end + 1]]).max() <= 0.5


def test_cvat_of_its_own_export(tmp_path):
    # As CVAT 2 writes it: no attribute of ours, two tracks of one label.
    box = (
        '<box frame="{}" keyframe="{}" outside="{}" occluded="0" xtl="1" ytl="2" xbr="4" ybr="6"/>'
    )
    boxes = box.format(0, 1, 0) + box.format(1, 0, 0) + box.format(2, 1, 1)
    (tmp_path / "a.xml").write_text(
        "<annotations><version>1.1</version><meta><job><size>3</size></job></meta>"
        f'<track id="0" label="car">{boxes}</track><track id="1" label="car">{boxes}</track>'
        "</annotations>"
    )
    found = key_files.read_keys(tmp_path / "a.xml")
    assert [(key.frame, key.name, key.box) for key in found.keys] == [
        (0, "car 1", (1, 2, 3, 4)), (0, "car 2", (1, 2, 3, 4)),
    ]  # fmt: skip
    assert [tuple(end) for end in found.ends] == [(2, "car 1"), (2, "car 2")]
    assert found.unused == 2


def test_cvat_turned_boxes_become_upright_ones_around_them(tmp_path):
    box = '<box frame="0" keyframe="1" outside="0" xtl="10" ytl="20" xbr="40" ybr="30" {}/>'
    for turn, expected in (
        ('rotation="90"', (20, 10, 10, 30)),
        ('rotation="330"', (9.51, 13.17, 30.981, 23.66)),  # 30 cos 30 + 10 sin 30 = 30.981
        ('rotation="0"', (10, 20, 30, 10)),
    ):
        track = f'<track id="0" label="a">{box.format(turn)}</track>'
        (tmp_path / "a.xml").write_text(f"<annotations>{track}</annotations>")
        np.testing.assert_allclose(cvat.read(tmp_path / "a.xml")[1][0].marks[0].box, expected)


def test_tracks_are_divided_where_the_object_is_gone():
    assert [[m.frame for m in piece] for piece in pieces(CLIP, ANNA)] == [[0, 1, 2, 3], [6, 7]]
    every_third = CLIP._replace(frames=(0, 3, 6, 9))
    track = Track("a", (mark(0, 1.0), mark(3, 1.0), mark(9, 1.0)))
    assert [[m.frame for m in piece] for piece in pieces(every_third, track)] == [[0, 3], [9]]


ROWS = [
    Row(4, None, {"a": Estimate(np.float32([1, 2, 3, 4]), np.nan, 1.0, False)}, frozenset("a")),
    Row(5, None, {"a": Estimate(np.float32([2, 2, 3, 4]), 0.5, 0.25, True),
                  "b": Estimate(np.float32([9, 9, 5, 5]), np.nan, 1.0, False)}, frozenset("b")),
    Row(6, None, {}, frozenset()),
]  # fmt: skip


def write_rows(path, form=None):
    with formats.row_writer(path, ["a", "b"], CLIP, form=form, ends={("a", 4): 6}) as write:
        for row in ROWS:
            write(row)
    return path


def test_csv_and_json_say_who_drew_a_box_and_where_an_object_ends(tmp_path):
    assert write_rows(tmp_path / "a.csv").read_text() == (
        "frame,object,x,y,w,h,score,confidence,lost,key,gone\n"
        "4,a,1.0,2.0,3.0,4.0,nan,1.0,0,1,6\n"
        "5,a,2.0,2.0,3.0,4.0,0.5,0.25,1,0,\n5,b,9.0,9.0,5.0,5.0,nan,1.0,0,1,\n"
    )
    for name in ("a.csv", "b.json"):
        found = key_files.read_keys(write_rows(tmp_path / name))
        assert [(k.frame, k.name, k.box) for k in found.keys] == [
            (4, "a", (1, 2, 3, 4)), (5, "b", (9, 9, 5, 5)),
        ]  # fmt: skip
        assert found.unused == 1
        assert found.ends == [End(6, "a")]


def test_ends_by_hand(tmp_path):
    # Without the column `key` the first box of each object counts, and each end.
    text = "frame,object,x,y,w,h,gone\n3,a,1,2,3,4,8\n3,b,1,2,3,4,\n"
    (tmp_path / "a.csv").write_text(text)
    found = key_files.read_keys(tmp_path / "a.csv")
    assert [(key.frame, key.name) for key in found.keys] == [(3, "a"), (3, "b")]
    assert found.ends == [End(8, "a")]
    (tmp_path / "a.csv").write_text(text.replace("8", "soon"))
    with pytest.raises(ValueError, match=r"box 1: expected columns .* key and gone, got"):
        key_files.read_keys(tmp_path / "a.csv")


def test_mot_leaves_out_who_is_gone(tmp_path):
    assert write_rows(tmp_path / "a.txt").read_text().splitlines() == [
        "5,1,2.0,3.0,3.0,4.0,1.0,-1,-1,-1",
        "6,1,3.0,3.0,3.0,4.0,0.25,-1,-1,-1",
        "6,2,10.0,10.0,5.0,5.0,1.0,-1,-1,-1",
    ]


def test_otb_has_a_line_for_each_frame(tmp_path):
    with formats.row_writer(tmp_path / "a.txt", ["a"], CLIP) as write:
        for row in ROWS:
            write(row._replace(estimates={n: e for n, e in row.estimates.items() if n == "a"}))
    lines = (tmp_path / "a.txt").read_text().splitlines()
    assert lines == ["2.0,3.0,3.0,4.0", "3.0,3.0,3.0,4.0", "nan,nan,nan,nan"]


@pytest.mark.parametrize("read", [cvat.read, coco.read, label_studio.read])
def test_what_was_tracked_is_there_after_an_error(tmp_path, read):
    form = read.__module__.rpartition(".")[2].replace("_", "")
    writer = formats.row_writer(tmp_path / "a", ["a", "b"], CLIP, form=form)
    with contextlib.suppress(RuntimeError), writer as write:
        write(ROWS[0])
        raise RuntimeError
    tracks = read(tmp_path / "a")[1]
    assert [(t.name, t.marks[0].frame) for t in tracks] == [("a", 4)]


@pytest.mark.skipif(not importlib.util.find_spec("fcntl"), reason="needs flock")
@pytest.mark.parametrize("form", [*formats.WHOLE, "csv", "json", "mot"])
@pytest.mark.parametrize("older", [False, True])
def test_a_second_writer_is_refused_and_the_first_one_loses_nothing(tmp_path, form, older):
    def contents(folder):
        files = (path for path in folder.rglob("*") if path.is_file())
        return {str(p.relative_to(folder)): p.read_bytes() for p in files if "lock" not in p.name}

    def write_all(path, *, interrupted=False):
        with formats.row_writer(path, ["a", "b"], CLIP, form=form) as write:
            for row in ROWS:
                write(row)
                if interrupted:
                    with (
                        pytest.raises(ValueError, match=f"another process writes to {path}; wait"),
                        formats.row_writer(path, ["c"], CLIP, form=form),
                    ):
                        pass

    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    if older:
        write_all(tmp_path / "one" / "a.x")
    write_all(tmp_path / "one" / "a.x", interrupted=True)
    write_all(tmp_path / "two" / "a.x")
    assert contents(tmp_path / "one") == contents(tmp_path / "two") != {}


@pytest.mark.parametrize("form", ["cvat", "coco", "labelstudio"])
def test_an_older_file_stays_where_no_frame_came(tmp_path, form):
    for text in ("", "older"):
        if text:
            (tmp_path / "a.x").write_text(text)
        with formats.row_writer(tmp_path / "a.x", ["a"], CLIP, form=form):
            pass
        assert os.listdir(tmp_path) == (["a.x"] if text else [])
    assert (tmp_path / "a.x").read_text() == "older"


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("a.xml", "<a", "is not XML"),
        ("a.xml", "<annotations/>", "has no track; expected 'CVAT for video 1.1'"),
        ("a.xml", '<annotations><track label="a"><box/></track></annotations>', "is not 'CVAT f"),
        ("a.csv", "frame,x,y\n1,2,3\n", "line 1: expected columns x,y,w,h"),
        ("a.csv", "frame,x,y,w,h\n", "holds no box"),
        ("a.json", "{", "is not JSON"),
        ("a.csv", "x,y,w,h,key\n1,2,3,4,0\n", "has no key box from frame 0 on"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        key_files.read_keys(tmp_path / name)


def test_xml_is_whole_for_any_name(tmp_path):
    cvat.write(tmp_path / "a.xml", CLIP, [ANNA])
    root = ET.parse(tmp_path / "a.xml").getroot()
    assert root.find("track").get("label") == ANNA.name
    assert root.findtext("meta/task/labels/label/name") == ANNA.name


@pytest.mark.parametrize("reader", [coco, label_studio])
def test_deep_json_is_refused(tmp_path, reader):
    (tmp_path / "a.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match="as written here: RecursionError"):
        reader.read(tmp_path / "a.json")
