"""Runs a benchmark and reports its official numbers.

    python evaluate.py --benchmark otb --data DIR --weights siamfc --output runs/otb

writes a result file a sequence, `summary.json` and `table.md` into the output
folder. Sequences that have a result file already are not tracked again.
"""

import argparse
import json
import pathlib
import sys

from siamfc_jax import config, evaluation, sequences, tracker
from siamfc_jax.checkpoints import load_model


def main(argv=None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmark", choices=["otb"], default="otb", help="layout and measures")
    parser.add_argument("--data", required=True, help="folder of the benchmark")
    parser.add_argument("--weights", default="siamfc", help="name or path of a model")
    parser.add_argument("--output", required=True, help="folder for results and report")
    parser.add_argument("--sequences", nargs="+", metavar="NAME", help="only these")
    config.add_arguments(parser, config.TrackerConfig)
    args = parser.parse_args(argv)
    try:
        run(args)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def run(args) -> None:
    """Tracks what has no result yet, then reports from the files."""
    output = pathlib.Path(args.output)
    chosen = sequences.read_otb(args.data)
    if args.sequences:
        unknown = sorted(set(args.sequences) - {s.name for s in chosen})
        if unknown:
            raise ValueError(f"no sequence {unknown} in {args.data}")
        chosen = [s for s in chosen if s.name in args.sequences]
    model = load_model(args.weights)
    settings = config.from_arguments(model.tracker_config, args)
    track = evaluation.siamfc(tracker.prepare(model), config=settings)
    results = {}
    for sequence in chosen:
        if not (output / f"{sequence.name}.txt").is_file():
            result = evaluation.one_pass(track, sequence)
            evaluation.write_result(output, sequence.name, result, one_based=True)
        result = evaluation.read_result(output, sequence.name, len(sequence.frames), one_based=True)
        results[sequence.name] = [(result, sequence)]
        print(
            evaluation.table(
                evaluation.report({sequence.name: results[sequence.name]})["sequences"]
            ).splitlines()[-1],
            flush=True,
        )
    summary = evaluation.report(results)
    (output / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    text = evaluation.table({"all": summary}) + "\n" + evaluation.table(summary["sequences"])
    (output / "table.md").write_text(text)
    print(text)


if __name__ == "__main__":
    sys.exit(main())
