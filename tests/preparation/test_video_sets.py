"""Readers of the training sets on tiny trees in the published layouts."""

import json

import numpy as np
import pytest
from any_text import contents
from hypothesis import given, settings
from hypothesis import strategies as st
from training_trees import make_coco, make_got10k, make_vid, make_voc, write_image, write_text

from siamfc_jax.preparation.video_sets import READERS

BOXES = [[4, 5, 20, 10], [5, 5, 20, 10], [6, 5, 20, 10]]


def read_all(name, root, split=None):
    reader = READERS[name]
    split = split or reader.split
    return [
        track for unit in reader.list_units(root, split) for track in reader.read(root, split, unit)
    ]


def test_vid(tmp_path):
    root = make_vid(tmp_path)
    reader = READERS["vid"]
    first, broken = reader.list_units(root, "train")
    assert reader.list_units(root, "val") == ["ILSVRC2015_val_00000000"]
    dog, cat = reader.read(root, "train", first)
    assert dog.sequence.name == f"{first}/0" and dog.sequence.category == "n02084071"
    # Pixels 8 to 27 and 6 to 21, both included, counted from 0.
    np.testing.assert_array_equal(dog.sequence.boxes[0], [8, 6, 20, 16])
    np.testing.assert_array_equal(dog.sequence.occluded, np.arange(7) == 1)
    np.testing.assert_array_equal(cat.sequence.frame_numbers, [2, 3, 4])
    np.testing.assert_array_equal(cat.generated, [False, True, False])
    assert cat.sequence.frames.paths[0].endswith(f"Data/VID/train/{first}/000002.JPEG")
    with pytest.raises(ValueError, match=r"000000.xml is no annotation"):
        reader.read(root, "train", broken)


def test_vid_needs_tracks_and_frame_numbers(tmp_path):
    folder = tmp_path / "Annotations/VID/val/ILSVRC2015_val_00000000"
    thing = "<object><name>a</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax>"
    thing += "<ymax>2</ymax></bndbox></object>"
    write_text(folder / "000000.xml", f"<annotation>{thing}</annotation>")
    with pytest.raises(ValueError, match=r"000000.xml has an <object> without <trackid>"):
        READERS["vid"].read(tmp_path, "val", folder.name)
    (folder / "000000.xml").rename(folder / "a.xml")
    with pytest.raises(ValueError, match=r"a.xml is not named by a frame number"):
        READERS["vid"].read(tmp_path, "val", folder.name)
    (folder / "a.xml").rename(folder / f"{10**19}.xml")  # more than an i64 holds
    with pytest.raises(ValueError, match=r"10000000000000000000.xml is not named by a frame"):
        READERS["vid"].read(tmp_path, "val", folder.name)


def test_got10k(tmp_path):
    first = make_got10k(tmp_path / "train", "A", BOXES, absence=[0, 1, 0], cover=[8, 8, 3])
    meta = ("[METAINFO]", "object_class: dog", "source: zoo", "source_frames: 3 7 20")
    write_text(first / "meta_info.ini", *meta, end="\r\n")
    second = make_got10k(tmp_path / "train", "GOT-10k_Train_008625", [[1, 2, np.nan, 3]], cover=[0])
    (second / "00000001.jpg").unlink()
    track, bad = read_all("got10k", tmp_path)
    np.testing.assert_array_equal(track.sequence.boxes, np.float32(BOXES))
    np.testing.assert_array_equal(track.sequence.visible, [True, False, True])
    np.testing.assert_array_equal(track.sequence.occluded, [False, False, True])
    np.testing.assert_array_equal(track.sequence.frame_numbers, [3, 7, 20])
    assert (track.sequence.category, track.sequence.source, track.flaw) == ("dog", "zoo", "")
    assert (bad.sequence.category, bad.sequence.source, bad.flaw) == ("", "got10k", "known bad")
    assert not bad.sequence.visible[0] and np.isnan(bad.sequence.boxes[0, 2])
    write_text(first / "meta_info.ini", "source_frames: 3 x 20")
    with pytest.raises(ValueError, match=r"meta_info.ini must be 3 frame numbers, got '3 x 20'"):
        read_all("got10k", tmp_path)


