"""Sequences from tiny trees in the OTB and GOT-10k layouts, warts included."""

import numpy as np
import pytest
from tiny_layouts import make_got10k, write_boxes, write_images

from siamfc_jax.data import otb_table, sequences


def test_otb_layout(tmp_path):
    write_images(tmp_path / "Girl" / "img", [1, 2, 3])
    write_boxes(tmp_path / "Girl" / "groundtruth_rect.txt", 3, separator="\t", end="\r\n")
    write_images(tmp_path / "Board" / "img", [1, 2], digits=5)  # 00001.jpg
    write_boxes(tmp_path / "Board" / "groundtruth_rect.txt", 2)
    write_images(tmp_path / "BlurCar1" / "img", [247, 248])  # does not begin at 1
    write_boxes(tmp_path / "BlurCar1" / "groundtruth_rect.txt", 2, separator=" ")
    found = sequences.read_otb(tmp_path)
    assert [s.name for s in found] == ["BlurCar1", "Board", "Girl"]
    assert [len(s.frames) for s in found] == [2, 2, 3]
    girl = found[2]
    np.testing.assert_array_equal(girl.boxes[:2], [[0, 1, 5, 6], [1, 1, 5, 6]])
    assert girl.boxes.dtype == np.float32
    assert girl.visible.all()
    assert girl.attributes == ("SV", "OCC", "IPR", "OPR")
    assert girl.frames[1].shape == (12, 16, 3)
    assert abs(int(girl.frames[1][0, 0, 0]) - 2) <= 2  # JPEG


def test_otb_ranges(tmp_path):
    for name, (first, last) in otb_table.RANGES.items():
        write_images(tmp_path / name / "img", range(max(1, first - 2), last + 3), size=(2, 2))
        write_boxes(tmp_path / name / "groundtruth_rect.txt", last - first + 1)
    found = {s.name: s for s in sequences.read_otb(tmp_path)}
    assert {name: len(s.frames) for name, s in found.items()} == {
        "David": 471, "Diving": 215, "Football1": 74, "Freeman3": 460, "Freeman4": 283
    }  # fmt: skip
    assert found["David"].frames.paths[0].endswith("0300.jpg")
    assert found["Freeman4"].frames.paths[-1].endswith("0283.jpg")


def test_otb_two_objects(tmp_path):
    write_images(tmp_path / "Jogging" / "img", [1, 2])
    write_images(tmp_path / "Human4" / "img", [1, 2])
    for number in (1, 2):
        write_boxes(tmp_path / "Jogging" / f"groundtruth_rect.{number}.txt", 2)
    (tmp_path / "Human4" / "groundtruth_rect.1.txt").write_text("\n")
    write_boxes(tmp_path / "Human4" / "groundtruth_rect.2.txt", 2)
    names = [s.name for s in sequences.read_otb(tmp_path)]
    assert names == ["Human4-2", "Jogging-1", "Jogging-2"]


def test_otb_versions_have_the_published_sizes():
    two = {"Jogging", "Skating2"}
    sizes = {v: sum(2 if name in two else 1 for name in n) for v, n in otb_table.VERSIONS.items()}
    assert sizes == {"2013": 51, "50": 50, "100": 100}
    used = {a for attributes in otb_table.ATTRIBUTES_OF.values() for a in attributes}
    assert used == set(otb_table.ATTRIBUTES)


def test_otb_version_needs_all_of_its_sequences(tmp_path):
    for name in (*otb_table.VERSIONS["50"], "Girl2", "Own"):
        write_images(tmp_path / name / "img", [300], size=(2, 2))  # within David's range, too
        write_boxes(tmp_path / name / "groundtruth_rect.txt", 1)
        first, last = otb_table.RANGES.get(name, (300, 300))
        if not first <= 300 <= last:
            write_images(tmp_path / name / "img", [1], size=(2, 2))
    names = [s.name for s in sequences.read_otb(tmp_path, version="50") if s.name != "Human4"]
    assert len(names) == 48
    assert "Own" not in names
    with pytest.raises(ValueError, match=r"OTB-100 needs Bird2, BlurCar1.*, not found in "):
        sequences.read_otb(tmp_path, version="100")


