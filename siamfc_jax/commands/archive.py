r"""`siamfc track --manifest`: one tracking job a line, for archives of clips.

    siamfc track --manifest jobs.csv --output results --jobs 4

jobs.csv has a header and the columns `source`, `boxes` and, if you like, `name`:

    source,boxes,name
    clips/a.mp4,"62,36,50,64",anna
    clips/b.mp4,"10,20,30,40; 200:111,2,150,256",bears
    clips/c.mp4,c_boxes.csv,crowd

`boxes` holds `[FRAME:]X,Y,W,H`, several with a semicolon in between, or a file as --box-file
takes it. Paths count from the folder of the manifest. The result of each line is what
`siamfc track --video SOURCE --box ... --boxes RESULT` writes, byte for byte.
"""

import contextlib
import csv
import functools
import io
import multiprocessing
import os
import pathlib
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import wait
from typing import Any, NamedTuple

from siamfc_jax import compilation, config, signals
from siamfc_jax.commands import flags
from siamfc_jax.files import locked, write_whole

# Form of the results -> ending of their names.
ENDINGS = {
    None: ".csv",
    "csv": ".csv",
    "json": ".json",
    "otb": ".txt",
    "mot": ".txt",
    "cvat": ".xml",
    "coco": ".json",
    "labelstudio": ".json",
    "yolo": "",
}
_PROCESSES = multiprocessing.get_context("spawn")
PARTS = ".parts"  # folder of results that are not whole yet, in the folder of the results
STOP_SECONDS = 10  # until a process that does not end is killed
COLUMNS = ("source", "boxes", "name")
OWN = ("--manifest", "--output", "--jobs", "--together", "--shard")
REFUSED = (  # flags of `siamfc track` that are about one video
    "box box_file select name end key_frames boxes show debug show_response"
)


class Entry(NamedTuple):
    """A line of a manifest.

    Attributes:
      source: what `--video` takes.
      boxes: texts that `--box` takes; or one path that `--box-file` takes.
      is_file: whether `boxes` is that path.
      name: of the result, without its ending; may hold folders.
    """

    source: str
    boxes: tuple[str, ...]
    is_file: bool
    name: str


class Outcome(NamedTuple):
    """What became of an entry.

    Attributes:
      entry: of the manifest.
      code: exit code of `siamfc track`; 0 done, 1 done but for damaged parts of the video.
      frames: how many were tracked.
      message: what it said on standard error.
    """

    entry: Entry
    code: int
    frames: int
    message: str


def add_flags(parser) -> None:
    """Adds the flags that only an archive has.

    Args:
      parser: of `siamfc track`.
    """
    flag = parser.add_argument_group("many videos (with --manifest)").add_argument
    flag("--jobs", type=int, metavar="N", help="videos side by side, a process each (default: 1)")
    flag(
        "--together",
        type=int,
        metavar="N",
        help="videos that are stepped in one call of the device, and read in a process each; "
        "keeps an accelerator busy (in place of --jobs)",
    )
    flags.add_shard(flag, "every Nth line of the manifest, from line I of 0..N-1 on; in an "
                    "array of Slurm jobs the default is the place of the job in it")  # fmt: skip


def check(args) -> None:
    """Refuses words that cannot be followed.

    Args:
      args: the flags of `siamfc track`, with `--manifest`.

    Raises:
      ValueError: a flag is about one video alone, or the folder of the results is missing.
    """
    flags.refuse(args, REFUSED, "is about one video; it does not go with --manifest")
    if not args.output:
        raise ValueError("nowhere to put the results; give --output DIR")
    for name, number in (("jobs", args.jobs), ("together", args.together)):
        if number is not None and number < 1:
            raise ValueError(f"--{name} must be at least 1, got {number}")
    if args.together:
        flags.refuse(args, "jobs", "does not go with --together, which starts a process a video")
        if args.chunk > 1 or flags.is_export(args.weights):
            raise ValueError(
                "--together steps one frame of each video, with a network in JAX; leave out "
                "--chunk, and give the model in place of an export as --weights"
            )
    if args.format not in (None, "csv"):
        flags.refuse(args, "states", "adds columns to a csv; leave it out, or --format")
    flags.parse_shard(args.shard, os.environ)


