"""The README tells the truth: its commands, flags, files and Make targets exist."""

import importlib.util
import pathlib
import re
import shlex

import pytest

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
LINES = [line for block in BLOCKS for line in block.splitlines() if line]


def flags_of(module, capsys):
    """Returns the flags that a command's help names."""
    with pytest.raises(SystemExit):
        importlib.import_module(module).main(["--help"])
    return set(re.findall(r"--[a-z][a-z-]*", capsys.readouterr().out))


def test_flags_exist(capsys):
    known = {}
    for line in LINES:
        words = shlex.split(line, comments=True)
        if words[0] == "python":
            module = words[2] if words[1] == "-m" else words[1].removesuffix(".py")
            module += ".__main__" if (ROOT / module.replace(".", "/")).is_dir() else ""
            known[module] = known.get(module) or flags_of(module, capsys)
            assert {word for word in words if word.startswith("--")} <= known[module], line
    assert set(re.findall(r"--[a-z][a-z-]*", README)) <= set().union(*known.values())


def test_commands_exist():
    makefile = (ROOT / "Makefile").read_text()
    for line in LINES:
        words = shlex.split(line, comments=True)
        if words[0] == "make":
            assert f"\n{words[1]}:" in makefile, line
        elif words[:2] == ["python", "-m"]:
            assert importlib.util.find_spec(words[2]), line
        elif words[0] == "python":
            assert (ROOT / words[1]).is_file(), line
        else:
            assert words[:3] == ["pip", "install", "-r"], line
    for name in re.findall(r"`(requirements[\w-]*\.txt)`|install -r (\S+?)[`\s]", README):
        assert (ROOT / "".join(name)).is_file(), name


def test_files_exist():
    for name in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / name).exists(), name


def test_the_map_names_every_module():
    table = README.split("## Map of files")[1].split("\n\n")[2]
    rows = [line.split("|")[1:3] for line in table.splitlines()[2:]]
    named = {room.strip(" `/"): set(re.findall(r"`([\w.]+)`", text)) for room, text in rows}
    package = ROOT / "siamfc_jax"
    for folder in [
        package,
        *(path for path in package.iterdir() if (path / "__init__.py").exists()),
    ]:
        room = str(folder.relative_to(ROOT))
        files = {path.name for path in folder.glob("*.py")} - {"__init__.py"}
        assert named.pop(room) == files, room
    assert not named
