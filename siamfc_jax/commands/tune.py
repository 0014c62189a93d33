"""Choose tracker settings for a model on validation sequences.

    siamfc tune --weights runs/a --data GOT-10k --output models/a

tries settings on GOT-10k's validation set and writes the model with the best ones into
`--output`. The search begins with the settings of the model, or with what flags such as
`--scales-on exemplar` put in their place. A set that is for testing is refused unless
`--force` says otherwise. Every trial is a line of `OUTPUT.trials.jsonl`; an interrupted
search goes on.
"""

import pathlib

from siamfc_jax import config
from siamfc_jax.commands import flags
from siamfc_jax.files import locked

STOPPED = "stopped; the same command goes on from here"
VALIDATION = ("got10k-val",)


def add_arguments(parser, words) -> None:
    """Adds the flags.

    Args:
      parser: of this command.
      words: of the command.
    """
    from siamfc_jax.evaluation.benchmarks import BENCHMARKS
    from siamfc_jax.evaluation.protocols import OPE, WITHOUT_RESTARTS

    one_pass = [name for name, entry in BENCHMARKS.items() if entry.protocol is OPE]
    flag = parser.add_argument
    flag(
        "--weights",
        required=True,
        metavar="NAME|PATH",
        help="model to choose settings for",
    )
    flag(
        "--data", nargs="+", required=True, metavar="DIR",
        help="folders of the benchmark as published, one set",
    )  # fmt: skip
    flag("--output", required=True, metavar="DIR", help="folder for the model with its settings")
    flag(
        "--benchmark", choices=one_pass, default=VALIDATION[0], metavar="NAME",
        help=f"one of {', '.join(one_pass)} (default: %(default)s)",
    )  # fmt: skip
    flag("--sequences", nargs="+", metavar="NAME", help="only these")
    flag(
        "--protocol", choices=WITHOUT_RESTARTS, default="ope",
        help="one pass, or runs that begin at 20 frames (tre) or with 12 shifted boxes (sre), "
        "which take ten times as long and leave less to chance (default: ope)",
    )  # fmt: skip
    flag(
        "--every", type=int, default=1, metavar="N",
        help="of the runs over a sequence only the first and each Nth after it, to save time "
        "(default: %(default)s)",
    )  # fmt: skip
    flag("--trials", type=int, default=60, metavar="N", help="settings to try (default: 60)")
    flag("--seed", type=int, default=0, metavar="N", help="of the search (default: 0)")
    flag("--force", action="store_true", help="tune on a test set all the same")
    flags.add_settings(parser, words)


def check(args) -> None:
    """Refuses words that cannot be followed.

    Args:
      args: the flags.

    Raises:
      ValueError: a test set without `--force`, no trial, or runs to leave out of one pass.
    """
    from siamfc_jax.evaluation.benchmarks import BENCHMARKS

    if BENCHMARKS[args.benchmark].server:
        raise ValueError(f"the true boxes of {args.benchmark} are not published")
    if args.benchmark not in VALIDATION and not args.force:
        raise ValueError(
            f"{args.benchmark} is a test set: numbers on it mean nothing once it chose the "
            f"settings; tune on {' or '.join(VALIDATION)}, or say --force"
        )
    for name in ("trials", "every"):
        value = getattr(args, name)
        if value < 1:
            raise ValueError(f"--{name} must be at least 1, got {value}")
    if args.every > 1 and args.protocol == "ope":
        raise ValueError(
            f"--every {args.every} leaves out runs, and ope has one a sequence; "
            "add --protocol tre or sre"
        )


def run(args) -> None:
    """Searches, then writes the model.

    Args:
      args: the flags.

    Raises:
      ValueError: data or model cannot be read, or the log is of another search.
    """
    from siamfc_jax import load_model, save_model
    from siamfc_jax.data.sequences import select_sequences
    from siamfc_jax.evaluation import tuning
    from siamfc_jax.evaluation.benchmarks import BENCHMARKS, read_folders
    from siamfc_jax.evaluation.protocols import WITHOUT_RESTARTS
    from siamfc_jax.network.saved_models import checksum

    benchmark, output = BENCHMARKS[args.benchmark], pathlib.Path(args.output)
    with locked(output, beside=True):
        sequences = select_sequences(read_folders(benchmark, args.data), args.sequences)
        model = load_model(args.weights)
        log = output.with_name(f"{output.name}.trials.jsonl")
        protocol = WITHOUT_RESTARTS[args.protocol]
        score = tuning.score_on(sequences, model, benchmark, protocol, every=args.every)
        base = config.from_arguments(model.tracker_config, args)
        subject = {
            "weights": checksum(model.variables),
            "benchmark": args.benchmark,
            "protocol": args.protocol,
            "every": args.every,
            "sequences": [sequence.name for sequence in sequences],
        }
        found = tuning.search(
            score, base, trials=args.trials, seed=args.seed, log=log, subject=subject
        )
        save_model(output, model._replace(tracker_config=found.config))
    chosen = ", ".join(f"{name} {getattr(found.config, name)}" for name in tuning.RANGES)
    gain = found.gain
    print(
        f"{output}: {found.score:.4f} with {chosen}\n"
        f"{gain.mean:+.4f} a sequence over the settings that the search began with "
        f"({gain.low:+.4f} to {gain.high:+.4f} for 95 of 100 draws of the {gain.sequences} "
        "sequences, which also chose)"
    )
