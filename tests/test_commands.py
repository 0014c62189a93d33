"""What all commands share: help at once, one line an error, exit codes; and the package's face."""

import concurrent.futures
import importlib.util
import os
import pathlib
import re
import signal
import subprocess
import sys
import tomllib

import jax
import numpy as np
import pytest
import tiny_networks
import tiny_tracks

import siamfc_jax
from siamfc_jax.commands import models, shell, track
from siamfc_jax.config import TrackerConfig
from siamfc_jax.files import locked
from siamfc_jax.media import outputs
from siamfc_jax.network.saved_models import Model, save_model
from siamfc_jax.signals import Stopped
from siamfc_jax.training import sgd

ROOT = pathlib.Path(__file__).parents[1]
COMMANDS = sorted(shell.COMMANDS)
BOX = ["--video", "clip.mp4", "--box", "1,2,3,4"]
EVALUATE = ["--data", "d", "--output", "o"]
# Words that each command refuses, and what it says.
WRONG = {
    "track": ([*BOX, "--boxes", "b.csv", "--chunk", "0"], "--chunk must be at least 1, got 0"),
    "serve": (["--port", "99999"], "--port must lie in 0..65535, got 99999"),
    "train": (["--workdir", "w", "--data", "d", "--epochs", "0"], "epochs must be at least 1, got"),
    "prepare": (
        ["--dataset", "x", "--source", "s", "--check-only"],
        "unknown --dataset 'x', known are vid, got10k",
    ),
    "evaluate": ([*EVALUATE, "--jobs", "0"], "--jobs must be at least 1, got 0"),
    "tune": (["--weights", "w", "--trials", "0", *EVALUATE], "--trials must be at least 1, got 0"),
    "calibrate": (["--weights", "w", "--tracks", "0", *EVALUATE], "--tracks must be at least 1"),
    "convert": (["net.pth"], "the following arguments are required: OUTPUT_DIR; see siamfc conv"),
    "models": (["small"], "unrecognized arguments: small; see siamfc models --help"),
    "contact-sheet": (["--data", "d", "--output", "s.gif"], "must end in .png or .jpg, got s.gif"),
    "trax": (["--weights", "nowhere"], "no model at nowhere; expected one of siamfc, siamfc-nano"),
    "export": (["nowhere", "out"], "no model at nowhere; expected one of siamfc, siamfc-nano"),
}


SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
SIGNALS += [(signal.SIGHUP, 129)] if hasattr(signal, "SIGHUP") else []


def start(*words, code="import sys; from siamfc_jax.commands.shell import main; sys.exit(main())"):
    command = [sys.executable, "-c", code, *map(str, words)]
    return {"args": command, "cwd": ROOT, "text": True, "stderr": subprocess.PIPE}


