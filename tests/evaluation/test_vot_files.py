"""Runs of the VOT protocols on disk."""

import numpy as np
import pytest

from siamfc_jax.evaluation import vot_files, vot_measures
from siamfc_jax.evaluation.vot_files import FAILED, STARTED, TRACKED, UNKNOWN

NAN = [np.nan] * 4


def test_trajectories_read_back(tmp_path):
    run = vot_files.Trajectory(
        np.array([STARTED, TRACKED, FAILED, UNKNOWN]),
        np.array([NAN, [1, 2, 3, 4.5], NAN, NAN]),
        np.array([0.5, 0.25, 0.125, np.nan]),
    )
    vot_files.write_trajectory(tmp_path, "run/moving_001", run)
    lines = (tmp_path / "run" / "moving_001.txt").read_text().splitlines()
    assert lines == ["1", "1.0000,2.0000,3.0000,4.5000", "2", "0"]
    times = (tmp_path / "run" / "moving_001_time.value").read_text().split()
    assert times == ["0.500000", "0.250000", "0.125000", "0.000000"]
    back = vot_files.read_trajectory(tmp_path / "run" / "moving_001.txt")
    np.testing.assert_array_equal(back.codes, run.codes)
    np.testing.assert_array_equal(back.boxes, run.boxes)
    np.testing.assert_array_equal(back.seconds, [0.5, 0.25, 0.125, 0])
    assert not list(tmp_path.rglob("*.part"))


def test_other_trackers_may_answer_with_polygons(tmp_path):
    (tmp_path / "a.txt").write_text("1\n0,0,9,0,9,9,0,9\n0,0,10,10\n")
    run = vot_files.read_trajectory(tmp_path / "a.txt")
    np.testing.assert_array_equal(run.codes, [STARTED, TRACKED, TRACKED])
    square = [0, 0, 10, 10]
    values = vot_measures.overlaps(run, np.array([square] * 3, float), (100, 80))
    np.testing.assert_array_equal(values, [0, 1, 1])  # corners are pixels, 0 to 9


def test_trajectory_errors(tmp_path):
    path = tmp_path / "a.txt"
    with pytest.raises(ValueError, match=r"no .*a.txt; expected a run with one line x,y,w,h or a"):
        vot_files.read_trajectory(path)
    for line in ("1,2,3", "7", "x", ""):
        path.write_text(f"1\n{line}\n1,2,3,4\n")
        with pytest.raises(ValueError, match=r"line 2: expected x,y,w,h, a polygon .* or a code"):
            vot_files.read_trajectory(path)


def test_seconds_may_be_missing(tmp_path):
    path = tmp_path / "a_001.txt"
    np.testing.assert_array_equal(vot_files.read_seconds(path, 2), [np.nan] * 2)
    times = tmp_path / "a_001_time.value"
    times.write_text("0.5\n\n0.25\n")
    seconds = vot_files.read_seconds(path, 4)
    np.testing.assert_array_equal(seconds, [0.5, np.nan, 0.25, np.nan])
    with pytest.raises(ValueError, match=r"a_001_time.value has 3 lines, the run has 2 frames"):
        vot_files.read_seconds(path, 2)
    times.write_text("fast\n")
    with pytest.raises(ValueError, match=r"a_001_time.value: expected one number a frame"):
        vot_files.read_seconds(path, 2)
