"""Sequences from tiny trees in the OTB and GOT-10k layouts, warts included."""

import cv2
import numpy as np
import pytest
from tiny_layouts import make_got10k, write_boxes, write_images

from siamfc_jax.data import layouts, otb_table, sequences


def test_otb_layout(tmp_path):
    write_images(tmp_path / "Girl" / "img", [1, 2, 3])
    write_boxes(tmp_path / "Girl" / "groundtruth_rect.txt", 3, separator="\t", end="\r\n")
    write_images(tmp_path / "Board" / "img", [1, 2], digits=5)  # 00001.jpg
    write_boxes(tmp_path / "Board" / "groundtruth_rect.txt", 2)
    write_images(tmp_path / "BlurCar1" / "img", [247, 248])  # does not begin at 1
    write_boxes(tmp_path / "BlurCar1" / "groundtruth_rect.txt", 2, separator=" ")
    found = layouts.read_otb(tmp_path)
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
    found = {s.name: s for s in layouts.read_otb(tmp_path)}
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
    names = [s.name for s in layouts.read_otb(tmp_path)]
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
    names = [s.name for s in layouts.read_otb(tmp_path, version="50") if s.name != "Human4"]
    assert len(names) == 48
    assert "Own" not in names
    with pytest.raises(ValueError, match=r"OTB-100 needs Bird2, BlurCar1.*, not found in "):
        layouts.read_otb(tmp_path, version="100")


def test_otb_errors(tmp_path):
    with pytest.raises(
        ValueError, match=r"no NAME/groundtruth_rect.txt below .*; expected the OTB"
    ):
        layouts.read_otb(tmp_path)
    write_images(tmp_path / "a" / "img", [1, 2, 4])
    write_boxes(tmp_path / "a" / "groundtruth_rect.txt", 4)
    message = "a has 4 boxes but 3 images in .*img; the first one missing is number 3"
    with pytest.raises(ValueError, match=message):
        layouts.read_otb(tmp_path)
    for path in (tmp_path / "a" / "img").glob("*"):
        path.unlink()
    with pytest.raises(ValueError, match=r"a has 4 boxes but 0 images in .*img$"):
        layouts.read_otb(tmp_path)


def test_a_damaged_image_is_named(tmp_path):
    write_images(tmp_path / "a" / "img", [1])
    write_boxes(tmp_path / "a" / "groundtruth_rect.txt", 1)
    (tmp_path / "a" / "img" / "0001.jpg").write_bytes(b"no image")
    (sequence,) = layouts.read_otb(tmp_path)
    with pytest.raises(ValueError, match=r"cannot read image .*0001.jpg \(it is damaged or no"):
        sequence.frames[0]


def test_got10k_layout(tmp_path):
    folder = make_got10k(tmp_path)
    (folder / "absence.label").write_text("0\n1\n0\n0\n")
    (folder / "cover.label").write_text("8\n8\n0\n3\n")
    (folder / "meta_info.ini").write_text("[METAINFO]\nurl: x\nsource_frames: 5 9 13 17\n")
    (sequence,) = layouts.read_got10k(tmp_path, "val")
    np.testing.assert_array_equal(sequence.boxes[0], [1, 2, 5, 6])  # as published
    np.testing.assert_array_equal(sequence.visible, [True, False, False, True])
    np.testing.assert_array_equal(sequence.frame_numbers, [5, 9, 13, 17])


def test_got10k_test_set_has_only_the_first_box(tmp_path):
    make_got10k(tmp_path, "test", boxes=1)
    (sequence,) = layouts.read_got10k(tmp_path, "test")
    assert len(sequence.frames) == len(sequence.boxes) == 4
    np.testing.assert_array_equal(np.isnan(sequence.boxes[:, 0]), [False, True, True, True])
    np.testing.assert_array_equal(sequence.visible, [True, False, False, False])


def test_got10k_errors(tmp_path):
    with pytest.raises(ValueError, match=r"no .*list.txt; expected the GOT-10k layout, one track"):
        layouts.read_got10k(tmp_path, "val")
    folder = make_got10k(tmp_path, boxes=3)
    with pytest.raises(ValueError, match="GOT-10k_Val_000001 has 3 boxes but 4 images"):
        layouts.read_got10k(tmp_path, "val")
    write_boxes(folder / "groundtruth.txt", 4)
    (folder / "meta_info.ini").write_text("source_frames: 1 2\n")
    with pytest.raises(ValueError, match=r"meta_info.ini must be 4 frame numbers, got '1 2'"):
        layouts.read_got10k(tmp_path, "val")
    (tmp_path / "val" / "list.txt").write_text("")
    with pytest.raises(ValueError, match=r"list.txt is empty; expected one name a line"):
        layouts.read_got10k(tmp_path, "val")


def test_frames_may_change_their_size(tmp_path):
    folder = make_got10k(tmp_path)
    write_images(folder, [3], digits=8, size=(20, 30))
    (sequence,) = layouts.read_got10k(tmp_path, "val")
    assert [frame.shape[:2] for frame in sequence.frames] == [(12, 16)] * 2 + [(20, 30), (12, 16)]


