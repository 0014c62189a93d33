"""Looks through MATLAB files of version 5 to 7 before scipy makes arrays of them.

A few bytes can name a structure of any size, for which scipy takes the memory at once.
https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf
"""

import math
import pathlib
import zlib
from collections.abc import Iterator

HEADER = 128  # bytes before the first element; the last two say the order of bytes
MATRIX, COMPRESSED = 14, 15  # kinds of elements
CELL, STRUCTURE, OBJECT, SPARSE, LAST_CLASS = 1, 2, 3, 5, 15
MAX_BYTES = 2**30  # of all arrays; the network of the authors has 2**24
MAX_DEPTH = 32  # of structures in structures; theirs have 6


def check(path: str | pathlib.Path) -> None:
    """Refuses a file whose arrays are larger than the file can hold.

    Args:
      path: of the file.

    Raises:
      OSError: it cannot be read.
      ValueError: it is of another kind, or cut off, or an array has fewer bytes than elements.
    """
    size = pathlib.Path(path).stat().st_size
    if size > MAX_BYTES:
        raise ValueError(f"it has {size} bytes, a network has {MAX_BYTES} at most")
    data = pathlib.Path(path).read_bytes()
    order = {b"IM": "little", b"MI": "big"}.get(data[HEADER - 2 : HEADER])
    if order is None:
        raise ValueError("it is not of MATLAB 5 to 7")
    for kind, content in _elements(data[HEADER:], order):
        _check_element(kind, content, order, MAX_DEPTH)


def _elements(data: bytes, order) -> Iterator[tuple[int, bytes]]:
    """Yields the kind and the content of each element."""
    place = 0
    while place + 8 <= len(data):
        kind = int.from_bytes(data[place : place + 4], order)
        if kind >> 16:  # a small one: size, kind and content share 8 bytes
            size, kind, begin, stop = kind >> 16, kind & 0xFFFF, place + 4, place + 8
        else:
            size, begin = int.from_bytes(data[place + 4 : place + 8], order), place + 8
            stop = begin + (size if kind == COMPRESSED else -(-size // 8) * 8)
        if begin + size > len(data):
            raise ValueError("it is cut off")
        yield kind, data[begin : begin + size]
        place = stop


def _check_element(kind, content, order, depth):
    if depth == 0:
        raise ValueError(f"structures lie in each other more than {MAX_DEPTH} deep")
    if kind == COMPRESSED:
        inflate = zlib.decompressobj()
        content = inflate.decompress(content, MAX_BYTES)
        if inflate.unconsumed_tail:
            raise ValueError(f"an array is larger than {MAX_BYTES} bytes")
        for inner in _elements(content, order):
            _check_element(*inner, order, depth - 1)
    elif kind == MATRIX and content:
        (_, flags), (_, sides), *rest = _elements(content, order)
        number = int.from_bytes(flags[:4], order) & 0xFF
        count = math.prod(
            int.from_bytes(sides[place : place + 4], order) for place in range(0, len(sides), 4)
        )
        if number > LAST_CLASS:
            raise ValueError("it holds functions or objects")
        if number in (CELL, STRUCTURE, OBJECT):  # an element of 8 bytes for each at least
            count *= 8
        if number != SPARSE and count > len(content):
            raise ValueError(f"an array of {len(content)} bytes claims {count} bytes or more")
        for inner in rest:
            _check_element(*inner, order, depth - 1)