def read_manifest(path: str) -> list[Entry]:
    """Reads a manifest.

    Args:
      path: csv with a header and the columns of COLUMNS, of which the last may be missing or
        empty; then the name of the source without its ending is taken.

    Returns:
      Its entries.

    Raises:
      ValueError: it cannot be read, a column or a cell is missing, or two results have one name.
    """
    folder = pathlib.Path(path).parent.absolute()  # for processes that begin elsewhere
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text: {error}; save it as csv in UTF-8") from error
    rows = csv.DictReader(io.StringIO(text))
    missing = [column for column in COLUMNS[:2] if column not in (rows.fieldnames or ())]
    if missing:
        raise ValueError(
            f"{path} has no column {' and no column '.join(missing)}; its first line must name "
            f"them: {','.join(COLUMNS)}"
        )
    entries: dict[str, Entry] = {}
    for row in rows:
        where = f"{path}, line {rows.line_num}"
        source, boxes, name = ((row.get(column) or "").strip() for column in COLUMNS)
        if not source or not boxes:
            raise ValueError(f"{where}: {'source' if not source else 'boxes'} is empty")
        name = name or pathlib.PurePath(source.rstrip("/")).stem
        place = pathlib.PurePath(name)
        if place.is_absolute() or not place.parts or ".." in place.parts or PARTS in place.parts:
            raise ValueError(f"{where}: {name!r} is no name inside of the folder of the results")
        if name in entries:
            raise ValueError(f"{where}: a second result {name!r}; give each line its own name")
        if "://" not in source and not (source.isdecimal() and not (folder / source).exists()):
            source = str(folder / source)
        is_file = not re.fullmatch(r"[\d\s:;,.+-]+", boxes)
        texts = [str(folder / boxes)] if is_file else re.split(r"\s*;\s*", boxes)
        entries[name] = Entry(source, tuple(filter(None, texts)), is_file, name)
    if not entries:
        raise ValueError(f"{path} has no line below its header")
    return list(entries.values())


class Archive(NamedTuple):
    """What a manifest asks for.

    Attributes:
      model: that tracks, or None for an export.
      total: number of its lines, of the share of this machine.
      waiting: entries without a result.
      work: entry -> Outcome; tracks it and puts its result in place. It can be pickled.
      folder: of the results.
      unfinished: folder of results that are not whole.
      failures: file with a line for each entry that has no result, or one with gaps.
    """

    model: Any
    total: int
    waiting: list[Entry]
    work: Callable[[Entry], Outcome]
    folder: pathlib.Path
    unfinished: pathlib.Path
    failures: pathlib.Path


def plan(args) -> Archive:
    """Finds out what is to be done; without --together it leaves an accelerator to others.

    Args:
      args: the flags of `siamfc track`, with `--manifest`, from `shell.make_parser`.

    Returns:
      Archive.

    Raises:
      ValueError: the manifest or the model cannot be read.
      OSError: the folder of the results cannot be written.
    """
    model = None  # an export is read by each command, which takes no time
    if not flags.is_export(args.weights):
        from siamfc_jax import load_model

        # Loaded once, here: an error is told once, and all videos are tracked with one model.
        if not args.together:
            compilation.leave_accelerator()
        model = load_model(args.weights)
    part, parts = flags.parse_shard(args.shard, os.environ)
    entries = read_manifest(args.manifest)[part::parts]
    folder, ending, share = (
        pathlib.Path(args.output).absolute(),
        ENDINGS[args.format],
        f"{part}-of-{parts}",
    )
    unfinished = folder / PARTS / share
    unfinished.mkdir(parents=True, exist_ok=True)
    waiting = [entry for entry in entries if not (folder / f"{entry.name}{ending}").exists()]
    if parts > 1:
        print(f"share {part} of {parts}: {len(entries)} lines of the manifest")
    if len(waiting) < len(entries):
        print(f"{len(entries) - len(waiting)} of {len(entries)} results are there already")
    main = functools.partial(args.main, model=model)
    words = _shared_words(args.words)
    places: dict = {"folder": folder, "unfinished": unfinished, "ending": ending}
    work = functools.partial(track_entry, main=main, words=words, **places)
    failures = folder / ("failures.csv" if parts == 1 else f"failures-{share}.csv")
    return Archive(model, len(entries), waiting, work, folder, unfinished, failures)


