"""What the page sends and saves, and what is seen of it frame by frame."""

import copy
import csv
import json
import sys
import threading

import pytest

from siamfc_jax.app import exports, jobs, projects

SHAPE, COUNT = (60, 80, 3), 10
DATA = {
    "objects": [
        {"id": 1, "name": " car ", "color": "#ff0000", "hidden": False},
        {"id": 4, "name": "dog", "color": "#00ff00", "hidden": True},
    ],
    "keys": [
        {"object": 1, "frame": 2, "box": [20, 15, 24, 20]},
        {"object": 1, "frame": 8, "box": [30, 15, 24, 20]},
        {"object": 4, "frame": 0, "box": [1, 2, 3, 4]},
    ],
    "ends": [{"object": 1, "frame": 5}],
}
ROWS = {"1": [[frame, 21, 15, 24, 20, 0.8, 0] for frame in range(3, 8)]}


def read(data=DATA):
    return projects.read_project(data, SHAPE, COUNT)


def test_a_project_comes_back():
    project = read()
    assert [o.name for o in project.objects] == ["car", "dog"]
    assert project.keys[1, 8] == [30, 15, 24, 20]
    assert read(projects.write_project(project)) == project
    tracks = projects.read_tracks(ROWS, COUNT)
    assert projects.write_tracks(tracks) == {int(o): rows for o, rows in ROWS.items()}


@pytest.mark.parametrize(
    "path, value, message",
    [
        (["objects"], 7, "a project holds objects, keys and ends as the page saves them"),
        (["keys", 0, "object"], 9, "a project holds objects"),
        (["objects", 1, "id"], 1, "a project holds objects"),
        (["objects", 0, "name"], " ", "every object needs a name of its own, got , dog"),
        (["objects", 0, "name"], "dog", "a name of its own, got dog, dog"),
        (["objects", 0, "name"], "a\x01", "the name of an object holds no control characters"),
        (["keys", 0, "frame"], 1e400, "a project holds objects"),
        (["objects", 0, "color"], "red", "a color is #rrggbb"),
        (["keys", 0, "frame"], 10, "the project has frame 10, the video only 0 to 9"),
        (["ends", 0, "frame"], -1, "the project has frame -1, the video only 0 to 9"),
        (["keys", 0, "box"], [1, 1, 0, 2], "box must have positive width"),
        (["keys", 0, "box"], ["x"], "box must be four finite numbers"),
        (["objects"], DATA["objects"] * 51, "holds 100 objects at most, got 102"),
    ],
)
def test_bad_projects(path, value, message):
    data = copy.deepcopy(DATA)
    *way, last = path
    part = data
    for step in way:
        part = part[step]
    part[last] = value
    with pytest.raises(ValueError) as caught:
        read(data)
    assert message in str(caught.value)


def test_tracks_are_written_while_they_grow():
    tracks = {}

    def grow():
        for number in range(30_000):
            tracks.setdefault(number // 3000, {})[number] = [1, 1, 1, 1, 1, 0]

    worker, interval = threading.Thread(target=grow), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        worker.start()
        while worker.is_alive():
            projects.write_tracks(tracks)
    finally:
        sys.setswitchinterval(interval)
        worker.join()
    assert sum(map(len, projects.write_tracks(tracks).values())) == 30_000


@pytest.mark.parametrize(
    "row",
    [[3, 1, 1, 0, 1, 0.5, 0], [10, 1, 1, 1, 1, 1, 0], [1, 2], ["x"] * 7, [1, 1, 1, 1, 1, 1, 1e400]],
)
def test_bad_tracks(row):
    with pytest.raises(ValueError, match="tracked boxes are frame, x, y, w, h, confidence"):
        projects.read_tracks({"1": [row]}, COUNT)


def test_a_key_box_stands_above_a_tracked_one_and_an_end_hides_what_follows():
    tracks = projects.read_tracks(ROWS, COUNT)
    seen = {
        frame: [(s.object.id, s.box[0], s.key) for s in shown]
        for frame, shown in projects.frames(read(), tracks, COUNT)
    }
    car = [(1, 21, False)]
    assert seen[0] == [(4, 1, True)]
    assert [seen[frame] for frame in range(1, 10)] == [
        [], [(1, 20, True)], car, car, [], [], [], [(1, 30, True)], []
    ]  # fmt: skip


@pytest.mark.parametrize(
    "what, expected",
    [
        ({"direction": "all"}, [("car", 2, None), ("car", 8, None), ("dog", 0, None)]),
        (
            # Not back from 8 to the end at 5, as the car is gone there.
            {"direction": "all", "backward": True},
            [("car", None, 2), ("car", 2, None), ("car", 8, None), ("dog", 0, None)],
        ),
        ({"direction": "forward", "frame": 8, "objects": [1, 4]}, [("car", 8, None)]),
        ({"direction": "backward", "frame": 2, "objects": [1]}, [("car", None, 2)]),
    ],
)
def test_what_is_tracked(what, expected):
    spans = jobs.choose_spans(read(), what)
    found = [(s.name, s.first and s.first.frame, s.last and s.last.frame) for s in spans]
    assert sorted(found, key=str) == sorted(expected, key=str)


def test_nothing_to_track():
    for what in ({"direction": "backward", "frame": 0, "objects": [4]}, {"direction": "forward"}):
        with pytest.raises(ValueError, match="there is nothing to track; draw a box in this frame"):
            jobs.choose_spans(read(), what)


def test_exports(tmp_path):
    clip = jobs.Clip(tmp_path, "", SHAPE, COUNT, 10.0, None, None, project=read())
    clip.tracks = projects.read_tracks(ROWS, COUNT)
    paths = {form: exports.write(form, clip, tmp_path) for form in exports.FORMS}
    assert all(path.stat().st_size for path in paths.values())
    records = json.loads(paths["json"].read_text())
    assert records[:2] == [
        {"frame": 0, "object": "dog", "x": 1, "y": 2, "w": 3, "h": 4}
        | {"score": None, "confidence": 1, "lost": False, "key": True, "gone": None},
        {"frame": 2, "object": "car", "x": 20, "y": 15, "w": 24, "h": 20}
        | {"score": None, "confidence": 1, "lost": False, "key": True, "gone": 5},
    ]
    with paths["csv"].open() as file:
        rows = list(csv.DictReader(file))
    assert [(r["frame"], r["object"], r["key"]) for r in rows] == [
        (str(r["frame"]), r["object"], str(int(r["key"]))) for r in records
    ]
    assert paths["mot"].read_text().splitlines()[1] == "3,1,21.0,16.0,24.0,20.0,1.0,-1,-1,-1"