def test_folder_is_got10k_without_a_list(tmp_path):
    make_got10k(tmp_path, "B", BOXES)
    make_got10k(tmp_path, "A", BOXES[:1])
    (tmp_path / "list.txt").unlink()
    assert [track.sequence.name for track in read_all("folder", tmp_path)] == ["A", "B"]


def test_otb(tmp_path):
    for frame in (1, 2):
        write_image(tmp_path / f"Jogging/img/{frame:04d}.jpg")
    write_text(tmp_path / "Jogging/groundtruth_rect.1.txt", "1,1,20,10", "2,1,20,10")
    write_text(tmp_path / "Jogging/groundtruth_rect.2.txt", "5\t6\t20\t10", "6\t6\t20\t10")
    (tmp_path / "Jogging/groundtruth_rect.3.txt").write_text("\n")  # as in Human4
    first, second = read_all("otb", tmp_path)
    np.testing.assert_array_equal(first.sequence.boxes, [[0, 0, 20, 10], [1, 0, 20, 10]])
    np.testing.assert_array_equal(second.sequence.boxes[0], [4, 5, 20, 10])
    assert [track.sequence.name for track in (first, second)] == ["Jogging-1", "Jogging-2"]
    assert first.sequence.source == "otb"
    write_image(tmp_path / "Jogging/img/0003.jpg")
    with pytest.raises(ValueError, match=r"Jogging-1 has 2 boxes but 3 images in .*img"):
        read_all("otb", tmp_path)


def test_otb_ranges_hold_in_preparation_as_well(tmp_path):
    for frame in range(298, 773):  # David's boxes belong to frames 300 to 770
        (tmp_path / "David/img").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"David/img/{frame:04d}.jpg").touch()
    write_text(tmp_path / "David/groundtruth_rect.txt", *["1,1,20,10"] * 471)
    (track,) = read_all("otb", tmp_path)
    assert [track.sequence.frames.paths[index][-8:] for index in (0, -1)] == [
        "0300.jpg",
        "0770.jpg",
    ]


@pytest.mark.parametrize("numbers", [[0, 1, 2], [1, 2, 3]])
def test_folders_may_count_their_frames_from_0_or_1(tmp_path, numbers):
    write_text(tmp_path / "my clip/groundtruth.txt", *["1,1,20,10"] * 3)
    write_text(tmp_path / "list.txt", "my clip")
    for number in numbers:
        write_image(tmp_path / f"my clip/{number:08d}.png")
    for dataset, root, split in (
        ("folder", tmp_path, None),
        ("got10k", tmp_path.parent, tmp_path.name),
    ):
        (track,) = read_all(dataset, root, split)
        assert track.sequence.name == "my clip"
        assert [path[-5:] for path in track.sequence.frames.paths] == [
            f"{number}.png" for number in numbers
        ]


def test_lasot(tmp_path):
    folder = tmp_path / "dog/dog-7"
    write_text(folder / "groundtruth.txt", "1,1,20,10", "2,1,20,10", "3,1,20,10")
    write_text(folder / "full_occlusion.txt", "0,1,0", end="")
    write_text(folder / "out_of_view.txt", "0,0,1", end="")
    write_text(tmp_path / "training_set.txt", "dog-7", end="\r\n")
    (track,) = read_all("lasot", tmp_path)
    np.testing.assert_array_equal(track.sequence.boxes[:, 0], [0, 1, 2])
    np.testing.assert_array_equal(track.sequence.visible, [True, False, False])
    assert track.sequence.category == "dog"
    write_image(folder / "img/00000003.jpg")
    (track,) = read_all("lasot", tmp_path)
    assert track.sequence.frames.paths[2] == str(folder / "img/00000003.jpg")
    assert track.sequence.frames.paths[0] == str(folder / "img/(frame 1)")
    (tmp_path / "training_set.txt").unlink()
    assert READERS["lasot"].list_units(tmp_path, "training") == []  # it keeps the test set out


