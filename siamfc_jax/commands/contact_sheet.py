"""Draw random training samples on one picture: wrong boxes are seen at once.

    siamfc contact-sheet --data prepared/got10k --output sheet.png

Each sample is an exemplar and a search crop as training draws them, but for the random
shift, stretch and colour; boxes are yellow, the positive cells of the label green.
"""

import pathlib

from siamfc_jax.config import TrainConfig
from siamfc_jax.files import write_whole

STOPPED = "stopped; nothing was written"


def add_arguments(parser, words) -> None:
    """Adds the flags.

    Args:
      parser: of this command.
      words: of the command.
    """
    del words
    flag = parser.add_argument
    flag("--data", required=True, metavar="DIR", help="prepared set, or a folder with list.txt")
    flag("--output", required=True, metavar="FILE", help="picture to write, .png or .jpg")
    flag("--rows", type=int, default=6, metavar="N", help="of samples (default: %(default)s)")
    flag("--columns", type=int, default=4, metavar="N", help="of samples (default: %(default)s)")
    flag(
        "--seed", type=int, default=0, metavar="N",
        help="another one shows other samples (default: 0)",
    )  # fmt: skip


def check(args) -> None:
    """Refuses words that cannot be followed.

    Args:
      args: the flags.

    Raises:
      ValueError: a number is too small, or the picture has another ending.
    """
    if args.rows < 1 or args.columns < 1:
        raise ValueError(f"--rows and --columns: at least 1, got {args.rows}, {args.columns}")
    if pathlib.Path(args.output).suffix not in (".png", ".jpg"):
        raise ValueError(f"--output must end in .png or .jpg, got {args.output}")


def run(args) -> None:
    """Draws and writes the picture.

    Args:
      args: the flags.

    Raises:
      ValueError: the set cannot be read, or its crops cannot be drawn.
      OSError: the picture cannot be written.
    """
    import cv2

    from siamfc_jax.data.prepared import read_tracks
    from siamfc_jax.media import outputs
    from siamfc_jax.training.contact_sheet import draw_sheet

    outputs.check_outputs([], {"--output": args.output})
    tracks = read_tracks(args.data)
    config = TrainConfig(seed=args.seed)
    sheet = draw_sheet(tracks, rows=args.rows, columns=args.columns, config=config)
    ending = pathlib.Path(args.output).suffix
    picture = cv2.imencode(ending, cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1]
    with outputs.whole(args.output) as place:
        write_whole(place, picture.tobytes())
    print(f"{args.rows * args.columns} samples of {len(tracks)} tracks in {args.output}")
