"""Saved states come back bit for bit, and bytes of another kind are refused."""

from __future__ import annotations

import numpy as np
import pytest

from services.denoise.packing import pack, unpack


def test_what_is_packed_comes_back() -> None:
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3) / 7, "none": np.zeros(0, dtype=np.float64), "n": np.array([2**62])}
    values = {"float": 0.1 + 0.2, "list": [1, -2.5, True, "ü"], "empty": {}}
    restored, restored_values = unpack(pack(arrays, values))
    assert restored_values == values
    assert {name: (array.dtype, array.shape, array.tobytes()) for name, array in restored.items()} == {
        name: (array.dtype, array.shape, array.tobytes()) for name, array in arrays.items()
    }
    restored["a"][0, 0] = 1.0  # states go on: the arrays can be written to


def test_other_bytes_are_refused() -> None:
    packed = pack({"a": np.zeros(3)}, {})
    for wrong in (b"", packed[:-1], packed + b"x", b"\xff" * 40):
        with pytest.raises(ValueError):
            unpack(wrong)
