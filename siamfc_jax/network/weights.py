"""Weights from elsewhere: a MatConvNet `.mat`, a `.pth` of siamfc-pytorch, a `.npz`.

docs/weights.md says what each holds. All three are read without the program that wrote
them, and none can run code. `siamfc convert` is the command.
"""

import pathlib
import pickle
import subprocess
import sys
import zipfile

import numpy as np

from siamfc_jax import memory
from siamfc_jax.config import ModelConfig, TrackerConfig
from siamfc_jax.network import matlab_files, model
from siamfc_jax.network.saved_models import Model, load_model
from siamfc_jax.network.torch_files import read_state_dict

# Strides of the paper's network. CFNet's baseline-conv5 has the same layers with other strides.
_STRIDES = {"conv1": 2, "pool1": 2, "conv2": 1, "pool2": 2, "conv3": 1, "conv4": 1, "conv5": 1}


def _normalization(scale, shift, mean, var, *, epsilon):
    """Returns (params, batch_stats) that do with our epsilon what these do with theirs."""
    # `_assemble` refuses values that are not finite.
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = scale * np.sqrt((var + model.BATCH_NORM_EPSILON) / (var + epsilon))
    return {"scale": scale, "bias": shift}, {"mean": mean, "var": var}


def _assemble(path, convolutions, norms, *, gain, bias):
    """Checks the layers against the network and makes a model of them."""
    if len(convolutions) != 5 or len(norms) not in (0, 4):
        raise ValueError(
            f"{path} has {len(convolutions)} convolutions and {len(norms)} batch normalisations, "
            "expected 5 and 4"
        )
    outputs = tuple(np.atleast_1d(layer["kernel"]).shape[-1] for layer in convolutions)
    try:
        network = ModelConfig(channels=outputs)
    except ValueError as error:
        raise ValueError(f"{path} is another network than the paper's: {error}") from error
    by_width = ModelConfig(width=min(1.0, outputs[0] / model.CHANNELS[0]))
    if model.channels(by_width) == outputs:
        network = by_width
    inputs = (3, *outputs[:-1])
    params, batch_stats = {"adjust": {"gain": gain, "bias": bias}}, {}
    for index, layer in enumerate(convolutions):
        size, groups = model.KERNELS[index], model.GROUPS[index]
        expected = (size, size, inputs[index] // groups, outputs[index])
        if layer["kernel"].shape != expected:
            raise ValueError(
                f"{path}: conv{index + 1} has a kernel of shape {layer['kernel'].shape}, expected "
                f"{expected}; this is another network than the paper's"
            )
        params[f"conv{index + 1}"] = layer
    for index, (scale_and_shift, stats) in enumerate(norms, start=1):
        params[f"bn{index}"], batch_stats[f"bn{index}"] = scale_and_shift, stats
    variables = {"params": params, **({"batch_stats": batch_stats} if norms else {})}
    for group in variables.values():
        for name, layer in group.items():
            shape = () if name == "adjust" else (outputs[int(name[-1]) - 1],)
            for key, value in layer.items():
                layer[key] = np.asarray(value, np.float32)
                if key != "kernel" and layer[key].shape != shape:
                    raise ValueError(
                        f"{path}: {key} of {name} has shape {layer[key].shape}, expected {shape}"
                    )
                if not np.isfinite(layer[key]).all():
                    raise ValueError(f"{path}: {key} of {name} is not finite")
    return Model(variables, network, TrackerConfig())


def from_matconvnet(path: str | pathlib.Path) -> Model:
    """Reads a network of the authors (2016-08-17.net.mat and the like).

    Kernels are H x W x C x N, like ours. The moments of batch normalisation are mean and
    sqrt(variance + epsilon), so no epsilon is added when they are used (vl_nnbnorm.m).

    Args:
      path: MATLAB file of version 7 or older that holds a DagNN as the structure `net`.

    Returns:
      The model.

    Raises:
      ValueError: the file is not of this kind, or the network has other strides or shapes.
    """
    blocks, params = _read_matlab(path)
    _check_strides(path, blocks)
    vectors = {name: value.ravel() for name, value in params.items()}
    try:
        convolutions = [
            {"kernel": params[f"conv{layer}f"], "bias": vectors[f"conv{layer}b"]}
            for layer in range(1, 6)
        ]
        norms = []
        for layer in range(1, 5):
            mean, sigma = params[f"bn{layer}x"].T
            scale, shift = vectors[f"bn{layer}m"], vectors[f"bn{layer}b"]
            norms.append(_normalization(scale, shift, mean, sigma**2, epsilon=0))
        gain, bias = params["adjust_f"].squeeze(), params["adjust_b"].squeeze()
    except KeyError as error:
        raise ValueError(f"{path} has no parameter {error}, it has {', '.join(params)}") from error
    return _assemble(path, convolutions, norms, gain=gain, bias=bias)


_LOAD = (
    "import pickle, sys, scipy.io as io; pickle.dump(io.loadmat(sys.argv[1]), sys.stdout.buffer)"
)


def _load_matlab(path):
    """Returns what `scipy.io.loadmat` gives, read in a process of its own.

    On some damaged files SciPy's reader does not raise, but ends its process.
    """
    import scipy  # noqa: F401, where it is missing, say so

    done = subprocess.run([sys.executable, "-c", _LOAD, path], capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        last = said[-1] if said else "SciPy's reader broke down"
        raise (NotImplementedError if last.startswith("NotImplemented") else ValueError)(last)
    return pickle.loads(done.stdout)  # of the process above, which writes arrays alone


def _read_matlab(path):
    """Returns the blocks of a DagNN by the names of their layers, and its parameters by name."""
    try:
        matlab_files.check(path)
        net = _load_matlab(path)["net"][0, 0]
        blocks = {str(layer["name"].item()): layer["block"] for layer in net["layers"].ravel()}
        params = {str(param["name"].item()): param["value"] for param in net["params"].ravel()}
    except NotImplementedError as error:
        raise ValueError(f"{path} is of MATLAB 7.3; save it again with -v7") from error
    except Exception as error:  # scipy raises many types of errors for a damaged file
        raise ValueError(
            f"{path} holds no MatConvNet network ({error}); expected a structure net with layers "
            "and params"
        ) from error
    return blocks, params


def _check_strides(path, blocks):
    missing = set(_STRIDES)
    for name, block in blocks.items():
        layer = name.split("_")[-1]  # names begin with the stream, a_ or b_
        if layer not in _STRIDES:
            continue
        missing.discard(layer)
        for key, expected in (("stride", _STRIDES[layer]), ("pad", 0)):
            values = block[0, 0][key].ravel().tolist()
            if set(values) != {expected}:
                raise ValueError(
                    f"{path}: {layer} has {key} {values[0]:g}, expected {expected}; this is "
                    "another network than the paper's, whose total stride is 8"
                )
    if missing:
        raise ValueError(f"{path} has no layer {min(missing)}, it has {', '.join(blocks)}")


def from_pytorch(path: str | pathlib.Path) -> Model:
    """Reads a `state_dict` of siamfc-pytorch, without PyTorch.

    Layers are recognised by their order and shapes, not by name, because names differ between
    versions and with `nn.DataParallel`. The gain is 1e-3, and b is 0.

    Args:
      path: file written by `torch.save`, of PyTorch before or after version 1.6.

    Returns:
      The model.

    Raises:
      ValueError: the file is not of this kind, or the network has other shapes.
    """
    layers: dict[str, dict[str, np.ndarray]] = {}
    for name, array in read_state_dict(path).items():
        prefix, _, key = name.rpartition(".")
        layers.setdefault(prefix, {})[key] = array
    try:
        convolutions = [
            # [O, I, H, W] -> [H, W, I, O]
            {"kernel": layer["weight"].transpose(2, 3, 1, 0), "bias": layer["bias"]}
            for layer in layers.values()
            if layer["weight"].ndim == 4
        ]
        norms = [
            _normalization(
                *(layer[key] for key in ("weight", "bias", "running_mean", "running_var")),
                epsilon=1e-6,  # siamfc/backbones.py
            )
            for layer in layers.values()
            if layer["weight"].ndim == 1
        ]
    except KeyError as error:
        raise ValueError(f"{path} has a layer without {error}, it has {list(layers)}") from error
    return _assemble(path, convolutions, norms, gain=model.GAIN, bias=0.0)


def from_arrays(path: str | pathlib.Path) -> Model:
    """Reads folded layers.

    Args:
      path: `.npz` with convN/kernel [k, k, C, D] and convN/bias [D] for N of 1 to 5,
        adjust/scale [] and adjust/bias [].

    Returns:
      The model, without batch normalisation.

    Raises:
      ValueError: the file is not of this kind, or the network has other shapes.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        memory.check(2 * size, str(path))
        with open(path, "rb") as file, np.load(file) as arrays:
            convolutions = [
                {key: arrays[f"conv{layer}/{key}"] for key in ("kernel", "bias")}
                for layer in range(1, 6)
            ]
            gain, bias = arrays["adjust/scale"], arrays["adjust/bias"]
    except (KeyError, ValueError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} holds no folded layers ({error}); expected arrays conv1/kernel, conv1/bias "
            "to conv5/bias, adjust/scale and adjust/bias"
        ) from error
    return _assemble(path, convolutions, [], gain=gain, bias=bias)


READERS = {
    ".mat": from_matconvnet,
    ".pth": from_pytorch,
    ".pt": from_pytorch,
    ".npz": from_arrays,
}


def read_weights(source: pathlib.Path) -> Model:
    """Reads weights of any origin.

    Args:
      source: a file with one of the endings of READERS, or a source of `load_model`.

    Returns:
      The model.

    Raises:
      ValueError: there is no such file or model, or it cannot be read.
    """
    if source.is_dir() or not source.suffix:
        return load_model(source)
    if source.suffix not in READERS:
        raise ValueError(f"{source} must end in one of {', '.join(READERS)}, or be a folder")
    if not source.is_file():
        raise ValueError(f"no file {source}")
    try:
        return READERS[source.suffix](source)
    except (ValueError, OSError, ImportError, MemoryError):
        raise
    except Exception as error:  # what a damaged file holds may raise whatever it likes
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{source} holds no network that is known ({reason})") from error
