"""Habits that every file keeps: documented, short, importing downward only."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = sorted((ROOT / "siamfc_jax").glob("*.py"))
COMMANDS = [ROOT / f"{name}.py" for name in ("track", "train", "evaluate")]
FILES = [path for path in PACKAGE + COMMANDS if path.exists()]
MAX_LINES = 320

# A module may import only modules of the rows above its own.
LEVELS = [
    "winograd",
    "config geometry metrics signals convolution torch_files groundtruth otb regions boxes",
    "compilation crops model losses peaks redetection sequences plots display trajectories reports "
    "baselines",
    "checkpoints views confidence video records augment pairs annotations benchmarks vot "
    "html_report",
    "responses",
    "tracker curation occlusion stills contact_sheet weights widening",
    "datasets evaluation training tracking inspection",
    "shards protocols passes jobs adapters tuning logs validation",
    "builder page runs calibration",
    "preparation track train evaluate __init__",
]
LEVEL = {name: level for level, row in enumerate(LEVELS) for name in row.split()}

# A package that is slow to import or apt to change stays behind one border.
ONLY_IN = {
    "optax": {"training"},
    "orbax": {"checkpoints"},
    "tensorboardX": {"logs"},
    "tensorflow_datasets": {"builder", "records", "shards", "stills"},
    "imageio_ffmpeg": {"video"},
    "starlette": {"page"},
    "uvicorn": {"page"},
}


def imported_modules(path):
    """Yields the full dotted name of each module or name that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def public_definitions(path):
    """Yields (name, node) of public functions and classes, and of public methods."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, node
            if isinstance(node, ast.ClassDef):
                for method in node.body:
                    if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                        yield f"{node.name}.{method.name}", method


def own(module):
    """Returns the name within the package of an imported module, None for others."""
    first, *rest = module.split(".")
    return rest[0] if first == "siamfc_jax" and rest else None


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_imports_go_downward(path):
    level = LEVEL.get(path.stem)
    assert level is not None, f"put {path.stem} into LEVELS of tests/test_style.py"
    for name in filter(None, map(own, imported_modules(path))):
        if name in LEVEL:  # else a name of the package itself
            assert LEVEL[name] < level, f"{path.name} imports {name}, which is not below it"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_packages_stay_behind_their_border(path):
    for module in imported_modules(path):
        allowed = ONLY_IN.get(module.split(".")[0])
        assert allowed is None or path.stem in allowed, f"{path.name} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_documented(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), "module docstring"
    for name, node in public_definitions(path):
        text = ast.get_docstring(node)
        assert text, f"{path.name}: {name} has no docstring"
        assert text.split("\n\n")[0].endswith("."), f"{path.name}: {name}: first line: a sentence"
        if isinstance(node, ast.FunctionDef) and "\n" in text:
            arguments = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
            names = [argument.arg for argument in arguments if argument.arg != "self"]
            for argument in names:
                assert f"\n  {argument}: " in text, f"{path.name}: {name} leaves out {argument}"
            values = [n for n in ast.walk(node) if isinstance(n, ast.Return) and n.value]
            if names and values:
                assert re.search("Returns|Yields", text), f"{path.name}: {name}: Returns"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_short(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES, f"{path.name} has {lines} lines; it may hold a second noun"


def test_every_module_has_a_level_once():
    names = " ".join(LEVELS).split()
    assert len(names) == len(set(names))
