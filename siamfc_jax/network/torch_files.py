"""Reads PyTorch's files without PyTorch.

`torch.save` writes a pickle and the bytes of the tensors. The unpickler here knows dicts and
tensors and refuses every other class and function, so that no file can run code.
"""

import collections
import io
import math
import pathlib
import pickle
import zipfile
from typing import NamedTuple

import numpy as np

from siamfc_jax import memory

_STORAGES = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
}


def read_state_dict(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """Reads the tensors of a `state_dict`.

    Args:
      path: file written by `torch.save`, of PyTorch before or after version 1.6.

    Returns:
      name -> array, in the order of the file.

    Raises:
      ValueError: the file is damaged, or does not hold named tensors.
    """
    path = pathlib.Path(path)
    memory.check(2 * path.stat().st_size, str(path))
    # From memory, where no read takes more than there is, whatever size it asks for.
    file = io.BytesIO(path.read_bytes())
    try:
        tree, storages = (_read_zip if zipfile.is_zipfile(file) else _read_legacy)(file)
        if not all(isinstance(name, str) for name, _ in tree.items()):
            raise ValueError("its names are no text")
        return {name: tensor.read(storages) for name, tensor in tree.items()}
    except Exception as error:  # a damaged pickle may raise whatever it likes
        raise ValueError(
            f"{path} is no state_dict of tensors ({error}); "
            "write one with torch.save(net.state_dict(), FILE)"
        ) from error


def _read_zip(file):
    with zipfile.ZipFile(file) as archive:
        # torch.save does not compress, so that nothing is larger than the file.
        if sum(entry.file_size for entry in archive.infolist()) > file.getbuffer().nbytes:
            raise ValueError("it holds more than its size")
        entry = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        unpickler = _Unpickler(io.BytesIO(archive.read(entry)))
        tree = unpickler.load()
        folder = entry.removesuffix("data.pkl") + "data/"
        return tree, {key: archive.read(folder + key) for key in unpickler.dtypes}


def _read_legacy(file):
    """Reads the form before PyTorch 1.6: five pickles, then the storages."""
    file.seek(0)
    for _ in range(3):  # a magic number, a version, the sizes of types
        _Unpickler(file).load()
    unpickler = _Unpickler(file)
    tree, keys = unpickler.load(), _Unpickler(file).load()
    storages = {}
    for key in keys:
        count = int.from_bytes(file.read(8), "little")
        storages[key] = file.read(count * unpickler.dtypes[key].itemsize)
    return tree, storages


class _Tensor(NamedTuple):
    """Where a tensor lies: its storage, and offset and strides in elements of it."""

    key: str
    dtype: np.dtype
    offset: int
    shape: tuple
    strides: tuple

    def read(self, storages):
        size = self.dtype.itemsize
        if math.prod(self.shape) * size > len(storages[self.key]):  # by strides of 0
            raise ValueError(f"a tensor of shape {self.shape} is larger than its storage")
        # NumPy raises an error if the tensor does not lie within the storage.
        return np.ndarray(
            self.shape,
            self.dtype,
            storages[self.key],
            self.offset * size,
            [stride * size for stride in self.strides],
        )


class _Unpickler(pickle._Unpickler):
    """Rebuilds dicts of tensors and refuses anything else, so that no file can run code.

    The unpickler in Python: that in C takes memory for as many objects as a file says it has.
    """

    def __init__(self, file):
        super().__init__(file, encoding="utf-8")
        self.dtypes = {}

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._tensor
        if module == "torch" and name in _STORAGES:
            return name
        raise pickle.UnpicklingError(f"{module}.{name} is no tensor")

    def persistent_load(self, pid):
        _, storage, key, *_ = pid
        self.dtypes[key] = _STORAGES[storage]
        return key

    def _tensor(self, key, offset, shape, strides, *_):
        return _Tensor(key, self.dtypes[key], offset, shape, strides)
