"""The numbers of trackers as markdown tables."""

import itertools
from collections.abc import Iterable

from siamfc_jax.evaluation import bootstrap

# Numbers of tables in their order; the first that is there ranks the rows.
COLUMNS = {
    "eao": "EAO",
    "ao": "AO",
    "sr50": "SR .50",
    "sr75": "SR .75",
    "f_score": "F",
    "success_auc": "AUC",
    "success_50": "SR .5",
    "precision_20": "P 20 px",
    "normalized_precision_20": "P norm .2",
    "accuracy": "A",
    "robustness": "R",
    "failures": "failures",
    "fps": "fps",
}


def tables(summaries: dict) -> list[str]:
    """Returns the tables of a report.

    They are: the trackers; how sure their differences are, where there are several; then
    attributes and sequences, where there are any.

    Args:
      summaries: tracker -> its summary, from a protocol's `summarize`.
    """
    found = [numbers_table(summaries, heading="tracker")]
    if len(summaries) > 1:
        found.append(differences_table(summaries))
    groups = next(iter(summaries.values()))
    for group in ("attributes", "sequences"):
        if groups.get(group) and len(summaries) == 1:
            found.append(numbers_table(groups[group], heading=group[:-1]))
        elif groups.get(group):
            found.append(side_by_side(summaries, group, heading=group[:-1]))
    return found


def leading_column(rows: Iterable[dict]) -> str:
    """Returns the first of COLUMNS that all rows of numbers have."""
    rows = list(rows)
    return next(key for key in COLUMNS if all(key in row for row in rows))


def ranked(summaries: dict) -> list[str]:
    """Returns the names of summaries, the best by their leading column first."""
    key = leading_column(summaries.values())
    return sorted(summaries, key=lambda name: -summaries[name][key])


def numbers_table(summaries: dict, *, heading: str) -> str:
    """Returns a table of a row a name and a column a number, the best row first.

    Args:
      summaries: name -> numbers; the columns are those of COLUMNS that all names have.
      heading: of the first column.
    """
    columns = [key for key in COLUMNS if all(key in row for row in summaries.values())]
    rows = [
        [name, *(_cell(key, summaries[name][key]) for key in columns)] for name in ranked(summaries)
    ]
    return _markdown([heading, *(COLUMNS[key] for key in columns)], rows)


def side_by_side(summaries: dict, group: str, *, heading: str) -> str:
    """Returns a table of one number, a row a sequence and a column a tracker, the best first.

    Args:
      summaries: tracker -> summary with `group`.
      group: `sequences` or `attributes`.
      heading: of the first column.
    """
    names = ranked(summaries)
    groups = [summaries[name][group] for name in names]
    key = leading_column(row for rows in groups for row in rows.values())
    rows = [[row, *(_cell(key, rows[row][key]) for rows in groups)] for row in groups[0]]
    return _markdown([f"{heading}: {COLUMNS[key]}", *names], rows)


def differences(summaries: dict) -> dict[tuple[str, str], bootstrap.Difference]:
    """Compares every pair of trackers by their numbers of each sequence.

    Args:
      summaries: tracker -> summary with `sequences`, the same ones of all trackers.

    Returns:
      (better tracker, other tracker) -> difference of the leading column of the sequences.
    """
    by_sequence = {name: summary["sequences"] for name, summary in summaries.items()}
    key = leading_column(row for rows in by_sequence.values() for row in rows.values())
    numbers = {name: [row[key] for row in rows.values()] for name, rows in by_sequence.items()}
    return {
        (better, other): bootstrap.mean_difference(numbers[better], numbers[other])
        for better, other in itertools.combinations(ranked(summaries), 2)
    }


def differences_table(summaries: dict) -> str:
    """Returns a table of `differences`, a row a pair of trackers.

    Args:
      summaries: tracker -> summary with `sequences`, the same ones of all trackers.
    """
    rows = [row for summary in summaries.values() for row in summary["sequences"].values()]
    heading = COLUMNS[leading_column(rows)]
    return _markdown(
        ["comparison", f"mean difference of {heading}", "95 % interval", "2 SE", "sequences"],
        [
            [
                f"{better} - {other}",
                f"{found.mean:+.3f}",
                f"{found.low:+.3f} to {found.high:+.3f}",
                f"{found.twice_error:.3f}",
                str(found.sequences),
            ]
            for (better, other), found in differences(summaries).items()
        ],
    )


def _markdown(heads, rows):
    lines = ["| " + " | ".join(cells) + " |" for cells in (heads, *rows)]
    return "\n".join([lines[0], "|---" * len(heads) + "|", *lines[1:]]) + "\n"


def _cell(key, value):
    if value is None:
        return "-"
    return f"{value:.1f}" if key in ("fps", "failures") else f"{value:.3f}"
