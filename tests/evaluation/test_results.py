"""Result files: written, read back, repeated, packed, and what is said of bad ones."""

import numpy as np
import pytest
from any_text import contents
from hypothesis import given, settings

from siamfc_jax.evaluation import results, runner, vot_files


@pytest.mark.parametrize("one_based", [False, True])
def test_result_files_read_back(tmp_path, one_based):
    boxes = np.array([[10, 20, 30, 40], [10.1234, -0.5, 30, 40], [np.nan] * 4])
    result = runner.Result(boxes, np.array([np.nan, 1.5, -2]), np.arange(3) / 8, np.arange(3) / 4)
    results.write_result(tmp_path, "a", result, one_based=one_based)
    first = "11.000,21.000,30.000,40.000" if one_based else "10.000,20.000,30.000,40.000"
    assert (tmp_path / "a.txt").read_text().splitlines()[0] == first
    back = results.read_result(tmp_path, "a", 3, one_based=one_based)
    np.testing.assert_allclose(back.boxes, boxes, atol=5.1e-4)
    np.testing.assert_allclose(back.scores, result.scores)
    np.testing.assert_allclose(back.seconds, result.seconds)
    np.testing.assert_allclose(back.read_seconds, result.read_seconds)
    assert np.isnan(back.lost).all() and not (tmp_path / "scores" / "a_lost.txt").exists()
    lost = np.array([0.0, 1, 0])
    results.write_result(tmp_path, "b", result._replace(lost=lost), one_based=one_based)
    again = results.read_result(tmp_path, "b", 3, one_based=one_based)
    np.testing.assert_array_equal(again.lost, lost)
    assert not list(tmp_path.glob("*.part"))


def test_repetitions_in_the_form_of_got10k(tmp_path):
    (tmp_path / "a").mkdir()
    for number, x in ((1, 5), (2, 6)):
        (tmp_path / "a" / f"a_{number:03d}.txt").write_text(f"1,2,3,4\n{x},2,3,4\n")
    read = results.read_repetitions
    first, second = read(tmp_path, "a", 2, one_based=False)
    assert np.isnan(first.seconds).all()
    (tmp_path / "a" / "a_time.txt").write_text("0.5,0.25\n0.125,1\n")
    first, second = read(tmp_path, "a", 2, one_based=True)
    np.testing.assert_array_equal(first.boxes, [[0, 1, 3, 4], [4, 1, 3, 4]])
    np.testing.assert_array_equal(second.boxes[1], [5, 1, 3, 4])
    np.testing.assert_array_equal(second.seconds, [0.25, 1])
    (tmp_path / "a.txt").write_text("9,9,3,4\n9,9,3,4\n")  # one pass goes before
    (only,) = read(tmp_path, "a", 2, one_based=True)
    assert only.boxes[0, 0] == 8
    with pytest.raises(ValueError, match=r"no .*b.txt; expected a result file"):
        read(tmp_path, "b", 2, one_based=True)


@settings(max_examples=100, deadline=None)
@given(contents)
def test_any_bytes_give_results_or_a_clear_error(tmp_path_factory, content):
    folder = tmp_path_factory.getbasetemp()
    (folder / "a.txt").write_bytes(content)
    (folder / "a_time.value").write_bytes(content)
    readers = (
        lambda: results.read_result(folder, "a", 2, one_based=True).boxes,
        lambda: np.hstack(vot_files.read_trajectory(folder / "a.txt").boxes or [0.0]),
        lambda: vot_files.read_seconds(folder / "a.txt", 2),
    )
    for read in readers:
        try:
            values, said = read(), ""
        except ValueError as error:
            values, said = np.zeros(2), str(error)
        assert not said or said.removeprefix("no ").startswith(str(folder))
        assert values.dtype == np.float64


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no .*a.txt; expected a result file with one line x,y,w,h a frame"),
        ("1,2,3,4\n", "a.txt has 1 lines of 4 numbers; the sequence has 2 frames and needs 4"),
        ("1,2,3\n1,2,3\n", "a.txt has 2 lines of 3 numbers"),
        ("1,2,3,4\n1,2,3\n", "a.txt: expected 4 numbers a line"),
        ("1,2,3,x\n1,2,3,4\n", "a.txt: expected 4 numbers a line"),
        ("", "a.txt has 0 lines"),
    ],
)
def test_bad_result_files_are_named(tmp_path, text, message):
    if text is not None:
        (tmp_path / "a.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        results.read_result(tmp_path, "a", 2, one_based=False)


def test_archives_need_every_result(tmp_path):
    with pytest.raises(ValueError, match=r"no .*a.txt; the server needs a result of every"):
        results.write_archive(tmp_path / "a.zip", tmp_path, ["a"], "{0}.txt", None)