@pytest.mark.parametrize("name", COMMANDS)
def test_wrong_input_is_one_line(name, tmp_path):
    words, message = WRONG[name]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    settings = start(name, *words) | {"cwd": tmp_path, "env": environment}
    done = subprocess.run(**settings, stdout=subprocess.PIPE, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    assert re.search(message, done.stderr), done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("name", [*COMMANDS, None])
def test_a_full_disk_is_one_line(name):
    with open("/dev/full", "w") as full:
        words = [name, "--help"] if name else ["--version"]
        done = subprocess.run(**start(*words), stdout=full, check=False)
    assert done.returncode == 2
    assert re.fullmatch("error: No space left on device; check .*\n", done.stderr), done.stderr


def test_a_reader_that_goes_away_is_no_error():
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as closed:
        done = subprocess.run(**start("models"), stdout=closed, check=False)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("name", [*COMMANDS, None])
def test_a_reader_that_goes_away_ends_each_command(name, monkeypatch, capsys):
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        assert shell.main([name, "--help"] if name else ["--version"]) == 141
        monkeypatch.undo()
    assert capsys.readouterr().err == ""


def test_closed_streams_are_no_error(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert shell.main(["models"]) == 0
    assert shell.main(["trak"]) == 2


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="needs a limit of file sizes")
def test_a_model_that_does_not_fit_on_the_disk_is_one_line(tmp_path):
    command = start("convert", "siamfc-small", tmp_path / "out")
    command["args"] = ["sh", "-c", 'ulimit -f 40; exec "$@"', "sh", *command["args"]]
    done = subprocess.run(**command, stdout=subprocess.PIPE, check=False)
    assert done.returncode == 2
    assert re.fullmatch(f"error: cannot save to {tmp_path}/out: .*; is .*\n", done.stderr)
    assert os.listdir(tmp_path) == [".out.siamfc-lock"]


@pytest.fixture
def not_under_nohup():
    """Lets SIGHUP end this process, wherever the tests were started."""
    hang_up = getattr(signal, "SIGHUP", None)
    before = hang_up and signal.signal(hang_up, signal.SIG_DFL)
    yield
    if hang_up:
        signal.signal(hang_up, before)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("number, code", SIGNALS)
@pytest.mark.usefixtures("not_under_nohup")
def test_signals_are_one_line(name, number, code, monkeypatch, capsys):
    command, before = shell.COMMANDS[name], signal.getsignal(number)
    monkeypatch.setattr(command, "check", lambda args: None)
    monkeypatch.setattr(command, "run", lambda args: os.kill(os.getpid(), number))
    # Words that can be parsed.
    words = {"models": [], "convert": ["a", "b"]}.get(name, WRONG[name][0])
    assert shell.main([name, *words]) == code
    assert capsys.readouterr().err == f"{command.STOPPED}\n"
    assert signal.getsignal(number) == before


@pytest.mark.usefixtures("not_under_nohup")
@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs SIGHUP")
def test_nohup_lets_a_command_go_on(monkeypatch, capsys):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    monkeypatch.setattr(models, "run", lambda args: os.kill(os.getpid(), signal.SIGHUP))
    assert shell.main(["models"]) == 0


# Words of each command that writes a folder, OUT; and whether its lock lies beside OUT.
WRITERS = {
    "train": (["--workdir", "OUT", "--data", "TRACKS"], False),
    "prepare": (["--dataset", "got10k", "--source", "TRACKS", "--output", "OUT"], False),
    "evaluate": (["--data", "d", "--output", "OUT"], False),
    "tune": (["--weights", "siamfc", "--data", "d", "--output", "OUT"], True),
    "calibrate": (["--weights", "siamfc", "--data", "d", "--output", "OUT"], True),
    "convert": (["siamfc", "OUT"], True),
    "export": (["siamfc", "OUT"], True),
}


def words_of(name, out, tracks):
    return [{"OUT": str(out), "TRACKS": str(tracks)}.get(word, word) for word in WRITERS[name][0]]


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    return tiny_tracks.write(tmp_path_factory.mktemp("tracks"), tracks=1, frames=2)


@pytest.mark.parametrize("name", WRITERS)
def test_a_second_writer_is_refused(name, tracks, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sgd, "connect", lambda *_: None)  # else only before JAX has computed
    out = tmp_path / "out"
    with locked(out, beside=WRITERS[name][1]):
        assert shell.main([name, *words_of(name, out, tracks)]) == 2
    line = capsys.readouterr().err
    assert line.startswith(f"error: another process writes to {out}; ") and line.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["track", *BOX, "--output", "out.mp4"],
        ["track", *BOX, "--boxes", "out.csv"],
        ["track", *BOX, "--boxes", "out.xml", "--output", "free.mp4"],
        ["track", *BOX, "--boxes", "free.csv", "--debug", "out.mp4"],
        ["contact-sheet", "--data", "d", "--output", "out.png"],
    ],
    ids=lambda words: words[-1],
)
@pytest.mark.skipif(not importlib.util.find_spec("fcntl"), reason="needs flock")
def test_a_second_writer_of_a_file_is_refused(words, tmp_path, monkeypatch, capsys):
    """Before anything else is looked at."""
    monkeypatch.chdir(tmp_path)
    name = next(word for word in words if word.startswith("out."))
    with outputs.whole(name) as place:
        place.write_text("first")
        assert shell.main(words) == 2
        line = capsys.readouterr().err
    assert line.startswith(f"error: another process writes to {name}; ") and line.count("\n") == 1
    assert os.listdir(tmp_path) == [name] and (tmp_path / name).read_text() == "first"


