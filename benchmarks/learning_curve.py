"""Draws how the tracker improves while its network learns.

    python benchmarks/learning_curve.py --run runs/mine --data OTB --steps 1000 2000 3000 \
        --output curve.png

Tracks an OTB folder with the given checkpoints of a run (kept by `train.py --keep`), and draws
success AUC and precision over the pairs seen, with the validation error of the run's log below.
The figures go into a .json file beside the picture; checkpoints that are in it are not tracked
again. Sequences that are used to choose a checkpoint become validation data.
"""

import argparse
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from matplotlib.figure import Figure

from siamfc_jax import config
from siamfc_jax.compilation import keep_compiled
from siamfc_jax.evaluation import measures, runner
from siamfc_jax.evaluation.benchmarks import BENCHMARKS
from siamfc_jax.network.run_folders import read_metrics
from siamfc_jax.network.saved_models import load_model
from siamfc_jax.tracking import tracker


def measure(args):
    """Returns step -> {"auc", "precision"} of all checkpoints, measured now or before."""
    path = args.output.with_suffix(".json")
    found = json.loads(path.read_text()) if path.is_file() else {}
    sequences = BENCHMARKS["otb"].read(args.data)
    for step in map(str, args.steps):
        if step in found:
            continue
        model = load_model(args.run / "checkpoints" / step)
        settings = config.from_arguments(model.tracker_config, args)
        track = runner.siamfc(tracker.prepare(model), config=settings)
        runs = {s.name: [(runner.one_pass(track, s), s)] for s in sequences}
        report = measures.summarize(runs)
        found[step] = {"auc": report["success_auc"], "precision": report["precision_20"]}
        path.write_text(json.dumps(found, indent=2) + "\n")
        print(f"step {step}: AUC {report['success_auc']:.3f}, precision "
              f"{report['precision_20']:.3f}", flush=True)  # fmt: skip
    return {int(step): figures for step, figures in sorted(found.items(), key=lambda e: int(e[0]))}


def draw(args, found):
    """Writes the picture."""
    figure = Figure(figsize=(6, 5), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True)
    pairs = [step * args.batch_size for step in found]
    for name, label in (("auc", "success AUC"), ("precision", "precision at 20 px")):
        upper.plot(pairs, [figures[name] for figures in found.values()], marker="o", label=label)
    upper.set_ylim(0, 1)
    upper.legend(loc="lower right")
    upper.set_ylabel(f"OTB, {len(BENCHMARKS['otb'].read(args.data))} sequences")
    records = [r for r in read_metrics(args.run) if "validation_center_error" in r]
    lower.plot(
        [r["step"] * args.batch_size for r in records],
        [r["validation_center_error"] for r in records],
        marker=".",
    )
    lower.set_ylim(bottom=0)
    lower.set_ylabel("validation centre error, px")
    lower.set_xlabel("pairs seen")
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    figure.savefig(args.output, dpi=110)


def main(argv=None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=pathlib.Path, required=True, help="--workdir of train.py")
    parser.add_argument("--data", required=True, help="folder of OTB sequences")
    parser.add_argument("--steps", type=int, nargs="+", required=True, help="checkpoints")
    parser.add_argument("--output", type=pathlib.Path, required=True, metavar="FILE.png")
    parser.add_argument("--batch-size", type=int, default=8, help="of the run")
    config.add_arguments(parser, config.TrackerConfig())
    args = parser.parse_args(argv)
    keep_compiled()
    try:
        draw(args, measure(args))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
