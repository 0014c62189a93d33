"""Habits that every file keeps: documented, importing only what its folder may."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = sorted((ROOT / "siamfc_jax").rglob("*.py"))
COMMANDS = [ROOT / f"{name}.py" for name in ("track", "train", "evaluate")]
FILES = PACKAGE + COMMANDS

# Which sub-packages the modules of each may import, beside their own and the modules at the
# top (config, geometry, crops, ...), which import only each other; but the package's face,
# __init__.py and __main__.py at the top, leads to everything.
MAY_IMPORT = {
    "network": "",
    "data": "",
    "tracking": "network",
    "media": "data",
    "preparation": "data",
    "evaluation": "network tracking data",
    "training": "network tracking data media evaluation",
    "annotation": "network tracking data media",
    "app": "tracking media annotation",
    "export": "network tracking media",
    "commands": "network tracking data media preparation evaluation training annotation app export",
}

# A package that is slow to import or apt to change stays behind one border.
ONLY_IN = {
    "optax": {"sgd"},
    "orbax": {"checkpoints", "saved_models"},
    "tensorboardX": {"logs"},
    "tensorflow_datasets": {"builder", "prepared", "shards", "image_sets"},
    "av": {"decoding", "sound", "video"},
    "onnx": {"onnx_graphs"},
    "onnxruntime": {"checks", "siamfc_onnx"},
    "starlette": {"page", "gate", "uploads"},
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


def room(path):
    """Returns the sub-package that a file lies in, None for the top and the commands."""
    parts = path.relative_to(ROOT).parts
    return parts[1] if len(parts) == 3 else None


@pytest.mark.parametrize("path", PACKAGE, ids=lambda path: path.stem)
def test_imports_keep_to_the_rule(path):
    allowed = {room(path), *MAY_IMPORT.get(room(path), "").split()}
    if room(path) is None and path.stem in ("__init__", "__main__"):
        allowed = set(MAY_IMPORT)
    for module in imported_modules(path):
        first, *rest = module.split(".")
        if first == "siamfc_jax" and rest and rest[0] in MAY_IMPORT:
            assert rest[0] in allowed, f"{path.name} of {room(path)} imports {module}"


def test_every_folder_has_a_rule():
    folders = {path.parent.name for path in PACKAGE if path.parent.name != "siamfc_jax"}
    assert folders == set(MAY_IMPORT)


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
