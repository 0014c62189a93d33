"""Reports on result files: numbers, tables, plots and a page, of one tracker or several."""

import json
import pathlib

from siamfc_jax.evaluation import html_report, plots, protocols, results, tables
from siamfc_jax.evaluation.plan import Plan
from siamfc_jax.files import write_whole


def report(plan: Plan, folders: list) -> str:
    """Writes the report of some trackers into the output folder.

    Args:
      plan: benchmark, protocol, sequences and output.
      folders: of result files, one a tracker; their names name the trackers.

    Returns:
      text for the screen: the tables, or where to send what was packed for a server.

    Raises:
      ValueError: folders of the same name, or a result is missing or does not fit.
    """
    plan.output.mkdir(parents=True, exist_ok=True)
    if plan.benchmark.server:
        path = plan.output / "submission.zip"
        names = [sequence.name for sequence in plan.sequences]
        results.write_archive(path, folders[0], names, *plan.benchmark.server)
        return f"the true boxes are not published; send {path} to the server\n"
    folders = [pathlib.Path(folder).resolve() for folder in folders]
    if len({folder.name for folder in folders}) < len(folders):
        raise ValueError("--results needs folders of different names, they name the trackers")
    runs = {folder.name: read_folder(plan, folder) for folder in folders}
    summaries = {
        name: plan.protocol.summarize(runs_of_one, **plan.benchmark.measures)
        for name, runs_of_one in runs.items()
    }
    # Pictures show one run a sequence, of the first tracker.
    shown = plan.protocol is protocols.OPE
    first = next(iter(runs.values())) if shown else {}
    return write_report(plan, summaries, {name: pairs[0] for name, pairs in first.items()})


def read_folder(plan: Plan, folder) -> dict[str, list[tuple]]:
    """Reads the result files of a tracker.

    Args:
      plan: benchmark, protocol and sequences.
      folder: of the tracker.

    Returns:
      sequence name -> list of (outcome, sequence of the run).

    Raises:
      ValueError: a result is missing or does not fit.
    """
    return {
        sequence.name: protocols.read_runs(
            plan.protocol, sequence, folder, one_based=plan.benchmark.one_based
        )
        for sequence in plan.sequences
    }


def write_report(plan: Plan, summaries: dict, shown: dict) -> str:
    """Writes the numbers of trackers as data, tables, plots and a page.

    Args:
      plan: names the benchmark and the output folder.
      summaries: tracker -> its summary.
      shown: sequence name -> (Result, Sequence) of the first tracker, for pictures.

    Returns:
      the tables, as in `table.md`.
    """
    alone = len(summaries) == 1
    name, summary = next(iter(summaries.items()))
    _write_json(plan.output / "summary.json", summary if alone else summaries)
    if not alone:
        differences = tables.differences(summaries).items()
        rows = [{"better": a, "other": b, **found._asdict()} for (a, b), found in differences]
        _write_json(plan.output / "comparisons.json", rows)
    text = "\n".join(tables.tables(summaries))
    write_whole(plan.output / "table.md", text)
    pictures = {kind: plots.png(figure) for kind, figure in plots.figures(summaries).items()}
    for figure_name, picture in pictures.items():
        write_whole(plan.output / f"{figure_name}.png", picture)
    title = f"{name if alone else f'{len(summaries)} trackers'} on {plan.name}"
    write_whole(plan.output / "report.html", html_report.build(title, summaries, pictures, shown))
    return text


def _write_json(path, data):
    write_whole(path, json.dumps(data, indent=2) + "\n")