@pytest.mark.parametrize("name", WRITERS)
def test_a_place_that_cannot_be_written_is_one_line(name, tracks, tmp_path, monkeypatch, capsys):
    """It is said before any work is done."""
    monkeypatch.setattr(sgd, "connect", lambda *_: None)
    (tmp_path / "file").write_text("")
    assert shell.main([name, *words_of(name, tmp_path / "file" / "out", tracks)]) == 2
    line = capsys.readouterr().err
    assert re.match("error: (Not a directory|File exists|.*No such file)", line), line
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    "error, line",
    [
        (ValueError("a\n  b"), "a b"),
        (FloatingPointError("loss nan"), "loss nan"),
        (FileNotFoundError(2, "No such file", "x.csv"), "No such file: 'x.csv'; check the path"),
        (PermissionError(13, "Permission denied"), "Permission denied; check the path, its perm"),
        (MemoryError(), "out of memory; take smaller frames (--resize)"),
        (RuntimeError("RESOURCE_EXHAUSTED: 9 GiB"), "out of memory; take smaller frames"),
        (ModuleNotFoundError(name="optax"), "optax is not installed; try: pip install optax, or"),
        (ModuleNotFoundError(name="trax.x"), "trax is not installed; try: pip install trax\n"),
        (concurrent.futures.BrokenExecutor("a worker died"), "a worker died"),
    ],
)
def test_expected_errors(error, line, monkeypatch, capsys):
    def fail(args):
        raise error

    monkeypatch.setattr(models, "run", fail)
    assert shell.main(["models"]) == 2
    text = capsys.readouterr().err
    assert text.startswith(f"error: {line}") and text.count("\n") == 1


def test_an_error_of_the_program_is_a_traceback(monkeypatch):
    monkeypatch.setattr(models, "run", lambda args: {}["key"])
    with pytest.raises(KeyError):
        shell.main(["models"])


def test_a_run_that_saved_says_so(monkeypatch, capsys):
    def stop(args):
        raise Stopped(7, [signal.SIGINT])

    monkeypatch.setattr(models, "run", stop)
    assert shell.main(["models"]) == 130
    assert "stopped and saved at step 7" in capsys.readouterr().err


