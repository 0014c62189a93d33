"""Trains SiamFC.

    python train.py --workdir runs/a --data DIR

DIR holds `train/` and, best, `val/` in the GOT-10k layout. The same command goes on
where a stopped run was.
"""

import argparse
import pathlib
import sys

import numpy as np

from siamfc_jax import checkpoints, config, pairs, sequences, training


def parse(argv):
    """Returns the parsed flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workdir", required=True, help="folder of checkpoints and logs")
    parser.add_argument("--data", required=True, help="folder with train/ and val/")
    parser.add_argument(
        "--mix", default="", help="weights of sources, e.g. 'davis:3,drone_video:0.2'; default 1"
    )
    parser.add_argument("--init-from", help="name or path of a model to start from")
    parser.add_argument("--teacher", help="name or path of a model to imitate")
    parser.add_argument("--workers", type=int, default=0, help="processes that read images")
    config.add_arguments(parser, config.TrainConfig, config.ModelConfig)
    return parser.parse_args(argv)


def source_weights(text):
    """Returns source -> weight from `name:weight,...`."""
    weights = {}
    for entry in filter(None, text.split(",")):
        name, _, value = entry.rpartition(":")
        try:
            weights[name] = float(value)
        except ValueError:
            weights[name] = -1.0
        if not name or not 0 <= weights[name] < float("inf"):
            raise ValueError(f"--mix takes name:weight,name:weight with weights >= 0, got {entry}")
    return weights


def run(args):
    """Trains as the flags say."""
    recipe = config.from_arguments(config.TrainConfig(), args)
    network = config.from_arguments(config.ModelConfig(), args)
    tracks = sequences.read_got10k(args.data, "train")
    mix = source_weights(args.mix)
    unknown = sorted(set(mix) - {track.source for track in tracks})
    if unknown:
        raise ValueError(f"--mix names sources that {args.data} does not have: {unknown}")
    weights = np.array([mix.get(track.source, 1.0) for track in tracks])
    source = pairs.PairSource(tracks, weights, seed=recipe.seed, max_gap=recipe.max_gap)
    validation = None
    if (pathlib.Path(args.data) / "val" / "list.txt").is_file():
        held_out = sequences.read_got10k(args.data, "val")
        validation = pairs.PairSource(
            held_out, np.ones(len(held_out)), seed=0, max_gap=recipe.max_gap
        )
    init_from = args.init_from and checkpoints.load_model(args.init_from).variables
    teacher = args.teacher and checkpoints.load_model(args.teacher).variables
    training.fit(
        recipe,
        network,
        args.workdir,
        source,
        validation=validation,
        init_from=init_from or None,
        teacher=teacher or None,
        workers=args.workers,
    )


def main(argv=None) -> int:
    """Runs the command; returns its exit code."""
    try:
        run(parse(argv))
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