def test_trackingnet(tmp_path):
    write_text(tmp_path / "TRAIN_0/anno/a_1.txt", "4.0,5.0,20.0,10.0", "5.0,5.0,20.0,10.0")
    write_image(tmp_path / "TRAIN_0/frames/a_1/1.jpg")
    (track,) = read_all("trackingnet", tmp_path)
    np.testing.assert_array_equal(track.sequence.boxes[1], [5, 5, 20, 10])
    assert track.sequence.frames.paths[1] == str(tmp_path / "TRAIN_0/frames/a_1/1.jpg")


def test_voc(tmp_path):
    person, dog = read_all("voc", make_voc(tmp_path))
    # Pixels 11 to 30 and 7 to 36, counted from 1; the box of the <part> is not its box.
    np.testing.assert_array_equal(person.sequence.boxes, [[10, 6, 20, 30]])
    np.testing.assert_array_equal(dog.sequence.boxes, [[32.5, 19.25, 20, 20]])
    assert person.sequence.occluded.all() and not dog.sequence.occluded.any()
    assert [person.sequence.category, dog.sequence.category] == ["person", "dog"]
    (tmp_path / "ImageSets/Main/trainval.txt").unlink()
    (tmp_path / "Annotations/._2012_000001.xml").write_bytes(b"Mac OS X")
    assert len(read_all("voc", tmp_path)) == 3


def test_voc_images_of_any_ending_and_names_with_blanks(tmp_path):
    make_voc(tmp_path)
    listing = tmp_path / "ImageSets/Main/trainval.txt"
    for name, ending in (("a b", ".png"), ("c 1", ".JPG"), ("d", ".bmp")):
        data = (tmp_path / "Annotations/2012_000002.xml").read_bytes()
        (tmp_path / f"Annotations/{name}.xml").write_bytes(data)
        write_image(tmp_path / f"JPEGImages/{name}{ending}")
    write_text(listing, "a b 1", "c 1", "d  -1", "e -1")
    assert READERS["voc"].list_units(tmp_path, "trainval") == ["a b", "c 1", "d", "e"]
    (tmp_path / "Annotations/e.xml").write_bytes(data)
    paths = [track.sequence.frames.paths[0] for track in read_all("voc", tmp_path)]
    assert [path.rpartition("/")[2] for path in paths] == ["a b.png", "c 1.JPG", "d.bmp", "e.jpg"]


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../b", "..\\b", "\\b"])
def test_images_outside_the_folder_of_a_set_are_refused(tmp_path, name):
    make_voc(tmp_path / "voc")
    write_text(tmp_path / "voc/ImageSets/Main/trainval.txt", name)
    with pytest.raises(ValueError, match=r"a list of .*voc names .*, which is not a file in the"):
        read_all("voc", tmp_path / "voc")
    path = make_coco(tmp_path / "coco") / "annotations/instances_train2017.json"
    content = json.loads(path.read_text())
    content["images"][1]["file_name"] = name
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"instances_train2017.json names .*, which is not a file"):
        read_all("coco", tmp_path / "coco")


def test_coco(tmp_path):
    tracks = read_all("coco", make_coco(tmp_path))
    assert [track.sequence.name for track in tracks[3:]] == [
        "000000000009.jpg/4",
        "000000000009.jpg/5",
        "000000000011.jpg/6",
    ]
    np.testing.assert_array_equal(tracks[1].sequence.boxes, [[30.5, 20.25, 8, 12]])
    assert [track.flaw for track in tracks[:3]] == ["", "", "crowd"]
    assert {track.sequence.category for track in tracks} == {"dog"}
    assert len({track.sequence.frames.paths for track in tracks[:3]}) == 1
    assert {track.frame_size for track in tracks} == {(64, 48)}


