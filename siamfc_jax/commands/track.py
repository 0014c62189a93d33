r"""Follow objects through a video, a camera or a stream.

    siamfc track --video clip.mp4 --box 62,36,50,64 --output out.mp4 --boxes out.csv

Boxes are X,Y,W,H in pixels of the first frame, from its left top corner; after
--resize, in pixels of the resized frame. A box that begins with a minus sign is
written --box=-5,10,20,20. Frame numbers are those of the source, from 0. To draw the
boxes on a page in the browser: siamfc serve, or python track.py --serve.

Objects come and go, and a second box of the same name corrects the first; between two
boxes an object is tracked from both:

    siamfc track --video clip.mp4 --box 0:62,36,50,64 --name anna \
        --box 200:111,2,150,256 --name anna --end 300:anna --boxes out.xml

Many videos, a line each of a table: siamfc track --manifest jobs.csv --output results
"""

import contextlib
import functools
import itertools
import time

from siamfc_jax import config, memory
from siamfc_jax.commands import archive, flags

STOPPED = "stopped before the first frame was tracked"
SHOWN_SPANS = 5  # of an object, in the summary


def add_arguments(parser, words) -> None:
    """Adds the flags.

    Args:
      parser: of this command.
      words: of the command.
    """
    sources = parser.add_mutually_exclusive_group(required=True)
    sources.add_argument(
        "--video",
        metavar="SOURCE",
        help="video, image, TIFF, GIF or WebP file, folder or 'glob' of images, camera number, "
        "URL of a stream",
    )
    sources.add_argument(
        "--manifest",
        metavar="FILE.csv",
        help="many videos: a line for each with its source, boxes and name; see docs/archives.md",
    )
    flags.add_weights(parser)
    group = parser.add_argument_group("objects (one of the first three)")
    objects = group.add_mutually_exclusive_group()
    objects.add_argument(
        "--box",
        action="append",
        metavar="[FRAME:]X,Y,W,H",
        help="object, in the first frame or a later one; repeatable",
    )
    objects.add_argument(
        "--box-file",
        metavar="FILE",
        help="csv, json, text or CVAT's xml as --boxes writes them; key boxes are those that the "
        "file marks, else the first one of each object",
    )
    objects.add_argument(
        "--select", action="store_true", help="draw the boxes in a window, which says how"
    )
    group.add_argument(
        "--name",
        action="append",
        metavar="NAME",
        help="name of an object, in the order of boxes; repeatable. The same name again is a "
        "further box of that object, which corrects it",
    )
    group.add_argument(
        "--end",
        action="append",
        metavar="FRAME:NAME",
        help="frame from which an object is gone, until its next box; repeatable",
    )
    group.add_argument(
        "--backward",
        action="store_true",
        help="track from the first box of each object back to the begin, too",
    )
    group.add_argument(
        "--key-frames", action="store_true", help="every box of --box-file is a key box"
    )
    flag = parser.add_argument_group("results (at least one of the first four)").add_argument
    flag(
        "--output",
        metavar="FILE.mp4",
        help="video with the boxes drawn in; with --manifest the folder of the results",
    )
    flag(
        "--boxes",
        metavar="FILE",
        help="boxes as .csv, .json, .txt (OTB or MOT-challenge), .xml (CVAT), or as --format says",
    )
    flag(
        "--show",
        action="store_true",
        help="show a window: space pauses, q ends; with boxes of the first frame alone, + adds an "
        "object and r draws anew",
    )
    flag(
        "--debug",
        metavar="FILE.mp4",
        help="video of what the network sees: exemplar, search and response side by side, a row "
        "an object",
    )
    flag(
        "--format",
        choices=["csv", "json", "otb", "mot", "cvat", "coco", "labelstudio", "yolo"],
        help="form of --boxes; for yolo that is a folder",
    )
    flag("--states", action="store_true", help="write confidence and lost into a csv, too")
    flag("--show-response", action="store_true", help="draw the score map, too")
    flags.add_range(parser)
    flag = parser.add_argument_group("speed").add_argument
    flag(
        "--chunk",
        type=int,
        default=1,
        metavar="FRAMES",
        help="frames a call of the device, which keeps an accelerator busy; they are shown "
        "together (default: 1)",
    )
    archive.add_flags(parser)
    flags.add_settings(parser, words)