def run(args) -> int:
    """Tracks what a manifest lists and has no result yet.

    Args:
      args: the flags of `siamfc track`, with `--manifest`.

    Returns:
      0, 1 where a line failed, 130 after Ctrl-C, 143 after SIGTERM.

    Raises:
      ValueError: the manifest or the model cannot be read.
      OSError: the folder of the results cannot be written.
    """
    archive = plan(args)
    part = archive.unfinished.name.replace("-of-", "/")
    count = args.together or args.jobs or 1
    with (
        locked(archive.folder, share=part),
        _device(args, archive.model) as connect,
        signals.caught_signals() as caught,
    ):
        outcomes = run_side_by_side(
            archive.work, archive.waiting, count, lambda: bool(caught), connect
        )
        code = follow(archive, outcomes)
        return 128 + caught[0] if caught else code


def _device(args, model):
    """Opens the device that all videos share; gives None where each process has its own."""
    if not args.together:
        return contextlib.nullcontext()
    from siamfc_jax.tracking import served, tracker

    settings = config.from_arguments(model.tracker_config, args)
    return served.serving(tracker.prepare(model), args.together, config=settings)


def follow(archive: Archive, outcomes: Iterable[Outcome]) -> int:
    """Shows progress, notes what fails, and ends with a summary.

    Args:
      archive: of `plan`.
      outcomes: of its waiting entries, as they come.

    Returns:
      0, 1 where a line failed or its video has gaps.
    """
    from tqdm import tqdm

    troubled = _older_troubles(archive)
    frames, count, began = 0, 0, time.perf_counter()
    _write_failures(archive.failures, troubled)
    with tqdm(total=len(archive.waiting), unit="video", disable=None) as progress:
        for outcome in outcomes:
            frames, count = frames + outcome.frames, count + 1
            if outcome.code:
                reason = " ".join(outcome.message.removeprefix("error: ").split())
                troubled.append((outcome.entry.name, outcome.entry.source, reason))
                _write_failures(archive.failures, troubled)
            progress.set_postfix(frames=frames, troubled=len(troubled))
            progress.update()
    shutil.rmtree(archive.unfinished, ignore_errors=True)
    with contextlib.suppress(OSError):
        archive.unfinished.parent.rmdir()  # unless another share is under way
    stopped = "stopped after " if count < len(archive.waiting) else ""
    print(f"{stopped}{count} videos, {frames} frames in {time.perf_counter() - began:.0f} s")
    if troubled:
        print(f"{len(troubled)} of {archive.total} lines had trouble, see {archive.failures}; "
              "the same command tries again what has no result")  # fmt: skip
    print(f"results are in {archive.folder}")
    return int(bool(troubled))


def _older_troubles(archive):
    """Returns lines of an earlier run on entries that have a result, which has gaps."""
    if not archive.failures.is_file():
        return []
    waiting = {entry.name for entry in archive.waiting}
    with archive.failures.open(encoding="utf-8", newline="") as file:
        rows = [tuple(row) for row in csv.reader(file)][1:]
    return [row for row in rows if row and row[0] not in waiting]


def _shared_words(words):
    """Returns the words of `siamfc track` that go for every video."""
    kept = []
    skipped = False
    for word in words:
        if skipped:
            skipped = False
        elif word in OWN:
            skipped = True
        elif word.partition("=")[0] not in OWN:
            kept.append(word)
    return tuple(kept)


