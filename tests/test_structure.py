"""The picture of the structure shows the imports as they are."""

import html
import pathlib
import re
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture
def draw_structure(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    yield __import__("draw_structure")
    del sys.modules["draw_structure"]


def test_the_arrows_of_the_picture_are_the_imports(draw_structure):
    text = html.unescape(draw_structure.PICTURE.read_text())
    drawn = {tuple(pair) for pair in re.findall(r'id="(\w+)->(\w+)"', text)}
    assert drawn == draw_structure.arrows(ROOT), "run python docs/draw_structure.py"
    for room, paths in draw_structure.room_files(ROOT).items():
        assert room in text
        for path in paths:
            assert path.stem in text or path.stem == "__init__", "run python docs/draw_structure.py"


def make_package(root, **files):
    for name, imported in files.items():
        path = root / "siamfc_jax" / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"from siamfc_jax.{module} import x\n" for module in imported))


def test_counts_of_a_small_package(draw_structure, tmp_path):
    files = {
        "config": (),
        "a__low": ("config",),
        "b__mid": ("a.low", "config"),
        "b__end": ("b.mid",),
    }
    make_package(tmp_path, **files)
    assert draw_structure.arrows(tmp_path) == {("b", "a")}
    assert len(draw_structure.file_arrows(tmp_path)) == 4
    assert draw_structure.report(tmp_path) == (
        "4 files, 4 arrows between them, 4 floors; 3 rooms, 1 arrows between them, 3 floors"
    )


def test_a_circle_is_named(draw_structure):
    with pytest.raises(ValueError, match="in a circle: a -> b -> a"):
        draw_structure.floors({("a", "b"), ("b", "a")})
