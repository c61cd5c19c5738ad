"""A session's state as bytes: named arrays and plain values, compact, and nothing that could run when it is read."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_LENGTH = struct.Struct("<I")


def pack(arrays: Mapping[str, Array], values: Mapping[str, Any]) -> bytes:
    """``values`` are what JSON holds exactly: text, whole numbers, floats, lists and mappings of them."""
    listed = [[name, array.dtype.str, list(array.shape)] for name, array in arrays.items()]
    header = json.dumps({"arrays": listed, "values": values}, separators=(",", ":"), allow_nan=False).encode()
    return b"".join((_LENGTH.pack(len(header)), header, *(array.tobytes() for array in arrays.values())))


def unpack(state: bytes) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays (writable copies) and values, bit for bit. Raises ``ValueError`` for bytes that ``pack`` did not make."""
    if len(state) < _LENGTH.size:
        raise ValueError("A saved state is shorter than its own length.")
    (length,) = _LENGTH.unpack_from(state)
    at = _LENGTH.size + length
    header = json.loads(state[_LENGTH.size : at])
    arrays: dict[str, Array] = {}
    for name, kind, shape in header["arrays"]:
        dtype = np.dtype(kind)
        count = int(np.prod(shape, dtype=np.int64))
        arrays[name] = np.frombuffer(state, dtype=dtype, count=count, offset=at).reshape(shape).copy()
        at += count * dtype.itemsize
    if at != len(state):
        raise ValueError("A saved state has another length than it says.")
    return arrays, header["values"]
