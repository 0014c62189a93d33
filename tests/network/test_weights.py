"""Foreign weights: each form, written as documented, gives the features it gave there."""

import functools
import re

import jax
import numpy as np
import pytest
import scipy.io
import tiny_networks
from torch_writers import tensors, write_legacy, write_zip

from siamfc_jax.commands import shell
from siamfc_jax.config import ModelConfig, TrackerConfig
from siamfc_jax.network import model, weights
from siamfc_jax.network.saved_models import load_model, save_model

CONFIG = ModelConfig(width=8 / 96)  # 8, 22, 32, 32 and 22 channels
VARIABLES = tiny_networks.variables(CONFIG)
PARAMS, STATS = VARIABLES["params"], VARIABLES["batch_stats"]
IMAGES = np.random.default_rng(0).integers(0, 256, (1, 87, 95, 3)).astype(np.float32)
STRIDES = {"conv1": 2, "pool1": 2, "conv2": 1, "pool2": 2, "conv3": 1, "conv4": 1, "conv5": 1}


def features(variables):
    return np.asarray(jax.jit(model.embed)(variables, IMAGES))


@functools.cache
def expected():
    """Returns the features of VARIABLES."""
    return features(VARIABLES)


def struct(rows):
    """Returns a 1 x n MATLAB structure array of dicts."""
    result = np.zeros((1, len(rows)), [(key, object) for key in rows[0]])
    for place, row in enumerate(rows):
        for key, value in row.items():
            result[0, place][key] = value
    return result


def matconvnet_params():
    """Returns name -> value as the authors' training saves them."""
    values = {"adjust_f": np.float32([[1e-3]]), "adjust_b": np.float32([[-2]])}
    for layer in range(1, 6):
        conv = PARAMS[f"conv{layer}"]
        values[f"conv{layer}f"] = conv["kernel"]
        values[f"conv{layer}b"] = conv["bias"][:, None]
    for layer in range(1, 5):
        norm, stats = PARAMS[f"bn{layer}"], STATS[f"bn{layer}"]
        values[f"bn{layer}m"] = norm["scale"][:, None]
        values[f"bn{layer}b"] = norm["bias"][:, None]
        # vl_nnbnorm: sigma = sqrt(variance + 1e-4), and nothing is added when it is used.
        sigma = np.sqrt(stats["var"] + 1e-4)
        values[f"bn{layer}x"] = np.stack([stats["mean"], sigma], -1)
    return values


def write_mat(path, *, params=None, strides=None, pad=0, leave_out=None):
    """Writes a DagNN of two streams, as `net` of a MATLAB file."""
    strides = STRIDES | (strides or {})
    layers = []
    for stream in "ab":
        for name, stride in strides.items():
            block = {"stride": np.float64([[stride] * 2]), "pad": np.float64([[pad] * 4])}
            layers.append({"name": f"{stream}_{name}", "block": struct([block])})
            layers.append({"name": f"{stream}_relu", "block": struct([{"leak": 0.0}])})
    layers = [layer for layer in layers if layer["name"][2:] != leave_out]
    values = matconvnet_params() if params is None else params
    rows = [{"name": name, "value": value, "learningRate": 1.0} for name, value in values.items()]
    scipy.io.savemat(path, {"net": {"layers": struct(layers), "params": struct(rows)}})
    return path


def pytorch_arrays(names="backbone.conv{}.{}"):
    """Returns name -> array of siamfc-pytorch's state_dict."""
    arrays = {}
    for layer in range(1, 6):
        conv = PARAMS[f"conv{layer}"]
        prefix = names.format(layer, 0)
        arrays[f"{prefix}.weight"] = np.ascontiguousarray(conv["kernel"].transpose(3, 2, 0, 1))
        arrays[f"{prefix}.bias"] = conv["bias"]
        if layer < 5:
            norm, stats = PARAMS[f"bn{layer}"], STATS[f"bn{layer}"]
            prefix = names.format(layer, 1)
            arrays[f"{prefix}.weight"], arrays[f"{prefix}.bias"] = norm["scale"], norm["bias"]
            arrays[f"{prefix}.running_mean"] = stats["mean"]
            # Its epsilon is 1e-6: the same features need another variance.
            arrays[f"{prefix}.running_var"] = stats["var"] + np.float32(1e-4 - 1e-6)
            arrays[f"{prefix}.num_batches_tracked"] = np.array(7)
    return arrays


