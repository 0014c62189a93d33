"""Trains SiamFC.

    python train.py --workdir runs/a --data GOT-10k

The same command goes on where a stopped run was. Ctrl-C and SIGTERM save first. Several
sets are mixed by the weight of their tracks, and so are the sources within a set:

    python train.py --workdir runs/b --data GOT-10k/train --data crops:0.3,drones:0.1
"""

import argparse
import dataclasses
import logging
import pathlib
import sys

import numpy as np

from siamfc_jax import config
from siamfc_jax.compilation import keep_compiled, keep_memory
from siamfc_jax.data import pairs, prepared
from siamfc_jax.network.saved_models import load_model
from siamfc_jax.signals import Stopped
from siamfc_jax.training import loop, sgd


def parse(argv):
    """Returns the parsed flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workdir", required=True, help="folder of checkpoints and logs")
    data = "prepared set, or GOT-10k layout: list.txt, or train/ and val/ with one each"
    parser.add_argument(
        "--data",
        required=True,
        action="append",
        metavar="DIR[:WEIGHT][,SOURCE:WEIGHT...]",
        help=f"{data}; a track counts by the product of its weights, 1 where none is given",
    )
    parser.add_argument(
        "--validation",
        metavar="DIR",
        help=f"held-out tracks: {data}; by default val/ of the first --data that has one",
    )
    parser.add_argument(
        "--init-from",
        metavar="MODEL",
        help="name or path of weights to start from; a narrower network starts inside this one",
    )
    parser.add_argument(
        "--teacher",
        metavar="MODEL",
        action="append",
        default=[],
        help="name or path of a network to imitate; several are averaged, their logits matched",
    )
    parser.add_argument("--workers", type=int, default=0, help="processes that read, 0 for threads")
    parser.add_argument("--profile", type=int, default=0, metavar="STEPS", help="steps to trace")
    hosts = parser.add_argument_group("several hosts, where no cluster (TPU, Slurm) is detected")
    hosts.add_argument("--coordinator", metavar="HOST:PORT", help="of process 0, for all the same")
    hosts.add_argument("--num-processes", type=int, metavar="N", help="how many hosts")
    hosts.add_argument("--process-id", type=int, metavar="I", help="which of them, from 0")
    config.add_arguments(parser, config.TrainConfig, config.ModelConfig)
    return parser.parse_args(argv)


def split_weight(text):
    """Returns (name, weight) of `NAME[:WEIGHT]`; a colon before no number is of the name."""
    name, _, number = text.rpartition(":")
    try:
        weight = float(number)
    except ValueError:
        return text, 1.0
    if not name or not 0 <= weight < float("inf"):
        raise ValueError(f"--data takes weights from 0 upwards, got {text}")
    return name, weight


def read_data(entries):
    """Returns (tracks, their weights f64[n]) of the values of --data."""
    tracks, weights = [], []
    for entry in entries:
        (folder, weight), *parts = map(split_weight, entry.split(","))
        found, by_source = prepared.read_tracks(folder), dict(parts)
        sources = {track.source for track in found}
        unknown = sorted(set(by_source) - sources)
        if unknown:
            raise ValueError(
                f"{folder} has no source {', '.join(unknown)}; it has {', '.join(sorted(sources))}"
            )
        tracks += found
        weights += [weight * by_source.get(track.source, 1.0) for track in found]
    return tracks, np.array(weights)


def run(args):
    """Trains as the flags say."""
    recipe = config.from_arguments(config.TrainConfig(), args)
    for name in ("workers", "profile"):
        if getattr(args, name) < 0:
            raise ValueError(f"--{name} must not be negative, got {getattr(args, name)}")
    source = pairs.PairSource(*read_data(args.data), seed=recipe.seed, max_gap=recipe.max_gap)
    validation = None
    folders = [split_weight(entry.split(",")[0])[0] for entry in args.data]
    beside = (folder for folder in folders if (pathlib.Path(folder) / "val/list.txt").is_file())
    if held_out := args.validation or next(beside, None):
        held_out = prepared.read_tracks(held_out, "val")
        weights = np.ones(len(held_out))
        validation = pairs.PairSource(held_out, weights, seed=0, max_gap=recipe.max_gap)
    sgd.connect(args.coordinator, args.num_processes, args.process_id)
    init_from = load_model(args.init_from) if args.init_from else None
    network = init_from.model_config if init_from else config.ModelConfig()
    if "width" in args and "channels" not in args:
        network = dataclasses.replace(network, channels=())  # which would override the width
    network = config.from_arguments(network, args)
    loop.fit(
        recipe,
        network,
        pathlib.Path(args.workdir),
        source,
        validation=validation,
        init_from=init_from,
        teachers=tuple(map(load_model, args.teacher)),
        workers=args.workers,
        profile=args.profile,
    )


def main(argv=None) -> int:
    """Runs the command; returns its exit code, 128 + the signal's number where one came."""
    for name in ("absl", "asyncio"):
        # Orbax reports the errors of its threads there, page by page, before it raises them.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    keep_compiled()
    keep_memory()
    try:
        run(parse(argv))
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        return 128 + stopped.signal
    except KeyboardInterrupt:
        print("ended at once; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
