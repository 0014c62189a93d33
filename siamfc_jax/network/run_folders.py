"""The folder of a training run, as readers see it: which checkpoint is the best.

`training.checkpoints` and `training.logs` write the folder; everything here only reads it, so
that a model can be loaded from a run while the run is going on.

    WORKDIR/checkpoints/STEP/   the whole training state and its settings
    WORKDIR/metrics.jsonl       one JSON object a line, each with its `step`
"""

import json
import pathlib
from collections.abc import Iterable, Mapping

CHECKPOINTS = "checkpoints"
METRICS_NAME = "metrics.jsonl"


def read_metrics(workdir: str | pathlib.Path) -> list[dict]:
    """Reads the records of a run's `metrics.jsonl`, without a last line that a kill cut short.

    Args:
      workdir: of the run.

    Returns:
      One dictionary of numbers a line, in the order of the file.

    Raises:
      ValueError: a line is of another form; the text names it.
    """
    path = pathlib.Path(workdir) / METRICS_NAME
    lines = path.read_text(errors="replace").split("\n") if path.is_file() else []
    records = []
    for number, line in enumerate(lines, start=1):
        if not line.endswith("}") and number >= len(lines) - 1:
            continue  # cut short, or what follows the last line
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        is_whole = isinstance(record, dict) and type(record.get("step")) is int
        if not (is_whole and all(type(value) in (int, float) for value in record.values())):
            raise ValueError(f"{path}, line {number} is no record of a step; remove the line")
        records.append(record)
    return records


def validation_errors(records: Iterable[Mapping]) -> dict[int, float]:
    """Returns step -> centre error in search pixels, of the records that report a validation."""
    key = "validation_center_error"
    return {record["step"]: record[key] for record in records if key in record}


def best_step(steps: Iterable[int], errors: Mapping[int, float]) -> int:
    """Returns the step with the least validation error, the latest if none was validated.

    Args:
      steps: numbers of steps that have a checkpoint, at least one.
      errors: step -> validation error, from `validation_errors`.
    """
    return min(steps, key=lambda step: (errors.get(step, float("inf")), -step))