def folded_arrays(folded=None):
    folded = folded or model.fold_batch_norm(VARIABLES)["params"]
    arrays = {
        f"conv{layer}/{key}": np.asarray(value)
        for layer in range(1, 6)
        for key, value in folded[f"conv{layer}"].items()
    }
    return {**arrays, "adjust/scale": np.float32(1e-3), "adjust/bias": np.float32(-2)}


def check(loaded, *, bias):
    assert loaded.model_config == CONFIG
    assert loaded.tracker_config == TrackerConfig()
    adjust = loaded.variables["params"]["adjust"]
    assert (adjust["gain"], adjust["bias"]) == (np.float32(1e-3), bias)
    np.testing.assert_allclose(features(loaded.variables), expected(), atol=2e-4)


def test_matconvnet(tmp_path):
    loaded = weights.from_matconvnet(write_mat(tmp_path / "net.mat"))
    assert "batch_stats" in loaded.variables  # so that it can be trained on
    check(loaded, bias=-2)


@pytest.mark.parametrize("write", [write_zip, write_legacy])
@pytest.mark.parametrize("names", ["backbone.conv{}.{}", "module.feature.{}{}"])
def test_pytorch(tmp_path, write, names):
    write(tmp_path / "net.pth", *tensors(pytorch_arrays(names)))
    check(weights.from_pytorch(tmp_path / "net.pth"), bias=0)


def test_channels_in_any_proportion(tmp_path):
    """As fdsiamfc_30.pth has them, where they are 28, 76, 114, 114 and 76."""
    config = ModelConfig(channels=(4, 6, 10, 8, 6))
    variables = tiny_networks.variables(config)
    folded = model.fold_batch_norm(variables)["params"]
    np.savez(tmp_path / "net.npz", **folded_arrays(folded))
    loaded = weights.from_arrays(tmp_path / "net.npz")
    assert loaded.model_config == config
    save_model(tmp_path / "model", loaded)
    assert load_model(tmp_path / "model").model_config == config
    np.testing.assert_allclose(features(loaded.variables), features(variables), atol=2e-4)
    folded["conv2"]["kernel"] = folded["conv2"]["kernel"][..., :5]
    np.savez(tmp_path / "odd.npz", **folded_arrays(folded))
    with pytest.raises(ValueError, match=r"odd.npz is another .* even numbers, got \(4, 5, 10"):
        weights.from_arrays(tmp_path / "odd.npz")


def test_folded_arrays(tmp_path):
    np.savez(tmp_path / "net.npz", **folded_arrays())
    check(weights.from_arrays(tmp_path / "net.npz"), bias=-2)


def test_a_small_variance_keeps_its_features():
    """Half of the epsilon: the correction must not be one of large variances alone."""
    var, mean, scale, shift = np.float32([5e-7, 1e-5, 3]), 0.2, 1.5, 0.1
    params, stats = weights._normalization(scale, shift, mean, var, epsilon=1e-6)
    ours = (1 - stats["mean"]) / np.sqrt(stats["var"] + 1e-4) * params["scale"] + params["bias"]
    np.testing.assert_allclose(ours, (1 - mean) / np.sqrt(var + 1e-6) * scale + shift, rtol=1e-5)


def test_the_command_writes_a_model(tmp_path, capsys):
    file, output = write_mat(tmp_path / "net.mat"), tmp_path / "model"
    assert shell.main(["convert", str(file), str(output)]) == 0
    assert capsys.readouterr().out == f"wrote {output}; track with --weights {output}\n"
    check(load_model(output), bias=-2)


def test_settings_given_to_the_command_stay_with_the_weights(tmp_path):
    file, first, second = write_mat(tmp_path / "net.mat"), tmp_path / "first", tmp_path / "second"
    assert shell.main(["convert", str(file), str(first), "--scale-rate", ".4"]) == 0
    assert shell.main(["convert", str(first), str(second), "--window-influence", ".3"]) == 0
    loaded = load_model(second)
    assert loaded.tracker_config == TrackerConfig(scale_rate=0.4, window_influence=0.3)
    check(loaded._replace(tracker_config=TrackerConfig()), bias=-2)