def track_entry(
    entry: Entry,
    *,
    main: Callable[..., int],
    words: tuple[str, ...],
    folder: pathlib.Path,
    unfinished: pathlib.Path,
    ending: str,
    device: Any = None,
) -> Outcome:
    """Runs `siamfc track` for an entry; its result appears when it is whole.

    Args:
      entry: of a manifest.
      main: runs a command, as `shell.main` does.
      words: of the command, which go for every entry.
      folder: where the result shall stand.
      unfinished: where it stands until it is whole.
      ending: of its name.
      device: of another process, see `tracking.served.follow`.

    Returns:
      What became of it.
    """
    place = folder / f"{entry.name}{ending}"
    part = unfinished / f"{entry.name}{ending}"
    if part.is_dir():
        shutil.rmtree(part)
    part.unlink(missing_ok=True)  # of a run that was killed
    part.parent.mkdir(parents=True, exist_ok=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    given = [f"--{'box-file' if entry.is_file else 'box'}={text}" for text in entry.boxes]
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        words = ("track", f"--video={entry.source}", *given, f"--boxes={part}", *words)
        code = main(words, device=device)
    if code in (0, 1):
        os.replace(part, place)
    found = re.match(r"(\d+) frames", output.getvalue())
    return Outcome(entry, code, int(found[1]) if found else 0, errors.getvalue().strip())


def _write_failures(path, troubled):
    """Writes a line of (name, source, reason) each; no file where all is well."""
    if not troubled:
        path.unlink(missing_ok=True)
        return
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("name", "source", "reason"), *troubled])
    write_whole(path, text.getvalue())


def run_side_by_side(
    work: Callable[..., Outcome],
    entries: list[Entry],
    jobs: int,
    stopped: Callable[[], bool],
    connect: Callable[[int], Any] | None = None,
) -> Iterator[Outcome]:
    """Runs entries in processes of their own; one that dies costs its entry alone.

    Args:
      work: what a process does with an entry.
      entries: what there is to do.
      jobs: number of processes.
      stopped: says whether to end all at once.
      connect: of `tracking.served.serving`; None where each process has a device of its own.

    Yields:
      Outcomes in the order in which they end.
    """
    waiting = iter(entries)
    workers: dict[Any, _Worker] = {}  # by our end of the connection
    ending = []  # processes that have no more to do

    def begin(number, entry):
        ours, theirs = _PROCESSES.Pipe()
        device = connect(number) if connect else None
        words = theirs, device, work, number, jobs
        process = _PROCESSES.Process(target=_serve, args=words, daemon=True)
        process.start()
        theirs.close()  # else its end could not be seen here
        if device:
            device.close()
        ours.send(entry)
        workers[ours] = _Worker(process, number, entry)

    for number, first in zip(range(jobs), waiting, strict=False):
        begin(number, first)
    try:
        while workers:
            ended: list[Any] = wait([*workers], timeout=0.2)
            if stopped():  # Ctrl-C goes to the processes, too, and is no failure of their videos
                return
            for connection in ended:
                worker = workers.pop(connection)
                entry = next(waiting, None)
                try:
                    outcome = connection.recv()
                except EOFError:
                    worker.process.join()
                    reason = f"the process ended with code {worker.process.exitcode}"
                    outcome = Outcome(worker.entry, 2, 0, f"{reason}, perhaps as memory was full")
                    if entry:
                        begin(worker.number, entry)
                else:
                    if entry:
                        connection.send(entry)
                        workers[connection] = worker._replace(entry=entry)
                    else:
                        connection.close()
                        ending.append(worker.process)
                yield outcome
    finally:
        for connection, worker in workers.items():
            worker.process.terminate()  # it ends after the frame that is in work
            connection.close()
            ending.append(worker.process)
        for process in ending:
            process.join(STOP_SECONDS)
            process.kill()


class _Worker(NamedTuple):
    process: Any
    number: int
    entry: Entry


def _serve(connection, device, work, number, jobs):
    """Is a process: takes entries and gives outcomes until the parent closes the connection."""
    signals.follow_parent(signal.SIGINT)
    # Between two videos; `siamfc track` has its own answer.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    compilation.use_own_cores(number, jobs)
    if device:
        compilation.leave_accelerator()
        work = functools.partial(work, device=device)
    else:
        compilation.share_accelerator()
    with contextlib.suppress(EOFError, OSError):
        while True:
            connection.send(work(connection.recv()))
