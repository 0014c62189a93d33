"""Train a network.

    siamfc train --workdir runs/a --data GOT-10k

The same command goes on where a stopped run was. Ctrl-C and SIGTERM save first. Several
sets are mixed by the weight of their tracks, and so are the sources within a set:

    siamfc train --workdir runs/b --data GOT-10k/train --data crops:0.3,drones:0.1
"""

import contextlib
import dataclasses
import pathlib
import shlex

from siamfc_jax import config
from siamfc_jax.commands import flags
from siamfc_jax.files import locked

STOPPED = "ended at once; the same command goes on from the last checkpoint"


def add_arguments(parser, words) -> None:
    """Adds the flags.

    Args:
      parser: of this command.
      words: of the command.
    """
    del words
    flag = parser.add_argument
    flag("--workdir", required=True, metavar="DIR", help="folder of checkpoints and logs")
    data = "prepared set, or GOT-10k layout: list.txt, or train/ and val/ with one each"
    flag(
        "--data",
        required=True,
        action="append",
        metavar="DIR[:WEIGHT][,SOURCE:WEIGHT...]",
        help=f"{data}; a track counts by the product of its weights, 1 where none is given",
    )
    flag(
        "--validation",
        metavar="DIR",
        help=f"held-out tracks: {data}; by default val/ of the first --data that has one",
    )
    flag(
        "--init-from",
        metavar="NAME|PATH",
        help="model to start from, which --width or --channels make wider or narrower",
    )
    flag(
        "--teacher", action="append", default=[], metavar="NAME|PATH",
        help="model to imitate; several are averaged, their logits matched; repeatable",
    )  # fmt: skip
    flag(
        "--workers", type=int, default=0, metavar="N",
        help="processes that read, 0 for threads (default: 0)",
    )  # fmt: skip
    flag(
        "--resident", action="store_true",
        help="read all patches once and keep them on the device, .3 MB each; the result is the "
        "same bit for bit",
    )  # fmt: skip
    flag("--profile", type=int, default=0, metavar="STEPS", help="steps to trace (default: 0)")
    hosts = parser.add_argument_group("several hosts, where no cluster (TPU, Slurm) is detected")
    hosts.add_argument(
        "--coordinator", metavar="HOST:PORT", help="of process 0; the same on every host"
    )
    hosts.add_argument("--num-processes", type=int, metavar="N", help="how many hosts")
    hosts.add_argument("--process-id", type=int, metavar="I", help="which of them, from 0")
    config.add_arguments(parser, config.TrainConfig())
    config.add_arguments(parser, config.ModelConfig())


def check(args) -> None:
    """Refuses words that cannot be followed.

    Args:
      args: the flags.

    Raises:
      ValueError: a number is out of range, or a flag would have no effect.
    """
    for name in ("workers", "profile"):
        if getattr(args, name) < 0:
            raise ValueError(f"--{name} must not be negative, got {getattr(args, name)}")
    if not args.teacher:
        flags.refuse(args, "distillation", "weighs the teacher's logits; give --teacher as well")
    config.from_arguments(config.TrainConfig(), args)
    network_settings(config.ModelConfig(), args)


def network_settings(base: config.ModelConfig, args) -> config.ModelConfig:
    """Returns the network that the flags ask for.

    Args:
      base: network of `--init-from`, or the paper's.
      args: the flags.

    Returns:
      The base with the flags put in.

    Raises:
      ValueError: a value is out of range.
    """
    if "width" in args and "channels" not in args:
        base = dataclasses.replace(base, channels=())  # which would override the width
    return config.from_arguments(base, args)


def run(args) -> None:
    """Trains as the flags say.

    Args:
      args: the flags.

    Raises:
      ValueError: data, model or workdir cannot be used.
      FloatingPointError: the loss became NaN or infinite.
      Stopped: a signal came, and the run was saved.
    """
    recipe = config.from_arguments(config.TrainConfig(), args)
    import jax
    import numpy as np

    from siamfc_jax import load_model
    from siamfc_jax.data import mixture, pairs, prepared
    from siamfc_jax.training import loop, sgd

    tracks, weights = mixture.read_mixture(args.data)
    source = pairs.PairSource(tracks, weights, seed=recipe.seed, max_gap=recipe.max_gap)
    validation = None
    if held_out := mixture.find_held_out(args.data, args.validation):
        apart = prepared.read_tracks(held_out, "val")
        validation = pairs.PairSource(apart, np.ones(len(apart)), seed=0, max_gap=recipe.max_gap)
    sgd.connect(args.coordinator, args.num_processes, args.process_id)
    sgd.use_cores_as_devices(recipe.batch_size // recipe.accumulate)
    init_from = load_model(args.init_from) if args.init_from else None
    base = init_from.model_config if init_from else config.ModelConfig()
    # Several hosts write to one folder, so the first one locks it for all.
    with locked(args.workdir) if jax.process_index() == 0 else contextlib.nullcontext():
        loop.fit(
            recipe,
            network_settings(base, args),
            pathlib.Path(args.workdir),
            source,
            validation=validation,
            init_from=init_from,
            teachers=tuple(map(load_model, args.teacher)),
            workers=args.workers,
            resident=args.resident,
            profile=args.profile,
        )
    if jax.process_index() == 0:
        for line in next_lines(args.workdir, held_out):
            print(line)


def next_lines(workdir: str, held_out: str | None) -> list[str]:
    """Returns what to do with a run that is done.

    Args:
      workdir: of the run.
      held_out: folder of the tracks that it was validated on, or None.
    """
    lines = [f"curves: tensorboard --logdir {shlex.quote(workdir)}"]
    if held_out:
        output = f"models/{pathlib.Path(workdir).name}"
        words = ["--weights", workdir, "--data", held_out, "--output", output]
        lines.append(f"confidence: siamfc calibrate {shlex.join(words)}")
        workdir = output
    video = "--video FILE --box X,Y,W,H"
    return [*lines, f"next: siamfc track {video} --weights {shlex.quote(workdir)}"]
