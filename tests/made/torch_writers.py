"""Writes files as PyTorch does, without PyTorch."""

import collections
import io
import pickle
import struct
import sys
import types
import zipfile
from unittest import mock

STORAGES = {"f4": "FloatStorage", "f8": "DoubleStorage", "i8": "LongStorage", "f2": "HalfStorage"}


class Storage:
    """Stands for the bytes of an array, as a storage of PyTorch does."""

    def __init__(self, key, array):
        self.key, self.array = key, array


def _fake_torch():
    """Makes modules with the names that PyTorch writes into its pickles."""
    utils, torch = types.ModuleType("torch._utils"), types.ModuleType("torch")

    def rebuild(*args):
        raise AssertionError("never called")

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = rebuild
    for name in STORAGES.values():
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    return {"torch": torch, "torch._utils": utils}


class Tensor:
    """Is pickled as PyTorch pickles a tensor."""

    def __init__(self, storage, offset, shape, strides):
        self.args = (storage, offset, shape, strides, False, collections.OrderedDict())

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.args


class Pickler(pickle.Pickler):
    """Names storages instead of writing them."""

    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        kind = getattr(sys.modules["torch"], STORAGES[value.array.dtype.str[1:]])
        return ("storage", kind, value.key, "cpu", value.array.size, None)


def dump(value):
    """Returns a pickle in PyTorch's words, whether it is installed or not."""
    file = io.BytesIO()
    with mock.patch.dict(sys.modules, _fake_torch()):
        Pickler(file, 2).dump(value)
    return file.getvalue()


def tensors(arrays):
    """Returns a state_dict of arrays, and its storages."""
    storages = {str(i): Storage(str(i), array) for i, array in enumerate(arrays.values())}
    tree = collections.OrderedDict()
    for name, storage in zip(arrays, storages.values(), strict=True):
        array = storage.array
        strides = tuple(stride // array.itemsize for stride in array.strides)
        tree[name] = Tensor(storage, 0, array.shape, strides)
    return tree, storages


def write_zip(path, tree, storages):
    """Writes what `torch.save` writes since version 1.6."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/data.pkl", dump(tree))
        for key, storage in storages.items():
            archive.writestr(f"net/data/{key}", storage.array.tobytes())


def write_legacy(path, tree, storages):
    """Writes what `torch.save` wrote before version 1.6."""
    with open(path, "wb") as file:
        for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, tree, list(storages)):
            file.write(dump(part))
        for storage in storages.values():
            file.write(struct.pack("<q", storage.array.size) + storage.array.tobytes())
