"""Tables of one tracker and of several, as text."""

from still_tracker import make_run

from siamfc_jax.evaluation import measures, tables


def test_foreign_results_need_no_times():
    report = measures.summarize({"moving": [make_run()]})
    assert report["fps"] is None
    lines = tables.numbers_table(report["sequences"], heading="name").splitlines()
    assert lines[0] == "| name | AUC | SR .5 | P 20 px | P norm .2 | fps |"
    assert lines[1] == "|---|---|---|---|---|---|"
    assert lines[2] == "| moving | 0.464 | 0.500 | 1.000 | 0.250 | - |"


def test_table_lists_the_best_first():
    text = tables.numbers_table(
        {"low": {"eao": 0.25, "fps": 12.34}, "high": {"eao": 0.75, "fps": 1}}, heading="name"
    )
    assert text.splitlines()[0] == "| name | EAO | fps |"
    assert text.splitlines()[2:] == ["| high | 0.750 | 1.0 |", "| low | 0.250 | 12.3 |"]


def test_several_trackers_are_set_side_by_side():
    summaries = {
        "low": {"ao": 0.25, "attributes": {}, "sequences": {"a": {"ao": 0.5}, "b": {"ao": 0.0}}},
        "high": {"ao": 0.75, "attributes": {}, "sequences": {"a": {"ao": 1}, "b": {"ao": 0.5}}},
    }
    trackers, differences, sequences = tables.tables(summaries)
    assert trackers == tables.numbers_table(summaries, heading="tracker")
    # By sequence .5 and .5: every draw of sequences has the same mean.
    assert differences.splitlines() == [
        "| comparison | mean difference of AO | 95 % interval | 2 SE | sequences |",
        "|---|---|---|---|---|",
        "| high - low | +0.500 | +0.500 to +0.500 | 0.000 | 2 |",
    ]
    assert sequences.splitlines() == [
        "| sequence: AO | high | low |",
        "|---|---|---|",
        "| a | 1.000 | 0.500 |",
        "| b | 0.500 | 0.000 |",
    ]
    _, alone = tables.tables({"low": summaries["low"]})
    assert alone == tables.numbers_table(summaries["low"]["sequences"], heading="sequence")
    # EAO is of a whole benchmark, its sequences have other numbers.
    vot = {"x": {"eao": 0.5, "accuracy": 0.5, "sequences": {"a": {"accuracy": 0.5}}}}
    assert tables.side_by_side(vot, "sequences", heading="sequence").startswith(
        "| sequence: A | x |"
    )


def test_every_pair_of_trackers_is_compared():
    summaries = {
        name: {"success_auc": auc, "sequences": {"a": {"success_auc": auc}}}
        for name, auc in {"worst": 0.1, "best": 0.7, "middle": 0.5}.items()
    }
    found = tables.differences(summaries)
    assert list(found) == [("best", "middle"), ("best", "worst"), ("middle", "worst")]
    assert round(found["best", "worst"].mean, 9) == 0.6