def test_otb_errors(tmp_path):
    with pytest.raises(
        ValueError, match=r"no NAME/groundtruth_rect.txt below .*; expected the OTB"
    ):
        sequences.read_otb(tmp_path)
    write_images(tmp_path / "a" / "img", [1, 2, 4])
    write_boxes(tmp_path / "a" / "groundtruth_rect.txt", 4)
    message = "a has 4 boxes but 3 images in .*img; the first one missing is number 3"
    with pytest.raises(ValueError, match=message):
        sequences.read_otb(tmp_path)
    for path in (tmp_path / "a" / "img").glob("*"):
        path.unlink()
    with pytest.raises(ValueError, match=r"a has 4 boxes but 0 images in .*img$"):
        sequences.read_otb(tmp_path)


def test_a_damaged_image_is_named(tmp_path):
    write_images(tmp_path / "a" / "img", [1])
    write_boxes(tmp_path / "a" / "groundtruth_rect.txt", 1)
    (tmp_path / "a" / "img" / "0001.jpg").write_bytes(b"no image")
    (sequence,) = sequences.read_otb(tmp_path)
    with pytest.raises(ValueError, match=r"cannot read image .*0001.jpg; expected a readable JPEG"):
        sequence.frames[0]


def test_got10k_layout(tmp_path):
    folder = make_got10k(tmp_path)
    (folder / "absence.label").write_text("0\n1\n0\n0\n")
    (folder / "cover.label").write_text("8\n8\n0\n3\n")
    (folder / "meta_info.ini").write_text("[METAINFO]\nurl: x\nsource_frames: 5 9 13 17\n")
    (sequence,) = sequences.read_got10k(tmp_path, "val")
    np.testing.assert_array_equal(sequence.boxes[0], [1, 2, 5, 6])  # as published
    np.testing.assert_array_equal(sequence.visible, [True, False, False, True])
    np.testing.assert_array_equal(sequence.frame_numbers, [5, 9, 13, 17])


def test_got10k_test_set_has_only_the_first_box(tmp_path):
    make_got10k(tmp_path, "test", boxes=1)
    (sequence,) = sequences.read_got10k(tmp_path, "test")
    assert len(sequence.frames) == len(sequence.boxes) == 4
    np.testing.assert_array_equal(np.isnan(sequence.boxes[:, 0]), [False, True, True, True])
    np.testing.assert_array_equal(sequence.visible, [True, False, False, False])


def test_got10k_errors(tmp_path):
    with pytest.raises(ValueError, match=r"no .*list.txt; expected the GOT-10k layout, one track"):
        sequences.read_got10k(tmp_path, "val")
    folder = make_got10k(tmp_path, boxes=3)
    with pytest.raises(ValueError, match="GOT-10k_Val_000001 has 3 boxes but 4 images"):
        sequences.read_got10k(tmp_path, "val")
    write_boxes(folder / "groundtruth.txt", 4)
    (folder / "meta_info.ini").write_text("source_frames: 1 2\n")
    with pytest.raises(ValueError, match=r"meta_info.ini must be 4 frame numbers, got '1 2'"):
        sequences.read_got10k(tmp_path, "val")
    (tmp_path / "val" / "list.txt").write_text("")
    with pytest.raises(ValueError, match=r"list.txt is empty; expected one name a line"):
        sequences.read_got10k(tmp_path, "val")


def test_frames_may_change_their_size(tmp_path):
    folder = make_got10k(tmp_path)
    write_images(folder, [3], digits=8, size=(20, 30))
    (sequence,) = sequences.read_got10k(tmp_path, "val")
    assert [frame.shape[:2] for frame in sequence.frames] == [(12, 16)] * 2 + [(20, 30), (12, 16)]


def test_part_slices_everything_by_frame(tmp_path):
    make_got10k(tmp_path)
    (whole,) = sequences.read_got10k(tmp_path, "val")
    whole = whole._replace(
        source="abc", anchors=np.arange(4), regions=[np.full(4, i) for i in range(4)]
    )
    back = sequences.part(whole, slice(2, None, -1))
    assert (back.name, back.source) == (whole.name, "abc")
    assert len(back.frames) == 3
    assert back.frames.paths[0] == whole.frames.paths[2]
    np.testing.assert_array_equal(back.boxes, whole.boxes[2::-1])
    np.testing.assert_array_equal(back.anchors, [2, 1, 0])
    assert [region[0] for region in back.regions] == [2, 1, 0]


def test_images_come_in_the_order_of_their_numbers(tmp_path):
    write_images(tmp_path, [1, 2, 10], digits=1)
    write_images(tmp_path, [3], digits=1, suffix=".PNG")
    (tmp_path / "notes.txt").write_text("")
    assert [path.name for path in sequences.images(tmp_path)] == [
        "1.jpg", "2.jpg", "3.PNG", "10.jpg"
    ]  # fmt: skip
    assert sequences.images(tmp_path / "missing") == []