def check(args) -> None:
    """Refuses words that cannot be followed.

    Args:
      args: the flags.

    Raises:
      ValueError: there is no place for the result, or a flag has no effect.
    """
    if args.chunk < 1:
        raise ValueError(f"--chunk must be at least 1, got {args.chunk}")
    if flags.check_export(args):
        flags.refuse(args, "debug show_response", "shows the inside of a network in JAX; give the "
                     "model in place of an export as --weights")  # fmt: skip
        if args.chunk > 1:
            raise ValueError("--chunk is for a network in JAX; leave it out with an export")
    if args.manifest:
        archive.check(args)
        return
    flags.refuse(args, "jobs together shard", "is about many videos; it goes with --manifest")
    if not (args.box or args.box_file or args.select):
        raise ValueError("nothing to follow; give --box X,Y,W,H, --box-file FILE or --select")
    if not (args.output or args.boxes or args.show or args.debug):
        raise ValueError("nowhere to put the result; give --output, --boxes or --show")
    if not args.box_file:
        flags.refuse(args, "key_frames", "is about the boxes of a file; give --box-file FILE")
    if args.select:
        flags.refuse(args, "end backward", "needs boxes with names; give --box or --box-file")
    if not args.boxes:
        flags.refuse(args, "format states", "says how boxes are written; give --boxes FILE as well")
    elif not (args.format == "csv" or (args.format is None and args.boxes.endswith(".csv"))):
        flags.refuse(
            args, "states", "adds columns to a csv; other forms have them anyway or never, "
            "so leave it out or write --boxes FILE.csv",
        )  # fmt: skip
    if not (args.output or args.show):
        flags.refuse(args, "show_response", "draws into the video; give --output or --show as well")


def run(args) -> int:
    """Tracks what the flags say.

    Args:
      args: the flags.

    Returns:
      0, 1 where parts of the video could not be decoded, 130 after Ctrl-C, 143 after SIGTERM.

    Raises:
      ValueError: the source, the boxes, the model or a place to write cannot be used.
    """
    if args.manifest:
        return archive.run(args)

    from tqdm import tqdm

    from siamfc_jax.annotation import formats
    from siamfc_jax.app import live, window
    from siamfc_jax.commands import jobs
    from siamfc_jax.media import box_files, outputs, video
    from siamfc_jax.signals import caught_signals

    written = {"--output": args.output, "--boxes": args.boxes, "--debug": args.debug}
    outputs.check_outputs([args.video, args.box_file], written)
    for path in filter(None, (args.output, args.debug)):
        video.check_ending(path)
    if args.boxes and not formats.form_of(args.boxes, args.format):
        box_files.form_of(args.boxes, 1)
    job = None if args.select else jobs.read_job(args)
    is_simple = job is None or jobs.is_simple(args, job)
    screen = None
    if args.select or args.show:
        screen = window.Window(is_fixed=bool(args.boxes or args.debug), is_given=not is_simple)
    source = video.open_source(
        args.video, start=args.start, stop=args.stop, stride=args.stride, resize=args.resize
    )
    first = next(source.frames)
    # Frames that are read ahead, those of a call, and copies of both on the device.
    memory.check(4 * args.chunk * first[1].nbytes, f"--chunk {args.chunk}")
    if not is_simple:
        return jobs.run_job(args, source, first, job, screen)
    drawn = None
    if screen and args.select:
        first, drawn = screen.select(first, source.frames, jobs.is_live(args.video))
        if not args.show:
            screen.close()
    names, boxes = choose_objects(args, job, first[1], drawn)
    follow, params, settings = load(args)
    frames = itertools.chain([first], video.read_ahead(source.frames, args.chunk + 1))
    # Compiles before the clock starts.
    if screen and args.show:

        def watch(found):
            frame = responses_on(found, params, settings) if args.show_response else found.frame
            return screen.watch(frame, found, names)

        steps = live.follow(follow, frames, boxes, watch=watch)
    else:
        steps = follow(frames, boxes)
    seconds, count, code, before = 0.0, 0, 0, None
    spans: list[list] = [[] for _ in names]
    began = time.perf_counter()
    with (
        open_outputs(args, names, source, first[1].shape, params, settings) as write,
        caught_signals() as caught,
    ):
        try:
            for found in tqdm(steps, total=source.length, unit="frame", disable=None):
                count, seconds = count + 1, seconds + found.seconds
                names[:] = window.numbered(names, max(len(names), len(found.lost)))
                spans += [[] for _ in names[len(spans) :]]
                extend_spans(spans[: len(found.lost)], found.number, before, found.lost)
                before = found.number
                write(found)
                if caught:
                    code = 128 + caught[0]
                    break
        except KeyboardInterrupt:  # the second Ctrl-C, which waits for no frame
            code = 130
    total = time.perf_counter() - began
    print(f"{'stopped after ' if code else ''}{count} frames", end="")
    if count > 1:
        print(f", {(count - 1) / seconds:.1f} a second tracking, "
              f"{(count - 1) / total:.1f} with reading and writing", end="")  # fmt: skip
    print()
    for line in lost_lines(names, spans):
        print(line)
    for path in (args.output, args.boxes, args.debug):
        if path:
            print(f"wrote {path}")
    return code or int(bool(source.gaps))


