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


@pytest.mark.parametrize(
    "data, said",
    [
        (b"", "no element found"),
        (b"<annotation><object></annotation>", "mismatched tag"),
        (b'<?xml version="1.0" encoding="nonsense"?><a/>', "nonsense|encoding"),
        (b"<a><object><bndbox/></object></a>", "<object> has no <name>"),
        (b"<a><object><name>b</name></object></a>", "<object> has no <bndbox/xmin>"),
        (f"<a>{xml_object('b', ('x', 1, 2, 3))}</a>".encode(), "could not convert string"),
    ],
)
def test_parse_xml_errors(data, said):
    with pytest.raises(ValueError, match=f"a.xml is no annotation in the VOC form .*({said})"):
        parse_xml(data, "a.xml")


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
    assert all(len(thing.corners) == 4 for thing in objects)


def test_parse_coco_values():
    assert parse_coco(coco(), "a.json") == [
        Still("a.jpg", ((1, "dog", (1.0, 2.0, 3.0, 4.0), False),))
    ]
    assert parse_coco(coco(iscrowd=1), "a.json")[0].objects[0][3]


@pytest.mark.parametrize(
    "data, said",
    [
        (b"\xff{", "UnicodeDecodeError"),
        (b"[]", "TypeError"),
        (b"{}", "KeyError: 'categories'"),
        (coco(bbox=[1, 2, 3]), "bbox of annotation 1 has 3 numbers"),
        (coco(bbox=None), "TypeError"),
        (coco(image_id=8), "KeyError: 8"),
        (coco(category_id=1), "KeyError: 1"),
        (coco(id=float("inf")), "OverflowError"),
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


def test_make_track_spreads_flags_and_numbers_frames():
    track = make_track("a", [None] * 2, [[1, 2, 3, 1e300], [0] * 4], source="s", occluded=True)
    assert track.sequence.source == "s"
    np.testing.assert_array_equal(track.sequence.boxes, np.float32([[1, 2, 3, np.inf], [0] * 4]))
    np.testing.assert_array_equal(track.sequence.frame_numbers, [0, 1])
    np.testing.assert_array_equal(track.sequence.visible, [True, True])
    np.testing.assert_array_equal(track.occluded, [True, True])
    np.testing.assert_array_equal(track.generated, [False, False])