def test_slice_sequence_slices_everything_by_frame(tmp_path):
    make_got10k(tmp_path)
    (whole,) = layouts.read_got10k(tmp_path, "val")
    whole = whole._replace(
        source="abc", anchors=np.arange(4), regions=[np.full(4, i) for i in range(4)]
    )
    back = sequences.slice_sequence(whole, slice(2, None, -1))
    assert (back.name, back.source) == (whole.name, "abc")
    assert len(back.frames) == 3
    assert back.frames.paths[0] == whole.frames.paths[2]
    np.testing.assert_array_equal(back.boxes, whole.boxes[2::-1])
    np.testing.assert_array_equal(back.anchors, [2, 1, 0])
    assert [region[0] for region in back.regions] == [2, 1, 0]


def test_slices_keep_what_is_said_of_the_whole(tmp_path):
    folder = make_got10k(tmp_path)
    (folder / "meta_info.ini").write_text("object_class: dog\n")
    (folder / "cover.label").write_text("8\n3\n8\n0\n")
    (whole,) = layouts.read_got10k(tmp_path, "val")
    tail = sequences.slice_sequence(whole, slice(1, None))
    assert tail.category == "dog"
    np.testing.assert_array_equal(tail.occluded, [True, False, True])


def test_select_sequences(tmp_path):
    for name in "ab":
        write_images(tmp_path / name / "img", [1])
        write_boxes(tmp_path / name / "groundtruth_rect.txt", 1)
    both = layouts.read_otb(tmp_path)
    assert sequences.select_sequences(both, None) == both
    assert [s.name for s in sequences.select_sequences(both, ["b"])] == ["b"]
    with pytest.raises(ValueError, match=r"there is no sequence c, d in --data"):
        sequences.select_sequences(both, ["b", "d", "c"])


def test_a_first_box_that_is_none_is_named_with_its_sequence(tmp_path):
    for name in "ab":
        write_images(tmp_path / name / "img", [1, 2])
        write_boxes(tmp_path / name / "groundtruth_rect.txt", 2)
    (tmp_path / "b" / "groundtruth_rect.txt").write_text("NaN,NaN,NaN,NaN\n1,1,2,2\n")
    with pytest.raises(ValueError, match=r"the first box of b in .* is nan,nan,nan,nan; expected"):
        layouts.read_otb(tmp_path)
    (tmp_path / "b" / "groundtruth_rect.txt").write_text("1,1,0,2\n1,1,2,2\n")
    with pytest.raises(ValueError, match=r"the first box of b in .* is 0,0,0,2; expected finite"):
        layouts.read_otb(tmp_path)


def test_a_cut_off_image_of_a_benchmark_is_an_error_that_names_it(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    write_images(tmp_path / "a" / "img", [1, 2])
    write_boxes(tmp_path / "a" / "groundtruth_rect.txt", 2)
    path = tmp_path / "a" / "img" / "0002.jpg"
    assert cv2.imwrite(str(path), noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (sequence,) = layouts.read_otb(tmp_path)
    assert sequence.frames[0].shape == (12, 16, 3)
    with pytest.raises(ValueError, match=r"cannot read image .*0002.jpg \(it is cut off\)"):
        sequence.frames[1]


def test_frames_that_systems_leave_beside_images_do_not_count(tmp_path):
    write_images(tmp_path / "a" / "img", [1, 2])
    write_boxes(tmp_path / "a" / "groundtruth_rect.txt", 2)
    (tmp_path / "a" / "img" / "._0001.jpg").write_bytes(b"Mac OS X")
    (tmp_path / "a" / "img" / "Thumbs.db").write_bytes(b"Windows")
    (tmp_path / "__MACOSX" / "a").mkdir(parents=True)
    (tmp_path / "__MACOSX" / "a" / "._groundtruth_rect.txt").write_bytes(b"\0\5")
    (sequence,) = layouts.read_otb(tmp_path)
    assert [path[-8:] for path in sequence.frames.paths] == ["0001.jpg", "0002.jpg"]


@pytest.mark.parametrize(
    ("numbers", "first", "expected"),
    [
        ([0, 1, 2, 3], 1, [0, 1, 2, 3]),  # as many as boxes: in order, whatever they count from
        ([0, 1, 3], 1, [0, 1, None, 3]),  # counts from 0, as there is a frame 0
        ([1, 2, 4], 1, [1, 2, None, 4]),
        ([2, 3, 4], 1, [None, 2, 3, 4]),
        ([1, 2, 3, 4, 5], 1, [1, 2, 3, 4]),
        ([], 1, [None] * 4),
    ],
)
def test_boxes_stay_with_the_images_of_their_numbers(tmp_path, numbers, first, expected):
    write_images(tmp_path, numbers)
    paths = [tmp_path / f"{number:04d}.jpg" for number in numbers]
    boxes = np.ones((4, 4), np.float32)
    frames = sequences.make_sequence("a", tmp_path, paths, boxes, first=first).frames
    assert len(frames) == 4
    for index, number in enumerate(expected):
        if number is None:
            with pytest.raises(ValueError, match=r"\(frame \d\) \(No such file or directory\)"):
                frames[index]
        else:
            assert frames.paths[index].endswith(f"{number:04d}.jpg")


def test_images_of_other_numbers_are_refused(tmp_path):
    boxes = np.ones((4, 4), np.float32)
    for names in (["0007.jpg", "0008.jpg"], ["0001.jpg", "0001.png"], ["a.jpg"]):
        paths = [tmp_path / name for name in names]
        with pytest.raises(ValueError, match=r"a has 4 boxes but \d images in"):
            sequences.make_sequence("a", tmp_path, paths, boxes, first=1)
