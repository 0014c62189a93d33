"""Follows objects through a video, a camera or a stream.

    python track.py --video clip.mp4 --box 62,36,50,64 --output out.mp4 --boxes out.csv
    python track.py --serve

Boxes are X,Y,W,H in pixels of the first frame, from its left top corner; after
--resize, in pixels of the resized frame. A box that begins with a minus sign is
written --box=-5,10,20,20. Frame numbers are those of the source, from 0.
"""

import argparse
import contextlib
import functools
import itertools
import sys
import time

import numpy as np
from tqdm import tqdm

from siamfc_jax import config
from siamfc_jax.app import inspection
from siamfc_jax.compilation import keep_compiled, keep_memory
from siamfc_jax.geometry import check_box
from siamfc_jax.media import box_files, drawing, outputs, video
from siamfc_jax.network.checkpoints import load_model
from siamfc_jax.signals import caught_signals
from siamfc_jax.tracking import loop, tracker


def main(argv=None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    flag = parser.add_argument
    flag("--video", metavar="SOURCE", help="video, image, TIFF, GIF or WebP file, folder or "
         "'glob' of images, camera number, URL of a stream")  # fmt: skip
    objects = parser.add_mutually_exclusive_group(required=True)
    objects.add_argument("--box", action="append", metavar="X,Y,W,H", help="object; repeatable")
    objects.add_argument(
        "--box-file",
        metavar="FILE",
        help="csv, json or text as --boxes writes them; those of the frame --start",
    )
    objects.add_argument("--select", action="store_true", help="draw the boxes in a window")
    objects.add_argument(
        "--serve",
        action="store_true",
        help="draw them on a page in the browser, which also shows the result",
    )
    flag("--host", default="127.0.0.1", help="where the page listens (default: %(default)s, only "
         "this machine; 0.0.0.0 lets others in)")  # fmt: skip
    flag("--port", type=int, default=8000, help="port of the page (default: %(default)s)")
    flag("--name", action="append", help="name of an object, in the order of boxes; repeatable")
    flag("--weights", default="siamfc-small", metavar="NAME|PATH",
         help="shipped model, model folder or run of train.py (default: %(default)s)")  # fmt: skip
    flag("--output", metavar="FILE.mp4", help="video with the boxes drawn in")
    flag("--boxes", metavar="FILE", help="boxes as .csv, .json or .txt (OTB or MOT-challenge)")
    flag("--format", choices=["csv", "json", "otb", "mot"], help="form of --boxes")
    flag("--states", action="store_true", help="write confidence and lost into a csv, too")
    flag("--show", action="store_true", help="show a window; q or Esc stops")
    flag("--show-response", action="store_true", help="draw the score map, too")
    flag("--debug", metavar="FILE.mp4", help="video of what the network sees: exemplar, search "
         "and response side by side, a row an object")  # fmt: skip
    flag("--start", type=int, default=0, metavar="N", help="first frame (default: 0)")
    flag("--stop", type=int, metavar="N", help="frame to stop before (default: the end)")
    flag("--stride", type=int, default=1, metavar="N", help="take every Nth frame (default: 1)")
    flag("--resize", metavar="WxH", help="bring all frames to this size first")
    flag("--chunk", type=int, default=1, metavar="N", help="frames a call of the device, which "
         "keeps an accelerator busy; they are shown together (default: 1)")  # fmt: skip
    config.add_arguments(parser, config.TrackerConfig)
    keep_compiled()
    keep_memory()
    try:
        args = parser.parse_args(argv)
        return serve(args) if args.serve else run(args)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before the first frame was tracked
        return 130


def run(args) -> int:
    """Tracks what the flags say; returns 0, 1 where the video is damaged, 130 or 143 if stopped."""
    if not args.video:
        raise ValueError("nothing to track in; give --video SOURCE, or --serve for a page")
    if not (args.output or args.boxes or args.show or args.debug):
        raise ValueError("nowhere to put the result; give --output, --boxes or --show")
    if args.chunk < 1:
        raise ValueError(f"--chunk must be at least 1, got {args.chunk}")
    written = {"--output": args.output, "--boxes": args.boxes, "--debug": args.debug}
    outputs.check_outputs([args.video, args.box_file], written)
    for path in filter(None, (args.output, args.debug)):
        video.check_ending(path)
    if args.boxes and not args.format:
        box_files.form_of(args.boxes, 1)
    if args.show or args.select:
        drawing.check_display()
    source = video.open_source(
        args.video, start=args.start, stop=args.stop, stride=args.stride, resize=args.resize
    )
    first = next(source.frames)
    names, boxes = choose_objects(args, first[1])
    model = load_model(args.weights)
    settings = config.from_arguments(model.tracker_config, args)
    params = tracker.prepare(model)
    seconds, count, code = 0.0, 0, 0
    frames = itertools.chain([first], video.read_ahead(source.frames, args.chunk + 1))
    # Compiles before the clock starts.
    steps = loop.follow(params, frames, boxes, config=settings, chunk=args.chunk)
    began = time.perf_counter()
    with (
        open_outputs(args, names, source, first[1].shape, params, settings) as write,
        caught_signals() as caught,
    ):
        try:
            for found in tqdm(steps, total=source.count, unit="frame", disable=None):
                count, seconds = count + 1, seconds + found.seconds
                if not write(found):
                    break
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
    print("".join(f"\nwrote {path}" for path in (args.output, args.boxes, args.debug) if path))
    return code or int(bool(source.gaps))


@contextlib.contextmanager
def open_outputs(args, names, source, shape, params, settings):
    """Opens all that the flags ask for.

    Args:
      args: the flags.
      names: of N objects.
      source: what the frames are read from.
      shape: (H, W, 3) of every frame.
      params: of `tracker.prepare`.
      settings: of the tracker.

    Yields:
      write(found of `tracking.follow`), which says whether to go on.

    Raises:
      ValueError: a place cannot be written.
    """
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
            inspect = inspection.inspector(params, config=settings)
            seen = inspection.shape(len(names))
            write_debug = opened(video.video_writer(args.debug, seen, fps=source.fps))

        def write(found):
            if args.boxes:
                write_boxes(found.number, found.boxes, found.scores, found.confidences, found.lost)
            if args.debug:
                write_debug(inspect(found.frame, found.states))
            if not (args.output or args.show):
                return True
            frame = found.frame
            if args.show_response:
                maps = tracker.respond(params, found.states, frame, config=settings)
                frame = drawing.blend_responses(frame, *maps, found.states.center)
            frame = drawing.draw(frame, found.boxes, found.scores, found.lost, names)
            if args.output:
                write_video(frame, found.number)
            return not args.show or drawing.show(frame)

        yield write


def serve(args) -> int:
    """Serves the page until Ctrl-C; returns 0."""
    for name in ("output", "boxes", "debug", "format", "states", "show", "show_response", "name"):
        if getattr(args, name):
            raise ValueError(
                f"--{name.replace('_', '-')} does not go with --serve; "
                "name objects and download results on the page"
            )
    try:
        from siamfc_jax.app import page
    except ImportError as error:
        raise ValueError(
            f"the page needs {error.name}, which is not installed; "
            "try: pip install -r requirements-web.txt"
        ) from error
    model = load_model(args.weights)
    app = page.make_app(
        tracker.prepare(model),
        config=config.from_arguments(model.tracker_config, args),
        host=args.host,
        sample=args.video,
        open_source=functools.partial(
            video.open_source,
            start=args.start, stop=args.stop, stride=args.stride, resize=args.resize,
        ),
    )  # fmt: skip
    return page.serve(app, host=args.host, port=args.port)


def choose_objects(args, frame):
    """Finds out what to follow.

    Args:
      args: the flags.
      frame: u8[H, W, 3], the first one.

    Returns:
      (names, boxes f32[N, 4]).

    Raises:
      ValueError: a box is not one in this frame, or names do not fit.
    """
    names = None
    if args.select:
        boxes = drawing.select_boxes(frame)
    elif args.box_file:
        rows = box_files.read_box_file(args.box_file)
        names, boxes = box_files.boxes_at(rows, args.start, args.box_file)
    else:
        boxes = [box_files.parse_box(text) for text in args.box]
    names = args.name or names or [str(number + 1) for number in range(len(boxes))]
    if len(names) != len(boxes) or len(set(names)) != len(names):
        raise ValueError(f"{len(boxes)} boxes need as many different names, got {names}")
    return names, np.stack([check_box(box, frame.shape) for box in boxes])


if __name__ == "__main__":
    sys.exit(main())
