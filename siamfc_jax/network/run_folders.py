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
    """Returns the records of a run's `metrics.jsonl`, without a last line that a kill cut short."""
    path = pathlib.Path(workdir) / METRICS_NAME
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


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
