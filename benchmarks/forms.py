"""Tracks a benchmark with the CPU's forms of the network and with XLA's own, and compares.

    python benchmarks/forms.py --benchmark otb --data OTB --weights siamfc-small

Prints the largest distance between the boxes of the two, and the success AUC of each.
"""

import argparse
import pathlib
import sys
from unittest import mock

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import jax

from siamfc_jax.compilation import keep_memory
from siamfc_jax.data.sequences import select_sequences
from siamfc_jax.evaluation import benchmarks, measures, runner
from siamfc_jax.network import saved_models
from siamfc_jax.tracking import tracker


def follow_all(model, sequences):
    """Returns name -> [(result, sequence)], as `measures.summarize` takes them."""
    track = runner.siamfc(tracker.prepare(model), config=model.tracker_config)
    return {s.name: [(runner.one_pass(track, s), s)] for s in sequences}


def main(argv=None) -> int:
    """Prints the comparison; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--benchmark", default="otb", help="one of those of `siamfc evaluate` without restarts"
    )
    parser.add_argument("--data", required=True, help="folder of the benchmark as published")
    parser.add_argument("--weights", metavar="NAME|PATH", default="siamfc-small")
    parser.add_argument("--sequences", nargs="+", metavar="NAME", help="only these")
    args = parser.parse_args(argv)
    keep_memory()
    sequences = select_sequences(
        benchmarks.BENCHMARKS[args.benchmark].read(args.data), args.sequences
    )
    model = saved_models.load_model(args.weights)
    ours = follow_all(model, sequences)
    jax.clear_caches()
    with mock.patch.object(
        jax.lax, "platform_dependent", lambda *arrays, default, **_: default(*arrays)
    ):
        plain = follow_all(model, sequences)
    print("| sequence | frames | px apart at most | frames over .5 px |\n|---|---:|---:|---:|")
    for name, ((result, sequence),) in ours.items():
        apart = np.abs(result.boxes - plain[name][0][0].boxes).max(axis=1)
        print(f"| {name} | {len(sequence.frames)} | {apart.max():.4f} | {(apart > 0.5).sum()} |")
    for form, runs in (("the CPU's forms", ours), ("XLA's own", plain)):
        seconds = np.concatenate([runs[name][0][0].seconds[1:] for name in runs])
        report = measures.summarize(runs)
        print(f"{form}: AUC {report['success_auc']:.4f}, {1 / np.median(seconds):.1f} frames/s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
