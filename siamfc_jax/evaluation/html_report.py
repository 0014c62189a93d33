"""Writes a benchmark's report as one HTML file that needs nothing beside it."""

import base64
import html

import cv2
import numpy as np

from siamfc_jax.data.sequences import Sequence
from siamfc_jax.evaluation import plots, tables
from siamfc_jax.evaluation.runner import Result

SHOWN = 3  # best and worst sequences
THUMBNAILS = 5  # frames of each
THUMBNAIL_HEIGHT = 150
TRUTH, FOUND = (60, 200, 60), (235, 60, 50)  # RGB

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
  color: #222 }
h2 { margin-top: 2.2rem; border-bottom: 1px solid #ddd }
table { border-collapse: collapse; margin-bottom: 1.5rem; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid #eee }
th:first-child, td:first-child { text-align: left }
img { max-width: 100% }
.pair { display: flex; flex-wrap: wrap } .pair img { width: 50%; min-width: 20rem }
.note { color: #666 }
"""


def build(title: str, summaries: dict, pictures: dict, runs: dict) -> str:
    """Builds the page of one or several trackers.

    Args:
      title: of the page.
      summaries: tracker -> its summary, from a protocol's `summarize`.
      pictures: name -> bytes, the PNG files of `plots.figures`.
      runs: sequence name -> (Result, Sequence) of the first tracker, to be shown in
        pictures; may be empty.

    Returns:
      HTML with all pictures inside.
    """
    all_tables = [_table(text) for text in tables.tables(summaries)]
    # The tracker's numbers and, of several trackers, their differences come first.
    several = len(summaries) > 1
    above, below = all_tables[: 1 + several], all_tables[1 + several :]
    parts = [f"<h1>{html.escape(title)}</h1>", *above]
    drawn = {name: _picture("png", picture) for name, picture in pictures.items()}
    bars = drawn.pop("attributes", None)
    parts.append(f"<div class=pair>{''.join(drawn.values())}</div>")
    first, summary = next(iter(summaries.items()))
    if bars:
        key = plots.attribute_key(summary["attributes"])
        parts += ["<h2>Attributes</h2>", bars, f"<p class=note>{html.escape(key)}</p>"]
    if runs:
        parts.append(f"<h2>Best and worst sequences of {html.escape(first)}</h2>")
        parts.append("<p class=note>Green: true box. Red: the tracker's.</p>")
        order = sorted(runs, key=lambda name: -summary["sequences"][name]["success_auc"])
        chosen = order if len(order) <= 2 * SHOWN else order[:SHOWN] + order[-SHOWN:]
        for name in chosen:
            result, sequence = runs[name]
            score = summary["sequences"][name]["success_auc"]
            parts.append(f"<h3>{html.escape(name)}: AUC {score:.3f}</h3>")
            parts.append(_picture("jpeg", _jpeg(thumbnails(result, sequence))))
            plot = plots.png(plots.sequence_plot(result, sequence))
            parts.append(_picture("png", plot))
    parts += ["<h2>Tables</h2>", *below]
    head = f"<meta charset=utf-8><title>{html.escape(title)}</title><style>{_STYLE}</style>"
    return f"<!doctype html><html lang=en>{head}<body>" + "\n".join(parts) + "</body></html>\n"


def thumbnails(result: Result, sequence: Sequence) -> np.ndarray:
    """Draws evenly spaced frames side by side, with the true and the found box.

    Args:
      result: of one pass.
      sequence: with frames and true boxes.

    Returns:
      u8[THUMBNAIL_HEIGHT, W, 3] RGB.
    """
    count = min(THUMBNAILS, len(sequence.frames))
    tiles = []
    for index in np.linspace(0, len(sequence.frames) - 1, count).round().astype(int):
        frame = np.ascontiguousarray(sequence.frames[index])
        scale = THUMBNAIL_HEIGHT / frame.shape[0]
        size = max(1, round(frame.shape[1] * scale)), THUMBNAIL_HEIGHT
        tile = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        for box, color in ((sequence.boxes[index], TRUTH), (result.boxes[index], FOUND)):
            if np.isfinite(box).all():
                corners = np.rint([box[:2] * scale, (box[:2] + box[2:]) * scale]).astype(int)
                corners = np.clip(corners, -(2**15), 2**15)
                cv2.rectangle(tile, corners[0].tolist(), corners[1].tolist(), color, 2)
        cv2.putText(
            tile, str(index), (5, THUMBNAIL_HEIGHT - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.45,
            (255, 255, 255), 1, cv2.LINE_AA,
        )  # fmt: skip
        tiles += [tile, np.full((THUMBNAIL_HEIGHT, 4, 3), 255, np.uint8)]
    return np.concatenate(tiles[:-1], axis=1)


def _jpeg(image):
    return cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


def _picture(kind, data):
    return f'<img alt="" src="data:image/{kind};base64,{base64.b64encode(data).decode()}">'


def _table(markdown):
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines()]
    cells = ["".join(f"<th>{html.escape(cell)}</th>" for cell in rows[0])]
    cells += ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows[2:]]
    return "<table>" + "".join(f"<tr>{row}</tr>" for row in cells) + "</table>"
