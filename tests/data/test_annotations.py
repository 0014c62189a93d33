"""XML and JSON annotations: their values, and that nothing else passes."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training_trees import xml_object

from siamfc_jax.data.annotations import AnnotatedObject, Still, make_track, parse_coco, parse_xml

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


def coco(**changes):
    row = {"id": 1, "image_id": 7, "bbox": [1, 2, 3, 4], "category_id": 18, "iscrowd": 0}
    image = {"id": 7, "file_name": "a.jpg"}
    content = {
        "images": [image],
        "annotations": [row | changes],
        "categories": [{"id": 18, "name": "dog"}],
    }
    return json.dumps(content).encode()


def test_parse_xml_values():
    data = xml_object("n02084071", (8, "6.5", 27, 21), track=3, occluded=1)
    plain = "<object><name> dog </name><bndbox><xmin>1</xmin><ymin>2</ymin>"
    plain += "<xmax>3</xmax><ymax>4</ymax></bndbox></object>"
    assert parse_xml(f"<annotation>{data}{plain}</annotation>".encode(), "a.xml") == [
        AnnotatedObject("3", "n02084071", (8.0, 6.5, 27.0, 21.0), True, False),
        AnnotatedObject("", "dog", (1.0, 2.0, 3.0, 4.0), False, False),
    ]
    assert parse_xml(b"<annotation><size/></annotation>", "a.xml") == []
    for size, expected in (
        ("<width>64</width><height> 48 </height>", (64, 48)),
        ("<width>0</width><height>0</height>", None),
        ("<width>64</width>", None),
        ("<width>a</width>", None),
    ):
        text = f"<annotation><size>{size}</size>{data}</annotation>"
        assert parse_xml(text.encode(), "a.xml")[0].frame_size == expected


@pytest.mark.parametrize(
    "data, said",
    [
        (b"", "no element found"),
        (b"<annotation><object></annotation>", "mismatched tag"),
        (b'<?xml version="1.0" encoding="nonsense"?><a/>', "nonsense|encoding"),
        (b"<a><object><bndbox/></object></a>", "<object> has no <name>"),
        (b'<?xml version="1.0" encoding="gb2312"?><a>\xff</a>', "gb2312"),
    ],
)
def test_parse_xml_errors(data, said):
    with pytest.raises(ValueError, match=f"a.xml is no annotation in the VOC form .*({said})"):
        parse_xml(data, "a.xml")


@pytest.mark.parametrize("other", ["<object><name>b</name><polygon/></object>", "x", ""])
def test_an_object_without_a_box_costs_no_other_one(other):
    other = xml_object("b", (other, 1, 2, 3)) if len(other) < 2 else other
    data = xml_object("a", ("\ufeff8", " 6.5 ", 27, 21))  # a mark that scripts leave
    good, bad = parse_xml(f"<annotation>{data}{other}</annotation>".encode(), "a.xml")
    assert good.corners == (8, 6.5, 27, 21)
    assert np.isnan(bad.corners[0])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "gb2312", "shift_jis"])
def test_parse_xml_in_any_encoding(encoding):
    text = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>'
    text += f"<annotation>{xml_object('人', (1, 2, 3, 4))}</annotation>"
    assert parse_xml(text.encode(encoding), "a.xml")[0].category == "人"


@settings(max_examples=60, deadline=None)
@given(
    st.binary()
    | st.builds(
        lambda name, corners: f"<a>{xml_object(name, corners)}</a>".encode("utf-8", "replace"),
        st.text(max_size=5),
        st.tuples(*[st.floats() | st.text(max_size=3)] * 4),
    )
)
def test_parse_xml_gives_corners_or_says_why(data):
    try:
        objects, said = parse_xml(data, "a.xml"), ""
    except ValueError as error:
        objects, said = [], str(error)
    assert not said or said.startswith("a.xml is no annotation in the VOC form")
    assert all(len(annotated.corners) == 4 for annotated in objects)


def test_parse_coco_values():
    still = Still("a.jpg", None, ((1, "dog", (1.0, 2.0, 3.0, 4.0), False),))
    assert parse_coco(coco(), "a.json") == [still]
    assert parse_coco(coco(iscrowd=1), "a.json")[0].objects[0][3]
    sized = coco().replace(b'"file_name"', b'"width": 64, "height": 48, "file_name"')
    assert parse_coco(sized, "a.json") == [still._replace(frame_size=(64, 48))]


@pytest.mark.parametrize(
    "changes, problem",
    [
        ({"bbox": [1, 2, 3]}, "annotation 1 has bbox [1, 2, 3], not 4 numbers"),
        ({"bbox": []}, "annotation 1 has bbox [], not 4 numbers"),
        ({"bbox": None}, "annotation 1 has bbox None, not 4 numbers"),
        ({"bbox": [1, 2, 3, "4"]}, "annotation 1 has bbox [1, 2, 3, '4'], not 4 numbers"),
        ({"bbox": [1, 2, 3, float("nan")]}, "annotation 1 has bbox [1, 2, 3, nan], not 4 numbers"),
        ({"bbox": [1, 2, 3, 10**400]}, "annotation 1 has bbox [1, 2, 3, 1000000"),
        ({"image_id": 999}, "annotation 1 has image_id 999, which is not listed"),
        ({"image_id": [7]}, "annotation 1 has image_id [7], which is not listed"),
        ({"category_id": 1}, "annotation 1 has category_id 1, which is not listed"),
        ({"id": "\ud800\n", "bbox": []}, r"annotation '\ud800\n' has bbox [], not 4 numbers"),
    ],
)
def test_an_annotation_that_cannot_be_used_is_told_with_its_id(changes, problem):
    (still,) = parse_coco(coco(**changes), "a.json")
    assert still.problem.startswith(problem) and not still.objects


def test_identities_may_be_text_numbers_as_text_or_missing():
    def named(text, **changes):
        content = json.loads(coco(**changes))
        content["images"][0]["id"] = text
        (still,) = parse_coco(json.dumps(content).encode(), "a.json")
        return [number for number, *_ in still.objects]

    assert named("img-7", id="ann-1", image_id="img-7") == ["ann-1"]
    assert named("7", category_id="18") == [1]
    assert named(7, image_id="7", id=10**25) == [10**25]
    content = json.loads(coco())
    row = content["annotations"][0]
    del row["id"]
    content["annotations"] = [row | {"id": "b"}, row, row | {"id": 3}, row | {"id": 2}]
    (still,) = parse_coco(json.dumps(content).encode(), "a.json")
    assert [number for number, *_ in still.objects] == [2, 3, "at 1", "b"]


def test_the_other_annotations_are_read():
    content = json.loads(coco())
    good = content["annotations"][0]
    missing = {key: value for key, value in good.items() if key != "bbox"} | {"id": 3}
    content["annotations"] = [7, good | {"id": 2, "image_id": 8}, missing, good | {"id": 4}]
    still, *problems = parse_coco(json.dumps(content).encode(), "a.json")
    assert [number for number, *_ in still.objects] == [4]
    assert [broken.problem for broken in problems] == [
        "annotation at 0 is no object with an id",
        "annotation 2 has image_id 8, which is not listed",
        "annotation 3 has bbox None, not 4 numbers",
    ]


@pytest.mark.parametrize(
    "data, said",
    [
        (b"\xff{", "UnicodeDecodeError"),
        (b"[]", "TypeError"),
        (b"{}", "KeyError: 'categories'"),
        (coco().replace(b"file_name", b"name"), "KeyError: 'file_name'"),
        (b"[" * 100_000, "RecursionError"),
        (coco().replace(b"a.jpg", b"\\ud800.jpg"), "UnicodeEncodeError"),
    ],
)
def test_parse_coco_errors(data, said):
    with pytest.raises(ValueError, match=f"a.json is no COCO instances file .*{said}"):
        parse_coco(data, "a.json")


@settings(max_examples=60, deadline=None)
@given(
    st.binary()
    | ANY_JSON.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(
        st.sampled_from(["id", "image_id", "bbox", "category_id", "iscrowd"]), ANY_JSON
    ).map(lambda changes: coco(**changes))
)
def test_parse_coco_gives_boxes_or_says_why(data):
    try:
        stills, said = parse_coco(data, "a.json"), ""
    except ValueError as error:
        stills, said = [], str(error)
    assert not said or said.startswith("a.json is no COCO instances file")
    assert all(len(box) == 4 for still in stills for _, _, box, _ in still.objects)
    assert all(bool(still.problem) != bool(still.objects) for still in stills)
    assert all("\n" not in still.problem and still.problem.isprintable() for still in stills)


def test_make_track_spreads_flags_and_numbers_frames():
    track = make_track("a", [None] * 2, [[1, 2, 3, 1e300], [0] * 4], source="s", occluded=True)
    assert track.sequence.source == "s"
    np.testing.assert_array_equal(track.sequence.boxes, np.float32([[1, 2, 3, np.inf], [0] * 4]))
    np.testing.assert_array_equal(track.sequence.frame_numbers, [0, 1])
    np.testing.assert_array_equal(track.sequence.visible, [True, True])
    np.testing.assert_array_equal(track.sequence.occluded, [True, True])
    np.testing.assert_array_equal(track.generated, [False, False])
