"""`siamfc track` with objects that come and go: key boxes in any frames, ends, both directions."""

import contextlib
import itertools
import os
import sys
import time
from collections.abc import Callable

from siamfc_jax import config
from siamfc_jax.commands import flags


def is_live(video: str) -> bool:
    """Says whether a source is a camera or a stream, which can be read once."""
    return "://" in video or (video.isdecimal() and not os.path.exists(video))


def read_job(args):
    """Finds out what a person drew.

    Args:
      args: the flags of `siamfc track`, without `--select`.

    Returns:
      annotation.job.Job.

    Raises:
      ValueError: a box, a name or an end cannot be followed.
    """
    from siamfc_jax.annotation import key_files
    from siamfc_jax.annotation.job import KeyBox, make_job

    ends = [parse_end(text) for text in args.end or []]
    if args.box_file:
        found = key_files.read_keys(args.box_file, start=args.start, every=args.key_frames)
        keys = found.keys
        if found.unused:
            print(f"{args.box_file}: {len(keys)} key boxes; the other {found.unused} boxes are "
                  "not used, give --key-frames to use all of them", file=sys.stderr)  # fmt: skip
        ends += found.ends
        names = args.name or [key.name for key in keys]
    else:
        keys = [KeyBox(*parse_key(text, args.start)) for text in args.box]
        names = args.name or [key.name or str(n) for n, key in enumerate(keys, start=1)]
    if len(names) != len(keys):
        raise ValueError(f"{len(keys)} boxes need as many names, got {names}")
    job = make_job([key._replace(name=n) for key, n in zip(keys, names, strict=True)], ends)
    numbers = range(args.start, sys.maxsize if args.stop is None else args.stop, args.stride)
    for key in job.keys:
        if key.frame not in numbers:
            raise ValueError(
                f"frame {key.frame} has a box of {key.name!r}, but is not among the frames that "
                "are read; mend the frame of the box, --start, --stop or --stride"
            )
    return job


def parse_key(text: str, start: int):
    """Reads a box with or without its frame.

    Args:
      text: `X,Y,W,H` or `FRAME:X,Y,W,H`.
      start: the frame that is meant without one.

    Returns:
      (frame, "", box).

    Raises:
      ValueError: it is neither.
    """
    from siamfc_jax.media.box_files import parse_box

    frame, colon, box = text.rpartition(":")
    if colon and not frame.isdecimal():
        raise ValueError(f"a box of a later frame is FRAME:X,Y,W,H, got {text!r}")
    return int(frame) if colon else start, "", tuple(parse_box(box))


def parse_end(text: str):
    """Reads where an object ends.

    Args:
      text: `FRAME:NAME`.

    Returns:
      annotation.job.End.

    Raises:
      ValueError: it is not that.
    """
    from siamfc_jax.annotation.job import End

    frame, colon, name = text.partition(":")
    if not (frame.isdecimal() and colon and name):
        raise ValueError(f"an end is FRAME:NAME, such as 300:anna, got {text!r}")
    return End(int(frame), name)


def is_simple(args, job) -> bool:
    """Says whether all objects begin in the first frame and nothing else happens."""
    from siamfc_jax.annotation import formats

    keys = job.keys
    return (
        not (args.backward or job.ends)
        and len(job.names) == len(keys)
        and all(key.frame == args.start for key in keys)
        and formats.form_of(args.boxes or "", args.format) not in formats.WHOLE
    )