@pytest.mark.parametrize(
    "changes, text",
    [
        # CFNet's baseline-conv5.
        ({"strides": {"pool2": 1}}, "pool2 has stride 1, expected 2; .* total stride is 8"),
        ({"pad": 1}, "conv1 has pad 1, expected 0"),
        ({"leave_out": "pool1"}, "has no layer pool1, it has a_conv1, a_relu, "),
        ({"params": {**matconvnet_params(), "bn2x": np.zeros((22, 2))}}, "scale of bn2 is not fin"),
        ({"params": {"conv1f": np.zeros((11, 11, 3, 8))}}, "has no parameter 'conv1b', it has con"),
    ],
)
def test_another_network_of_matconvnet_is_refused(tmp_path, changes, text):
    path = write_mat(tmp_path / "net.mat", **changes)
    with pytest.raises(ValueError, match=f"net.mat:? {text}"):
        weights.from_matconvnet(path)


def changed(arrays, **changes):
    """Returns arrays with some replaced; None leaves one out."""
    merged = {**arrays, **changes}
    return {name: value for name, value in merged.items() if value is not None}


CONV5 = "conv5/kernel"


@pytest.mark.parametrize(
    "changes, text",
    [
        ({CONV5: np.zeros((3, 3, 14, 22))}, r"conv5 has a kernel of shape \(3, 3, 14, 22\), expe"),
        (
            {"conv1/kernel": np.zeros((11, 11, 3, 192))},
            r"conv2 .* expected \(5, 5, 96, 22\); this",
        ),
        ({"conv1/kernel": np.float32(8)}, r"is another .* channels must be five even .* \(1, 22"),
        ({"conv3/bias": np.zeros(5)}, r"bias of conv3 has shape \(5,\), expected \(32,\)"),
        ({"adjust/bias": np.zeros(2)}, r"bias of adjust has shape \(2,\), expected \(\)"),
        ({"conv2/bias": np.full(22, np.nan)}, "bias of conv2 is not finite"),
        ({CONV5: None}, "holds no folded layers .*conv5/kernel.*; expected arrays conv1/kernel"),
        ({"adjust/scale": np.array({})}, r"holds no folded layers \(Object arrays cannot be load"),
    ],
)
def test_other_arrays_are_refused(tmp_path, changes, text):
    np.savez(tmp_path / "net.npz", **changed(folded_arrays(), **changes))
    with pytest.raises(ValueError, match=f"net.npz:? {text}"):
        weights.from_arrays(tmp_path / "net.npz")


@pytest.mark.parametrize(
    "changes, text",
    [
        (
            dict.fromkeys(("backbone.conv5.0.weight", "backbone.conv5.0.bias")),
            "has 4 convolutions and 4 batch normalisations, expected 5 and 4",
        ),
        (
            {"head.weight": np.ones(3), "head.bias": np.ones(3)},
            r"has a layer without 'running_mean', it has \['backbone.conv1.0'",
        ),
    ],
)
def test_another_network_of_pytorch_is_refused(tmp_path, changes, text):
    write_zip(tmp_path / "net.pth", *tensors(changed(pytorch_arrays(), **changes)))
    with pytest.raises(ValueError, match=f"net.pth:? {text}"):
        weights.from_pytorch(tmp_path / "net.pth")


@pytest.mark.parametrize(
    "name, content, text",
    [
        ("net.onnx", b"", "net.onnx must end in one of .mat, .pth, .pt, .npz"),
        ("net.mat", None, "no file .*net.mat"),
        ("net", None, "no model at .*net; expected one of"),
        ("net.mat", b"nothing", "net.mat holds no MatConvNet network .*expected a structure net"),
        ("net.mat", b"MATLAB 7.3 MAT-file" + bytes(105) + b"\x00\x02IM", "is of MATLAB 7.3; save"),
        ("net.npz", b"nothing", "net.npz holds no folded layers"),
        ("net.pth", b"nothing", "net.pth is no state_dict of tensors"),
    ],
)
def test_the_command_says_what_is_wrong(tmp_path, capsys, name, content, text):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert shell.main(["convert", str(tmp_path / name), str(tmp_path / "model")]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert message.count("\n") == 1
    assert re.search(text, message)
    assert not (tmp_path / "model").exists()


def test_the_command_replaces_nothing_but_a_model(tmp_path, capsys):
    np.savez(tmp_path / "net.npz", **folded_arrays())
    assert shell.main(["convert", str(tmp_path / "net.npz"), str(tmp_path)]) == 2
    assert "exists and is no model folder" in capsys.readouterr().err


def test_a_matlab_file_that_ends_its_reader_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "_LOAD", "import os; os.abort()")
    with pytest.raises(ValueError, match=r"net.mat holds no .*SciPy's reader broke down"):
        weights.from_matconvnet(write_mat(tmp_path / "net.mat"))