def load(args):
    """Loads what follows objects.

    Args:
      args: the flags.

    Returns:
      (follow(frames, boxes), which gives an iterator of `results.FrameResult`, folded network
      parameters and settings of the tracker; the last two are None for an export, whose loop
      needs no JAX, and with the device of another process).

    Raises:
      ValueError: the model cannot be read.
    """
    if flags.is_export(args.weights):
        from siamfc_jax.tracking import exported

        return functools.partial(exported.follow, args.weights), None, None

    from siamfc_jax import load_model
    from siamfc_jax.tracking import loop, served, tracker

    model = args.model or load_model(args.weights)
    settings = config.from_arguments(model.tracker_config, args)
    if args.device:
        return functools.partial(served.follow, args.device, config=settings), None, None
    params = tracker.prepare(model)
    follow = functools.partial(loop.follow, params, config=settings, chunk=args.chunk)
    return follow, params, settings


def extend_spans(spans, number: int, before, lost) -> None:
    """Notes in which frames objects are lost.

    Args:
      spans: for each of N objects a list of [first, last] frame, which is changed.
      number: of this frame.
      before: number of the frame before it, None for the first.
      lost: bool[N] in this frame.
    """
    for object_spans, is_lost in zip(spans, lost, strict=True):
        if is_lost and object_spans and object_spans[-1][1] == before:
            object_spans[-1][1] = number
        elif is_lost:
            object_spans.append([number, number])


def lost_lines(names, spans) -> list[str]:
    """Returns what the summary says of lost objects.

    Args:
      names: of N objects.
      spans: of `extend_spans`.

    Returns:
      A line for each object that was lost, one line where none was.
    """
    lines = []
    for name, object_spans in zip(names, spans, strict=True):
        if object_spans:
            frames = [f"{a}-{b}" if a != b else str(a) for a, b in object_spans]
            hidden = len(frames) - SHOWN_SPANS
            more = f" and {hidden} times more" if hidden > 0 else ""
            who = f"{name} was lost" if len(names) > 1 else "lost"
            lines.append(f"{who} in frames {', '.join(frames[:SHOWN_SPANS])}{more}")
    return lines or ["never lost"]


@contextlib.contextmanager
def open_outputs(args, names, source, shape, params, settings):
    """Opens all that the flags ask for.

    Args:
      args: the flags.
      names: of N objects.
      source: `video.Source` that the frames are read from.
      shape: (H, W, 3) of every frame.
      params: of `tracker.prepare`, None for an export.
      settings: of the tracker, None for an export.

    Yields:
      write(found of `loop.follow`).

    Raises:
      ValueError: a place cannot be written.
    """
    from siamfc_jax.media import box_files, drawing, video

    with contextlib.ExitStack() as stack:
        opened = stack.enter_context
        if args.boxes:
            writer = box_files.box_writer(args.boxes, names, form=args.format, states=args.states)
            write_boxes = opened(writer)
        if args.output:
            write_video = opened(
                video.video_writer(args.output, shape, fps=source.fps, source=source)
            )
        if args.debug:
            from siamfc_jax.app import inspection

            inspect = inspection.inspector(params, names, config=settings)
            seen = inspection.shape(len(names))
            write_debug = opened(video.video_writer(args.debug, seen, fps=source.fps))

        def write(found):
            if args.boxes:
                write_boxes(found.number, found.boxes, found.scores, found.confidences, found.lost)
            if args.debug:
                write_debug(inspect(found))
            if args.output:
                frame = responses_on(found, params, settings) if args.show_response else found.frame
                frame = drawing.draw(frame, found.boxes, found.confidences, found.lost, names)
                write_video(frame, found.number)

        yield write


def responses_on(found, params, settings):
    """Lays the score maps of a frame over it.

    Args:
      found: of `loop.follow`.
      params: of `tracker.prepare`.
      settings: of the tracker.

    Returns:
      u8[H, W, 3].
    """
    from siamfc_jax.media import drawing
    from siamfc_jax.tracking import tracker

    logits, sides = tracker.score_search(params, found.states, found.frame, config=settings)
    return drawing.blend_responses(found.frame, logits, sides, found.states.center)


def choose_objects(args, job, frame, drawn):
    """Finds out what to follow from the first frame on.

    Args:
      args: the flags.
      job: annotation.job.Job of what was drawn before, None with `--select`.
      frame: u8[H, W, 3], the first one.
      drawn: f32[N, 4] that were drawn, or None.

    Returns:
      (names, boxes f32[N, 4]).

    Raises:
      ValueError: a box is not one in this frame, or names do not fit.
    """
    import numpy as np

    from siamfc_jax.geometry import check_box

    if job is None:
        boxes = drawn
        names = args.name or [str(number + 1) for number in range(len(boxes))]
        if len(names) != len(boxes) or len(set(names)) != len(names):
            raise ValueError(f"{len(boxes)} boxes need as many different names, got {names}")
    else:
        names, boxes = job.names, [key.box for key in job.keys]
    return names, np.stack([check_box(box, frame.shape) for box in boxes])