def test_a_word_that_is_no_command(capsys):
    assert shell.main(["trak"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: argument COMMAND: invalid choice: 'trak' (choose from")
    assert shell.main([]) == 2
    assert shell.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {name} " in text for name in COMMANDS)


def test_a_command_without_words(monkeypatch, capsys):
    for name in ("serve", "trax"):
        monkeypatch.setattr(shell.COMMANDS[name], "run", lambda args: print(args.weights))
        assert shell.main([name]) == 0
        assert capsys.readouterr().out == "siamfc-small\n"


def test_words_are_read_before_jax_is_imported():
    """Nor NumPy, by what people start most often."""
    code = """
import sys
import siamfc_jax
from siamfc_jax.commands import shell
for name in ("track", "serve", "train", "models", "convert", "calibrate", "contact-sheet", "trax"):
    assert shell.main([name, "--help"]) == 0
    assert shell.main([name, "--no-such-flag"]) == 2
assert "numpy" not in sys.modules
for name in shell.COMMANDS:
    assert shell.main([name, "--help"]) == 0
    assert shell.main([name, "--no-such-flag"]) == 2
assert "jax" not in sys.modules
"""
    done = subprocess.run(**start(code=code), stdout=subprocess.PIPE, check=False)
    assert done.returncode == 0, done.stderr


# What only training, plots, other weights and the page need.
EXTRA = ["optax", "grain", "tensorflow_datasets", "array_record", "scipy", "matplotlib"]
EXTRA += ["tensorboardX", "starlette", "uvicorn"]


def test_tracking_needs_no_extra(tmp_path):
    variables, settings = tiny_networks.variables(), TrackerConfig(num_scales=1)
    save_model(tmp_path / "model", Model(variables, tiny_networks.CONFIG, settings))
    code = f"""
import sys
sys.modules.update(dict.fromkeys({EXTRA}))  # so that their import fails
import numpy as np
import cv2
import os
os.mkdir(sys.argv[1] + "/clip")
for number in range(3):
    cv2.imwrite(f"{{sys.argv[1]}}/clip/{{number}}.png", np.full((48, 64, 3), number, np.uint8))
from siamfc_jax.commands import shell
words = "--box 20,15,16,16 --boxes boxes.csv --output out.mp4 --debug debug.mp4".split()
words = [sys.argv[1] + "/" + word if "." in word else word for word in words]
words += ["--video", sys.argv[1] + "/clip", "--weights", sys.argv[1] + "/model"]
sys.exit(shell.main(["track", *words]))
"""
    done = subprocess.run(**start(tmp_path, code=code), stdout=subprocess.PIPE, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("3 frames, ")
    assert f"wrote {tmp_path}/boxes.csv\n" in done.stdout


def test_extras_are_what_requirements_say():
    """requirements.txt is the base and all extras but page and export, with the GPU's JAX."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    listed = {line.split("#")[0].strip() for line in lines} - {""}
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["cuda"], *extras["train"], *extras["eval"]]
    wanted = {text.split(";")[0].strip() for text in wanted}
    base = {text for text in wanted if text.startswith("jax>")}
    assert len(base) == 1 and listed == wanted - base
    for extra in ("web", "export"):
        lines = (ROOT / f"requirements-{extra}.txt").read_text().splitlines()
        assert {line.split("#")[0].strip() for line in lines} - {""} == set(extras[extra])
    packages = {re.split(r"[\[>]", text)[0].replace("-", "_") for text in wanted}
    assert {
        name for name in shell.EXTRAS if shell.EXTRAS[name] not in ("web", "export")
    } <= packages


@pytest.mark.parametrize(
    "words, rate, whose",
    [
        ([], "0.4", "those of siamfc-small."),
        (["--weights", "siamfc"], "0.4", "those of siamfc."),
        (["--weights=siamfc"], "0.4", "those of siamfc."),
        (["--weights", "MODEL"], "0.25", "those of .*model."),
        (["--weights", "nowhere"], "0.59", "those of the model; the paper's are shown."),
    ],
)
@pytest.mark.parametrize("name", ["track", "serve", "evaluate", "tune"])
def test_help_shows_the_settings_of_the_model(name, words, rate, whose, tmp_path, capsys):
    model = Model(tiny_networks.variables(), tiny_networks.CONFIG, TrackerConfig(scale_rate=0.25))
    if "MODEL" in words:
        save_model(tmp_path / "model", model)
        words = ["--weights", str(tmp_path / "model")]
    assert shell.main([name, *words, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"taken over in one frame (default: {rate})" in text
    assert re.search(f"tracker settings: Defaults: {whose} --num-scales N", text)


@pytest.mark.parametrize(
    "name, words, message",
    [
        ("track", [*BOX, "--output", "o.mp4", "--states"], "--states says how boxes are written"),
        ("track", [*BOX, "--show", "--format", "csv"], "--format says how boxes are written; give"),
        ("track", [*BOX, "--boxes", "b.json", "--states"], "--states adds columns to a csv"),
        ("track", [*BOX, "--boxes", "b.csv", "--show-response"], "--show-response draws into the"),
        ("train", ["--workdir", "w", "--data", "d", "--distillation", "2"], "give --teacher"),
        ("evaluate", [*EVALUATE, "--tracker", "mil", "--lost-after", "3"], "--lost-after is a set"),
        ("evaluate", [*EVALUATE, "--results", "a", "--redetect"], "--redetect changes how frames"),
        ("evaluate", [*EVALUATE, "--results", "a", "--jobs", "2"], "--results only reads files"),
        ("evaluate", [*EVALUATE, "--results", "a", "--weights", "siamfc"], "not allowed with"),
        ("evaluate", [*EVALUATE, "--eao", "1", "2"], "--eao is for the VOT benchmarks"),
        (
            "evaluate",
            [*EVALUATE, "--together", "2", "--jobs", "2"],
            "--together is for our tracker",
        ),
        ("evaluate", [*EVALUATE, "--weights", "nowhere"], "no model at nowhere; expected one of"),
        (
            "evaluate",
            [*EVALUATE, "--benchmark", "vot2016", "--protocol", "tre"],
            "--protocol tre is for benchmarks without restarts",
        ),
        ("serve", ["--output", "o.mp4"], "unrecognized arguments: --output o.mp4"),
        ("prepare", ["--dataset", "vid", "--source", "s", "--output", "o", "--check-only"], "not"),
    ],
)
def test_flags_without_effect_are_refused(name, words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert shell.main([name, *words]) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: ") and message in line and line.count("\n") == 1
    assert os.listdir(tmp_path) == []  # words are checked before a folder is made


def test_models_are_listed_with_the_figures_of_the_documentation(capsys):
    assert shell.main(["models"]) == 0
    text = capsys.readouterr().out
    rows = {line.split()[0]: line for line in text.splitlines() if " MB " in line}
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    for name, card in models.CARDS.items():
        row = re.search(rf"^\| `{name}`.*", page, re.MULTILINE).group()
        _, _, network, size, accuracy, speed, _ = (cell.strip() for cell in row.split("|"))
        assert f": {card.parameters} parameters" in network
        assert (card.accuracy, card.speed) == (accuracy, speed)
        for cell in (card.parameters, size, accuracy):
            assert f"  {cell}  " in rows[name] or rows[name].endswith(cell)
    assert "licence: MIT" in text and "3,726 object tracks" in text and "3,726 object" in page
    assert "siamfc-small is the default" in text


def test_lost_frames_are_told_as_spans():
    spans, before = [[], []], None
    for number, lost in [(0, (0, 0)), (2, (1, 0)), (4, (1, 0)), (6, (0, 0)), (8, (1, 0))]:
        track.extend_spans(spans, number, before, np.array(lost, bool))
        before = number
    assert spans == [[[2, 4], [8, 8]], []]
    assert track.lost_lines(["a", "b"], spans) == ["a was lost in frames 2-4, 8"]
    assert track.lost_lines(["1"], spans[:1]) == ["lost in frames 2-4, 8"]
    assert track.lost_lines(["1"], spans[1:]) == ["never lost"]
    assert track.lost_lines(["1"], [[[n, n] for n in range(7)]])[0].endswith("4 and 2 times more")


def test_the_face_has_every_name():
    for name in siamfc_jax.__all__:
        assert getattr(siamfc_jax, name) is not None
    assert set(siamfc_jax._HOME) | {"__version__"} == set(siamfc_jax.__all__)
    assert set(siamfc_jax.__all__) <= set(dir(siamfc_jax))
    assert siamfc_jax.Tracker.__module__ == "siamfc_jax.tracking.tracker"
    with pytest.raises(AttributeError, match="module 'siamfc_jax' has no attribute 'Trucker'"):
        siamfc_jax.Trucker  # noqa: B018


def test_one_version(capsys):
    assert shell.main(["--version"]) == 0
    version = siamfc_jax.__version__
    assert capsys.readouterr().out == f"siamfc_jax {version}, JAX {jax.__version__}\n"
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## [{version}] - " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
