"""The fit of the confidence, by hand-made numbers, and its command on tiny tracks."""

import dataclasses
import re
import types

import numpy as np
import pytest
import tiny_networks
import tiny_tracks

from siamfc_jax.commands import shell
from siamfc_jax.config import TrackerConfig
from siamfc_jax.network.saved_models import Model, load_model, save_model
from siamfc_jax.training import calibration


def test_labels_say_where_the_tracker_is_on_its_object():
    truth = np.float32([[0, 0, 10, 10]] * 6)
    boxes = truth + np.float32(
        [[0, 0, 0, 0], [0] * 4, [0] * 4, [9, 9, 0, 0], [0] * 4, [5, 0, 0, 0]]
    )
    visibility = np.array([1, 0.5, 0.4, 1, 0, 1])
    clip = types.SimpleNamespace(boxes=truth, visibility=visibility)
    np.testing.assert_array_equal(calibration.label(clip, boxes), [1, 1, np.nan, 0, 0, np.nan])


def test_the_fit_finds_the_function_that_made_the_labels():
    rng = np.random.default_rng(0)
    features = rng.normal([2, 5], [3, 0.5], (40000, 2))
    probability = 1 / (1 + np.exp(-(0.8 * features[:, 0] + 2 * features[:, 1] - 11.6)))
    labels = np.float64(rng.uniform(size=40000) < probability)
    weights, bias = calibration.fit(features, labels)
    np.testing.assert_allclose([*weights, bias], [0.8, 2, -11.6], rtol=0.1)
    # Doubling one label's frames changes nothing, as both weigh the same.
    more = np.concatenate([features, features[labels == 1]])
    again = calibration.fit(more, np.concatenate([labels, labels[labels == 1]]))
    np.testing.assert_allclose(again[0], weights, rtol=1e-2)


def test_labels_that_a_line_parts_give_finite_numbers():
    weights, bias = calibration.fit(np.array([[0.0], [1], [2], [3]]), np.array([0.0, 0, 1, 1]))
    assert np.isfinite([*weights, bias]).all()
    assert -bias / weights[0] == pytest.approx(1.5, abs=1e-3)


def test_area_under_curve():
    values, labels = np.array([1.0, 2, 3, 2]), np.array([0.0, 0, 1, 1])
    assert calibration.area_under_curve(values, labels) == (1 + 1 + 1 + 0.5) / 4


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    root = tmp_path_factory.mktemp("calibration")
    tiny_tracks.write(root / "val", tracks=2, frames=6)
    settings = TrackerConfig(num_scales=1, window_influence=0.1)
    model = Model(tiny_networks.pixels(120.0), tiny_networks.CONFIG, settings)
    save_model(root / "model", model)
    return root


def test_command_writes_the_model_with_its_numbers(places, tmp_path, capsys):
    words = ["--weights", places / "model", "--output", tmp_path / "new"]
    assert shell.main([str(word) for word in ["calibrate", *words, "--data", places]]) == 0
    before, after = load_model(places / "model"), load_model(tmp_path / "new")
    names = ("confidence_score", "confidence_share", "confidence_bias")
    numbers = {name: getattr(after.tracker_config, name) for name in names}
    assert after.tracker_config == dataclasses.replace(before.tracker_config, **numbers)
    assert after.tracker_config != before.tracker_config
    output = capsys.readouterr().out
    assert ", ".join(f"{name} {value}" for name, value in numbers.items()) in output
    np.testing.assert_array_equal(
        before.variables["params"]["conv1"]["kernel"], after.variables["params"]["conv1"]["kernel"]
    )


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--data", "nowhere", "error: no folder .*nowhere"),
        ("--weights", "missing", "error: no model at missing"),
        ("--tracks", "0", "error: --tracks must be at least 1, got 0"),
    ],
)
def test_errors(places, tmp_path, capsys, flag, value, message):
    words = {"--weights": places / "model", "--data": places, "--output": tmp_path / "x"}
    words[flag] = value
    assert shell.main(["calibrate", *(word for pair in words.items() for word in pair)]) == 2
    output = capsys.readouterr().err
    assert output.count("\n") == 1
    assert re.match(message, output)


def test_a_tracker_that_is_never_off_teaches_nothing():
    with pytest.raises(ValueError, match="never or always on its object, nothing can be learnt"):
        calibration.fit(np.ones((3, 1)), np.ones(3))
