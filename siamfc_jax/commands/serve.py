"""Annotate on a page in the browser: open a video, draw boxes, track, correct, export.

    siamfc serve

The page listens on this machine only, unless --host lets others in, who need the address that it
tells: it holds a token.
"""

import functools

from siamfc_jax import config
from siamfc_jax.commands import flags

STOPPED = "stopped before the page was there"


def add_arguments(parser, words) -> None:
    """Adds the flags.

    Args:
      parser: of this command.
      words: of the command.
    """
    flags.add_weights(parser)
    flag = parser.add_argument
    flag("--host", default="127.0.0.1", metavar="ADDRESS", help="where the page listens "
         "(default: %(default)s, only this machine; 0.0.0.0 lets others in)")  # fmt: skip
    flag("--port", type=int, default=8000, metavar="PORT", help="its port (default: %(default)s)")
    flag("--embed", action="store_true", help="let notebooks and other pages show it in a frame; "
         "its address then holds a token")  # fmt: skip
    flag("--video", metavar="SOURCE", help="what the page offers as its sample clip")
    flag("--resize", metavar="WIDTHxHEIGHT", help="bring all frames to this size first")
    flags.add_settings(parser, words)


def check(args) -> None:
    """Refuses words that cannot be followed.

    Args:
      args: the flags.

    Raises:
      ValueError: there is no such port.
    """
    if not 0 <= args.port < 2**16:
        raise ValueError(f"--port must lie in 0..65535, got {args.port}")


def run(args) -> int:
    """Serves the page until Ctrl-C.

    Args:
      args: the flags.

    Returns:
      0.

    Raises:
      ImportError: the packages of the page are not installed.
      ValueError: the model cannot be read, or nothing can listen there.
    """
    from siamfc_jax import load_model
    from siamfc_jax.app import page
    from siamfc_jax.media import video
    from siamfc_jax.network.saved_models import shipped_models
    from siamfc_jax.tracking import tracker

    def load(name):
        model = load_model(name)
        return tracker.prepare(model), config.from_arguments(model.tracker_config, args)

    load(args.weights)  # so that a model that cannot be read is told now
    app = page.make_app(
        load,
        list(dict.fromkeys([args.weights, *shipped_models()])),
        sample=args.video,
        open_source=functools.partial(video.open_source, resize=args.resize),
    )
    return page.serve(app, host=args.host, port=args.port, embed=args.embed)