def test_coco_with_the_separators_of_windows(tmp_path):
    path = make_coco(tmp_path) / "annotations/instances_train2017.json"
    content = json.loads(path.read_text())
    content["images"][0]["file_name"] = "images\\a.jpg"
    path.write_text(json.dumps(content))
    paths = {path for track in read_all("coco", tmp_path) for path in track.sequence.frames.paths}
    assert str(tmp_path / "train2017/images/a.jpg") in paths


def test_an_annotation_of_no_image_is_left_out_alone(tmp_path):
    path = make_coco(tmp_path) / "annotations/instances_train2017.json"
    content = json.loads(path.read_text())
    content["annotations"][1]["image_id"] = 999
    path.write_text(json.dumps(content))
    *stills, broken = READERS["coco"].list_units(tmp_path, "train2017")
    assert len(stills) == 3
    with pytest.raises(ValueError, match=r"2017.json: annotation 2 has image_id 999, which is not"):
        READERS["coco"].read(tmp_path, "train2017", broken)


@pytest.mark.parametrize("name", READERS)
def test_nothing_in_the_layout_is_no_unit(name, tmp_path):
    assert READERS[name].list_units(tmp_path / "missing", "train") == []


@settings(max_examples=40, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "groundtruth.txt": st.binary(),
            "meta_info.ini": st.binary()
            | st.text(max_size=9).map(lambda t: f"source_frames:{t}".encode()),
            "absence.label": st.binary(),
            "cover.label": st.binary(),
            "full_occlusion.txt": st.binary(),
        },
    )
)
def test_video_folders_give_boxes_or_say_why(tmp_path_factory, files):
    root = tmp_path_factory.mktemp("a")
    for layout in ("train/a", "a/a-1"):
        folder = root / layout
        folder.mkdir(parents=True)
        (folder / "groundtruth.txt").write_bytes(b"1,2,3,4\n5,6,7,8\n")
        for name, data in files.items():
            (folder / name).write_bytes(data)
    for name, unit in (("got10k", "train/a"), ("lasot", "a/a-1")):
        try:
            (track,), said = READERS[name].read(root, "train", unit), ""
        except ValueError as error:
            track, said = None, str(error)
        if track is None:
            assert str(root) in said
        else:
            count = len(track.sequence.boxes)
            assert track.sequence.boxes.shape == (count, 4)
            assert len(track.sequence.frames) == len(track.sequence.visible) == count


def make_trackingnet(root):
    write_text(root / "TRAIN_0/anno/a_1.txt", "4.0,5.0,20.0,10.0", "5.0,5.0,20.0,10.0")


def make_otb(root):
    write_image(root / "Car/img/0001.jpg")
    write_text(root / "Car/groundtruth_rect.txt", "1,1,20,10")


TREES = {
    "vid": make_vid,
    "voc": make_voc,
    "coco": make_coco,
    "trackingnet": make_trackingnet,
    "otb": make_otb,
}


@pytest.mark.parametrize("name", TREES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_bytes_in_any_file_give_tracks_or_say_why(tmp_path_factory, name, data):
    root = tmp_path_factory.getbasetemp() / f"any-{name}"
    if not root.exists():
        TREES[name](root)
    kinds = (".txt", ".xml", ".json")
    file = data.draw(st.sampled_from([p for p in sorted(root.rglob("*")) if p.suffix in kinds]))
    before = file.read_bytes()
    file.write_bytes(data.draw(contents))
    reader, tracks, said = READERS[name], [], []
    try:
        for unit in reader.list_units(root, reader.split):
            try:
                tracks += reader.read(root, reader.split, unit)
            except (ValueError, OSError) as error:
                said.append(str(error))
    except ValueError as error:
        said.append(str(error))
    finally:
        file.write_bytes(before)
    assert all(str(root) in text and "\n" not in text for text in said), said
    for track in tracks:
        count = len(track.sequence.frames)
        assert track.sequence.boxes.shape == (count, 4)
        assert len(track.sequence.visible) == len(track.sequence.occluded) == count
