"""PyTorch's two file forms, built by hand, and by PyTorch where it is installed."""

import os

import numpy as np
import pytest
import torch_writers
from torch_writers import Tensor, tensors, write_zip

from siamfc_jax.network.torch_files import read_state_dict

ARRAYS = {
    "net.0.weight": np.arange(24, dtype="<f4").reshape(2, 3, 4) / 7,
    "net.0.bias": np.array([1, -2], "<f8"),
    "net.1.count": np.array(5, "<i8"),
    "net.2.half": np.array([[0.5]], "<f2"),
}
FORMS = [torch_writers.write_zip, torch_writers.write_legacy]


@pytest.mark.parametrize("write", FORMS)
def test_tensors_come_back(tmp_path, write):
    tree, storages = tensors(ARRAYS)
    storages["0"].array = np.concatenate([ARRAYS["net.0.weight"].ravel(), np.float32([40, 41])])
    # A part of another tensor's storage, transposed.
    tree["view"] = Tensor(storages["0"], 2, (4, 3), (1, 8))
    write(tmp_path / "net.pth", tree, storages)
    found = read_state_dict(tmp_path / "net.pth")
    assert list(found) == [*ARRAYS, "view"]
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    flat = storages["0"].array
    np.testing.assert_array_equal(found["view"], [flat[i : i + 17 : 8] for i in range(2, 6)])


class Command:
    def __reduce__(self):
        return os.system, ("exit 1",)


@pytest.mark.parametrize(
    "tree, reason",
    [
        ({"weight": Command()}, "posix.system is no tensor"),
        ({"epoch": 3}, "'int' object has no attribute 'read'"),
        ([1, 2], "'list' object has no attribute 'items'"),
    ],
)
@pytest.mark.parametrize("write", FORMS)
def test_whatever_is_no_tensor_is_refused(tmp_path, write, tree, reason):
    write(tmp_path / "net.pth", tree, {})
    with pytest.raises(ValueError, match=rf"net.pth is no state_dict of tensors \({reason}\)"):
        read_state_dict(tmp_path / "net.pth")


@pytest.mark.parametrize("shape, strides", [((2, 13), (12, 1)), ((24,), (2,)), ((24,), (-1,))])
def test_a_tensor_beyond_its_storage_is_refused(tmp_path, shape, strides):
    tree, storages = tensors({"w": ARRAYS["net.0.weight"]})
    tree["w"] = Tensor(storages["0"], 0, shape, strides)
    write_zip(tmp_path / "net.pth", tree, storages)
    with pytest.raises(ValueError, match="is no state_dict of tensors"):
        read_state_dict(tmp_path / "net.pth")


@pytest.mark.parametrize("content", [b"", b"not a file of PyTorch\n", b"PK\x03\x04 cut short"])
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "net.pth").write_bytes(content)
    with pytest.raises(ValueError, match=r"write one with torch.save\(net.state_dict\(\), FILE\)"):
        read_state_dict(tmp_path / "net.pth")


@pytest.mark.parametrize("write", FORMS)
def test_a_file_cut_short_is_refused(tmp_path, write):
    path = tmp_path / "net.pth"
    write(path, *tensors(ARRAYS))
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match="is no state_dict of tensors"):
        read_state_dict(path)


@pytest.mark.parametrize("recent", [True, False])
def test_files_of_pytorch_itself(tmp_path, recent):
    torch = pytest.importorskip("torch")
    state = {name: torch.from_numpy(array.copy()) for name, array in ARRAYS.items()}
    state["view"] = state["net.0.weight"].permute(2, 0, 1)
    torch.save(state, tmp_path / "net.pth", _use_new_zipfile_serialization=recent)
    found = read_state_dict(tmp_path / "net.pth")
    for name, array in state.items():
        np.testing.assert_array_equal(found[name], array.numpy())
