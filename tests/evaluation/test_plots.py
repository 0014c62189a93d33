"""What the plots and the page of a benchmark show."""

import re

import numpy as np
import pytest
from still_tracker import BOXES, make_run

from siamfc_jax.evaluation import html_report, measures, plots


@pytest.fixture(scope="module")
def summaries():
    better, worse = make_run(attributes=("OCC", "IV")), make_run(attributes=("OCC", "IV"))
    better = better[0]._replace(boxes=better[1].boxes.astype(float)), better[1]
    return {
        "still": measures.summarize({"a": [worse], "b<": [worse]}),
        "perfect": measures.summarize({"a": [better], "b<": [worse]}),
    }


def legend(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_legends_are_ranked(summaries):
    both = (20 / 21 + 39 / 4 / 21) / 2
    assert legend(plots.success_plot(summaries)) == [f"{both:.3f}  perfect", "0.464  still"]
    assert legend(plots.precision_plot(summaries)) == ["1.000  still", "1.000  perfect"]


def test_a_tracker_has_one_colour_everywhere(summaries):
    colors = []
    for draw in (plots.success_plot, plots.precision_plot):
        lines = draw(summaries).axes[0].get_lines()
        colors.append({line.get_label()[7:]: line.get_color() for line in lines[:2]})
    bars = plots.attribute_bars(summaries).axes[0].containers
    colors.append({bar.get_label(): bar.patches[0].get_facecolor()[:3] for bar in bars})
    assert colors[0] == colors[1] == colors[2]
    assert colors[0]["still"] != colors[0]["perfect"]


def test_curves_are_those_of_the_report(summaries):
    line = plots.success_plot(summaries).axes[0].get_lines()[0]
    np.testing.assert_array_equal(line.get_ydata(), summaries["perfect"]["curves"]["success"])


def test_attribute_bars(summaries):
    axes = plots.attribute_bars(summaries).axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["IV\n(2)", "OCC\n(2)"]
    heights = [bar.get_height() for bar in axes.containers[0]]
    assert heights == pytest.approx([39 / 4 / 21] * 2)
    assert plots.attribute_key(["OCC", "own"]) == "OCC occlusion"


def test_eao_plot():
    found = {"a": {"eao": 0.25, "curve": [0, 0.5, 0.4]}, "b": {"eao": 0.5, "curve": [0, 0.9]}}
    found = {name: {**summary, "eao_range": [1, 2]} for name, summary in found.items()}
    figure = plots.eao_plot(found)
    assert legend(figure) == ["0.500  b", "0.250  a"]
    assert list(plots.figures(found)) == ["eao"]


def test_sequence_plot_shades_frames_without_overlap():
    figure = plots.sequence_plot(*make_run())  # only the last of four frames has none
    spans = [patch.get_extents().get_points() for patch in figure.axes[0].patches]
    to_data = figure.axes[0].transData.inverted()
    assert [to_data.transform(span)[:, 0].tolist() for span in spans] == [[2.5, 3.5]]
    title = figure.axes[0].get_title(loc="left")
    assert title == "moving: mean overlap 0.483 (shaded: no overlap)"


def test_sequence_plot_has_a_bar_where_the_tracker_says_lost():
    result, sequence = make_run()
    figure = plots.sequence_plot(result._replace(lost=np.array([0, 1, 1, 0])), sequence)
    assert "bar: lost" in figure.axes[0].get_title(loc="left")
    below = figure.axes[1].patches
    assert [below[0].get_x(), below[0].get_width()] == [0.5, 2]
    assert [below[0].get_height(), below[1].get_height()] == [0.07, 1]


def test_page_needs_nothing_beside_it(summaries):
    runs = {"a": make_run(), "b<": make_run()}
    pictures = {name: plots.png(figure) for name, figure in plots.figures(summaries).items()}
    text = html_report.build("A & B", summaries, pictures, runs)
    assert text.startswith("<!doctype html>")
    assert "<h1>A &amp; B</h1>" in text
    assert "<h3>b&lt;: AUC 0.464</h3>" in text
    sources = re.findall(r'(?:src|href)="?([^" >]{11})', text)
    assert len(sources) == 7  # three comparisons, two a sequence
    assert set(sources) == {"data:image/"}
    assert "<td>still</td><td>0.464</td>" in text
    assert text.index("<td>perfect - still</td>") < text.index("<h2>Attributes</h2>")


def test_page_shows_the_best_and_the_worst():
    runs = {f"s{number}": make_run(BOXES[: 1 + number % 4]) for number in range(9)}
    found = {"still": measures.summarize({name: [run] for name, run in runs.items()})}
    shown = re.findall("<h3>(s.): AUC ([.0-9]+)", html_report.build("x", found, {}, runs))
    values = sorted(found["still"]["sequences"][name]["success_auc"] for name in runs)
    assert [float(auc) for _, auc in shown] == pytest.approx(
        values[:-4:-1] + values[2::-1], abs=6e-4
    )


def test_thumbnails_draw_both_boxes():
    result, sequence = make_run()
    strip = html_report.thumbnails(result, sequence)
    assert strip.shape == (150, 4 * 200 + 3 * 4, 3)
    tile = strip[:, 3 * 204 :]  # the last frame: truth at x = 30, found at x = 10
    scale = 150 / 60
    np.testing.assert_array_equal(tile[int(20 * scale), int(50 * scale)], html_report.TRUTH)
    np.testing.assert_array_equal(tile[int(20 * scale), int(10 * scale)], html_report.FOUND)
