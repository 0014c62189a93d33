"""The shell of all commands: words in, an exit code out.

Exit codes: 0 done; 2 something was wrong, which one line on standard error names; 130 after
Ctrl-C, 143 after SIGTERM, 129 after SIGHUP, 141 where nobody reads the output any more.
"""

import argparse
import concurrent.futures
import logging
import os
import sys
from collections.abc import Callable

import siamfc_jax
from siamfc_jax import compilation, signals
from siamfc_jax.commands import (
    calibrate,
    contact_sheet,
    convert,
    evaluate,
    export,
    flags,
    models,
    prepare,
    serve,
    track,
    train,
    trax,
    tune,
)

# A new command is a line here and a file beside this one.
COMMANDS = {
    "track": track,
    "serve": serve,
    "train": train,
    "prepare": prepare,
    "evaluate": evaluate,
    "tune": tune,
    "calibrate": calibrate,
    "convert": convert,
    "models": models,
    "contact-sheet": contact_sheet,
    "trax": trax,
    "export": export,
}
WITHOUT_JAX = (models, prepare)  # these compute nothing that could be kept
# Errors that the world causes, not the program: wrong input, a full disk, a missing extra, ...
EXPECTED = (
    ValueError,
    OSError,
    FloatingPointError,
    ImportError,
    MemoryError,
    concurrent.futures.BrokenExecutor,
)
# Which extra of pyproject.toml brings a module.
EXTRAS = {
    "onnx": "export",
    "onnxruntime": "export",
    "starlette": "web",
    "uvicorn": "web",
    "matplotlib": "eval",
    "scipy": "train",
    "optax": "train",
    "grain": "train",
    "tensorflow_datasets": "train",
    "array_record": "train",
    "tensorboardX": "train",
}


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def __init__(self, **settings):
        """Takes what `argparse.ArgumentParser` takes; flags are not to be abbreviated."""
        super().__init__(
            allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **settings
        )

    def error(self, message):
        """Raises ValueError with the message and where to look."""
        raise ValueError(f"{message}; see {self.prog} --help")

    def _print_message(self, message, file=None):
        # As argparse's, but for errors such as a full disk, which it hides.
        print(message, file=file, end="")


def main(argv=None, *, model=None, device=None) -> int:
    """Runs a command.

    Args:
      argv: words after `siamfc`, the first being the command; None for those of the process.
      model: what `--weights` names, for `siamfc track`; None where it is still to be loaded.
      device: of another process, for `siamfc track`, see `tracking.served.follow`.

    Returns:
      The exit code.
    """
    words = sys.argv[1:] if argv is None else [str(word) for word in argv]
    command = COMMANDS.get(words[0]) if words else None
    told = command.STOPPED if command else "stopped"
    return guard(lambda: _run(command, words, model, device), stopped=told)


def guard(work: Callable[[], int], *, stopped: str = "stopped") -> int:
    """Does some work, and turns its errors and signals into one line and an exit code.

    Args:
      work: what to do; it returns the exit code.
      stopped: the line after Ctrl-C.

    Returns:
      The exit code.
    """
    sys.unraisablehook = _show_unraisable
    for name in ("absl", "asyncio"):
        # Orbax reports the errors of its threads there, page by page, before it raises them.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with signals.terminated():
            code = work()
            if sys.stdout:  # None where it was closed from the beginning
                sys.stdout.flush()  # here, where a full disk is still an error of the command
            return code
    except signals.Stopped as stop:
        return _end(stop, 128 + stop.signal)
    except KeyboardInterrupt as stop:
        code = 128 + stop.signal if isinstance(stop, signals.Terminated) else 130
        return _end(stopped, code)
    except BrokenPipeError:  # who read the output has gone, as `head` does
        _close_output()
        return 141
    except EXPECTED as error:
        if isinstance(error, OSError):
            _close_output()
        return _end(f"error: {describe(error)}", 2)
    except RuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):  # how XLA says that memory is full
            raise
        return _end(f"error: {describe(MemoryError())}", 2)


_show_others = sys.unraisablehook


def _show_unraisable(error):
    # Reads of a damaged checkpoint that are still going on when the first one fails say this.
    if str(error.exc_value) != "Event loop is closed":
        _show_others(error)


def _run(command, words, model, device) -> int:
    try:
        if command is None:
            _parse_first(words)
        parser = make_parser(words)
        parser.set_defaults(model=model, device=device)
        args = parser.parse_args(words[1:])
    except SystemExit as end:  # after --help and --version
        return int(end.code or 0)
    command.check(args)
    if command not in WITHOUT_JAX:
        if not flags.is_export(getattr(args, "weights", "")):
            compilation.keep_compiled()
        compilation.keep_memory()
    return command.run(args) or 0


def _parse_first(words):
    """Answers `siamfc --help` and `--version`, and refuses a word that is no command."""
    rows = [f"  {name:15}{_summary(command)}" for name, command in COMMANDS.items()]
    parser = Parser(
        prog="siamfc",
        usage="siamfc COMMAND ...",
        description=siamfc_jax.__doc__,
        epilog="\n".join(["commands:", *rows, "", "siamfc COMMAND --help says what it takes"]),
    )
    parser.add_argument("--version", action="version", version=f"siamfc_jax {version()}")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of those below")
    parser.parse_args(words[:1])


def _summary(command):
    return command.__doc__.splitlines()[0].removesuffix(".")


def version() -> str:
    """Returns the version, with that of JAX, which most questions depend on."""
    import importlib.metadata  # slow, and for this alone

    return f"{siamfc_jax.__version__}, JAX {importlib.metadata.version('jax')}"


def make_parser(words) -> Parser:
    """Makes the parser of a command.

    Args:
      words: the command's name and what follows it. `--weights` among them says whose settings
        are the defaults that the help shows.

    Returns:
      The parser of the words after the first.
    """
    command = COMMANDS[words[0]]
    parser = Parser(prog=f"siamfc {words[0]}", description=command.__doc__)
    command.add_arguments(parser, words[1:])
    # For a command that runs others, with some of its own words.
    parser.set_defaults(words=words[1:], main=main)
    return parser


def describe(error: Exception) -> str:
    """Returns one line that says what was wrong.

    Args:
      error: of a kind in EXPECTED.
    """
    if isinstance(error, ImportError) and error.name:
        package = error.name.split(".")[0]
        extra = EXTRAS.get(package)
        all_of_it = f", or all that goes with it: pip install '.[{extra}]'" if extra else ""
        return f"{package} is not installed; try: pip install {package}{all_of_it}"
    if isinstance(error, MemoryError):
        return (
            "out of memory; take smaller frames (--resize), fewer a call (--chunk, --together) "
            "or a smaller batch (--batch-size, --accumulate)"
        )
    if isinstance(error, OSError) and error.strerror:
        place = f": '{error.filename}'" if error.filename else ""
        return f"{error.strerror}{place}; check the path, its permissions and the free space"
    return " ".join(str(error).split()) or type(error).__name__


def _end(text, code) -> int:
    print(text, file=sys.stderr)
    return code


def _close_output():
    # What could not be written is written again at exit, and would fail again, with a traceback.
    try:
        if sys.stdout:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
