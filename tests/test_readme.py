"""The README tells the truth: its commands, flags, files and Make targets exist."""

import pathlib
import re
import shlex
import subprocess
import tomllib

from siamfc_jax.commands import shell

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
LINES = [line for block in BLOCKS for line in block.splitlines() if line]


def flags_of(main, words, capsys):
    """Returns the flags that a command's help names."""
    assert main([*words, "--help"]) == 0
    return set(re.findall(r"--[a-z][a-z-]*", capsys.readouterr().out))


def test_flags_exist(capsys):
    known = {"track.py": {"--serve"}}  # which is the command `siamfc serve`
    for line in LINES:
        program, first, *words = shlex.split(line, comments=True)
        if program in ("python", "siamfc"):
            name = first.removesuffix(".py")
            known[first] = known.get(first, set()) | flags_of(shell.main, [name], capsys)
            assert {word for word in words if word.startswith("--")} <= known[first], line
    assert set(re.findall(r"--[a-z][a-z-]*", README)) <= set().union(*known.values())


def test_commands_exist():
    makefile = (ROOT / "Makefile").read_text()
    for line in LINES:
        words = shlex.split(line, comments=True)
        if words[0] == "make":
            assert f"\n{words[1]}:" in makefile, line
        elif words[0] == "siamfc":
            assert words[1] in shell.COMMANDS, line
        elif words[0] == "python":
            assert (ROOT / words[1]).is_file(), line
        else:
            assert words[:2] == ["pip", "install"] or words == ["source", ".venv/bin/activate"], (
                line
            )
    for name in re.findall(r"`(requirements[\w-]*\.txt)`|install -r (\S+?)[`\s]", README):
        assert (ROOT / "".join(name)).is_file(), name


def test_extras_exist():
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    named = set(re.findall(r"\.\[(\w+)\]", README + CONTRIBUTING))
    assert named and named <= set(extras)


def test_the_first_video_is_the_one_that_make_demo_leaves():
    """So that the first command works as it is printed."""
    words = shlex.split(next(line for line in LINES if "--video" in line))
    video = words[words.index("--video") + 1]
    recipe = (ROOT / "Makefile").read_text().split("\ndemo:")[1].split("\n\n")[0]
    assert re.search(rf"\tcp \S+ {re.escape(video)}\n", recipe.replace("@", ""))
    assert "--box " + words[words.index("--box") + 1] in recipe


def test_make_alone_helps_and_names_every_target():
    makefile = (ROOT / "Makefile").read_text()
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    named = set(re.findall(r"^make (\S+)", done.stdout, re.MULTILINE))
    phony = makefile.split(".PHONY:")[1].split("\n.DELETE")[0].replace("\\\n", " ").split()
    assert named == set(phony)


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