def run_job(args, source, first, job, screen) -> int:
    """Tracks what a job says.

    Args:
      args: the flags of `siamfc track`.
      source: media.video.Source, of which the first frame is taken.
      first: (number, frame) of it.
      job: annotation.job.Job.
      screen: app.window.Window that shows it, or None.

    Returns:
      0, 1 where parts of the video could not be decoded, 130 after Ctrl-C, 143 after SIGTERM.

    Raises:
      ValueError: the source, the boxes, the model or a place to write cannot be used, or a flag
        does not go with key boxes.
    """
    from tqdm import tqdm

    from siamfc_jax import load_model
    from siamfc_jax.annotation import annotator
    from siamfc_jax.annotation import job as jobs
    from siamfc_jax.geometry import check_box
    from siamfc_jax.media import video
    from siamfc_jax.signals import caught_signals
    from siamfc_jax.tracking import tracker

    flags.refuse(args, "debug show_response", "does not go with boxes of later frames, --end, "
                 "--backward or the forms of annotation tools; leave it out")  # fmt: skip
    if args.chunk > 1:
        raise ValueError("--chunk goes with boxes of the first frame alone; leave it out")
    for key in job.keys:
        if source.length is not None and key.frame > args.start + (source.length - 1) * args.stride:
            raise ValueError(f"{args.video} ends before frame {key.frame}, which has a box of "
                             f"{key.name!r}; mend the frame of the box")  # fmt: skip
        check_box(key.box, first[1].shape)
    spans = jobs.spans(job, backward=args.backward)
    if is_live(args.video) and any(span.last for span in spans):
        if args.backward:
            raise ValueError(f"{args.video} cannot be read backward, as it is live; "
                             "leave out --backward, or record it first")  # fmt: skip
        print(f"{args.video} is live, so objects are tracked forward alone", file=sys.stderr)
        spans = annotator.forward_only(spans)
    model = args.model or load_model(args.weights)
    settings = config.from_arguments(model.tracker_config, args)
    params = tracker.prepare(model)

    landmarks: dict = {}

    def open_frames(start, stop):
        # On the grid of --stride, whatever part of it is asked for.
        begin = args.start + -(-(start - args.start) // args.stride) * args.stride
        if begin >= stop:
            return iter(())
        part = video.open_source(
            args.video,
            start=begin,
            stop=stop,
            stride=args.stride,
            resize=args.resize,
            landmarks=landmarks,
        )
        return part.frames

    colors = colors_of(job.names)

    def look(row):
        return screen is None or screen.look(row.frame, row.number, *columns(row, colors))

    code, ended, count = 0, False, 0
    seen: dict = {}
    began = time.perf_counter()
    with (
        open_rows(args, job, source, first[1].shape) as write,
        caught_signals() as caught,
    ):
        try:
            behind = {}
            back = annotator.look_back(
                params, open_frames, spans, config=settings, start=args.start
            )
            for row in tqdm(back, unit="frame", desc="backward", disable=None):
                behind[row.number] = row.estimates
                ended = bool(caught) or not look(row)
                if ended:
                    break
            frames = itertools.chain([first], video.read_ahead(source.frames))
            rows = annotator.annotate(params, frames, spans, behind, config=settings)
            if not ended:
                for row in tqdm(rows, total=source.length, unit="frame", disable=None):
                    count += 1
                    note(seen, row, args.stride)
                    write(row)
                    if caught or not look(row):
                        break
            code = 128 + caught[0] if caught else 0
        except KeyboardInterrupt:  # the second Ctrl-C, which waits for no frame
            code = 130
    rate = count / (time.perf_counter() - began)
    print(f"{'stopped after ' if code else ''}{count} frames, {rate:.1f} a second with reading, "
          "writing and compiling")  # fmt: skip
    for line in summary(job, seen):
        print(line)
    for path in (args.output, args.boxes):
        if path:
            print(f"wrote {path}")
    return code or int(bool(source.gaps))


def colors_of(names) -> dict:
    """Returns the colour of each object, which it has as long as it is there.

    Args:
      names: of all objects of a job.
    """
    from siamfc_jax.media.drawing import COLORS

    return dict(zip(names, itertools.cycle(COLORS), strict=False))


def columns(row, colors):
    """Returns what is drawn of a row.

    Args:
      row: annotation.annotator.Row.
      colors: of `colors_of`.

    Returns:
      ((boxes f32[N, 4], confidences f32[N], lost bool[N]), N names, N colours).
    """
    import numpy as np

    found = row.estimates.values()
    boxes = np.reshape([each.box for each in found], (-1, 4))
    confidences = np.array([each.confidence for each in found], float)
    lost = np.array([each.lost for each in found], bool)
    return (boxes, confidences, lost), list(row.estimates), [colors[name] for name in row.estimates]


def note(seen: dict, row, stride: int) -> None:
    """Notes in which frames objects are there, and in which they are lost.

    Args:
      seen: (name, lost or not) -> list of [first, last] frame, which is changed.
      row: annotation.annotator.Row.
      stride: from a frame to the next.
    """
    for name, estimate in row.estimates.items():
        for kind in (False, True) if estimate.lost else (False,):
            spans = seen.setdefault((name, kind), [])
            if spans and spans[-1][1] == row.number - stride:
                spans[-1][1] = row.number
            else:
                spans.append([row.number, row.number])


def summary(job, seen: dict) -> list[str]:
    """Returns a line for each object: where it was, what was drawn, where it was lost.

    Args:
      job: annotation.job.Job.
      seen: of `note`.
    """
    lines = []
    for name in job.names:
        drawn = sum(key.name == name for key in job.keys)
        lost = seen.get((name, True))
        lines.append(
            f"{name}: {spell(seen.get((name, False)))}, {drawn} key box{'es' * (drawn > 1)}, "
            f"{f'lost in {spell(lost)}' if lost else 'never lost'}"
        )
    return lines


def spell(spans, most: int = 5) -> str:
    """Returns spans of frames in words, such as `frames 0-5, 9`.

    Args:
      spans: list of [first, last] frame, or None.
      most: how many are named.
    """
    if not spans:
        return "no frame"
    frames = [f"{first}-{last}" if first != last else str(first) for first, last in spans]
    more = f" and {len(frames) - most} times more" if len(frames) > most else ""
    return f"frames {', '.join(frames[:most])}{more}"


@contextlib.contextmanager
def open_rows(args, job, source, shape):
    """Opens all that the flags ask for.

    Args:
      args: the flags of `siamfc track`.
      job: annotation.job.Job.
      source: `video.Source` that the frames are read from.
      shape: (H, W, 3) of every frame.

    Yields:
      write(annotation.annotator.Row).

    Raises:
      ValueError: a place cannot be written.
    """
    from siamfc_jax.annotation import formats
    from siamfc_jax.annotation.job import ends_by_key
    from siamfc_jax.annotation.tracks import Clip
    from siamfc_jax.media import drawing, video

    colors = colors_of(job.names)
    clip = Clip(os.path.basename(args.video.rstrip("/")), shape[1], shape[0], source.fps, ())
    with contextlib.ExitStack() as stack:
        if args.boxes:
            writer = formats.row_writer(
                args.boxes, job.names, clip, form=args.format, ends=ends_by_key(job)
            )
            write_boxes = stack.enter_context(writer)
        if args.output:
            encoder = video.video_writer(args.output, shape, fps=source.fps, source=source)
            write_video: Callable = stack.enter_context(encoder)

        def write(row):
            if args.boxes:
                write_boxes(row)
            if args.output:
                (boxes, confidences, lost), shown, in_colors = columns(row, colors)
                write_video(
                    drawing.draw(row.frame, boxes, confidences, lost, shown, colors=in_colors),
                    row.number,
                )

        yield write
