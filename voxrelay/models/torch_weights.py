"""Tensors out of a file that ``torch.save`` wrote in its legacy format (before 1.6), without torch and without trust.

A pickle can name any function of any module and have it called. Here only four names mean anything, each to a function of this file;
whatever else a file names is refused before anything is called. The format is that of ``torch.serialization._legacy_save``: a magic
number, a protocol number, facts of the machine, the object with its storages left out, the storages' keys, and the storages.
"""

from __future__ import annotations

import math
import pickle
import struct
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001
MOST_BYTES = 2 << 30  # of one file; what is read here is far smaller

Tensors = dict[str, NDArray[Any]]


class UnreadableWeights(ValueError):
    """The file is not a legacy torch file of plain tensors; the message says in what way."""


@dataclass(frozen=True, slots=True)
class _StorageType:
    dtype: str

    @property
    def item_bytes(self) -> int:
        return np.dtype(self.dtype).itemsize


@dataclass(frozen=True, slots=True)
class _Storage:
    kind: _StorageType
    key: str
    items: int


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A view of a storage that is read later; all counts are in items."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def values(self, stored: NDArray[Any]) -> NDArray[Any]:
        if len(self.shape) != len(self.strides) or min((self.offset, *self.shape, *self.strides)) < 0:
            raise UnreadableWeights("A tensor in the file has an impossible shape.")
        last = self.offset + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        if math.prod(self.shape) > stored.size or (0 not in self.shape and last >= stored.size):  # a stride of 0 could make much of little
            raise UnreadableWeights("A tensor in the file reaches beyond its storage.")
        bytes_apart = tuple(stride * stored.itemsize for stride in self.strides)
        return np.lib.stride_tricks.as_strided(stored[self.offset :], self.shape, bytes_apart).copy()


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, _Storage) or not all(isinstance(number, int) for number in numbers):
        raise UnreadableWeights("A tensor in the file is not made of a storage and numbers.")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch", "FloatStorage"): _StorageType("<f4"),
    ("torch", "LongStorage"): _StorageType("<i8"),
}


class _Unpickler(pickle.Unpickler):
    """Knows the names above and storages by reference, nothing else."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        try:
            return _ALLOWED[module_name, global_name]
        except KeyError:
            raise UnreadableWeights(f"The file names {module_name}.{global_name}, which weights have no use for; nothing of it was run.") from None

    def persistent_load(self, pid: Any) -> _Storage:
        if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage":
            raise UnreadableWeights("The file refers to something that is not a storage.")
        _, kind, key, _, items = pid[:5]
        if len(pid) == 6 and pid[5] is not None:
            raise UnreadableWeights("The file has views of storages, which are not read here.")
        if not isinstance(kind, _StorageType) or not isinstance(key, str) or not isinstance(items, int) or items < 0:
            raise UnreadableWeights("A storage in the file is not described as torch does it.")
        return _Storage(kind, key, items)


def read_torch_weights(path: Path, entry: str = "") -> Tensors:
    """The tensors of the file by name: those of the mapping ``entry`` of the saved mapping, or of the saved mapping itself.

    Values that are no tensors are left out. Raises ``UnreadableWeights`` for any other file, and runs nothing that it holds.
    """
    if path.stat().st_size > MOST_BYTES:
        raise UnreadableWeights("The file is larger than any weights read here.")
    with path.open("rb") as file:
        try:
            saved = _read_saved(file)
            stored = _read_storages(file, _tensors(saved))
        except UnreadableWeights:
            raise
        except Exception as error:  # a broken pickle can raise anything
            raise UnreadableWeights("The file is not a legacy torch file, or is damaged.") from error
    chosen = saved.get(entry) if entry and isinstance(saved, dict) else saved
    if not isinstance(chosen, dict):
        raise UnreadableWeights(f"The file has no mapping {entry!r}." if entry else "The file holds no mapping.")
    found = {name: value for name, value in chosen.items() if isinstance(name, str) and isinstance(value, _Tensor)}
    return {name: tensor.values(stored[tensor.storage.key]) for name, tensor in found.items()}


def _read_saved(file: BinaryIO) -> Any:
    if _Unpickler(file).load() != MAGIC_NUMBER or _Unpickler(file).load() != PROTOCOL_VERSION:
        raise UnreadableWeights("The file is not a legacy torch file.")
    machine = _Unpickler(file).load()
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise UnreadableWeights("The file was written on a big-endian machine, which is not read here.")
    return _Unpickler(file).load()


def _tensors(saved: Any) -> list[_Tensor]:
    """All tensors in nested mappings and lists, however deep, without recursion."""
    found: list[_Tensor] = []
    seen: set[int] = set()
    waiting = [saved]
    while waiting:
        one = waiting.pop()
        if isinstance(one, _Tensor):
            found.append(one)
        elif isinstance(one, dict | list | tuple) and id(one) not in seen:
            seen.add(id(one))
            waiting.extend(one.values() if isinstance(one, dict) else one)
    return found


def _read_storages(file: BinaryIO, tensors: list[_Tensor]) -> dict[str, NDArray[Any]]:
    """The storages, by key; they follow the pickles in the order of the last pickle's list of keys."""
    described = {tensor.storage.key: tensor.storage for tensor in tensors}
    stored: dict[str, NDArray[Any]] = {}
    for key in _Unpickler(file).load():
        if key not in described:
            raise UnreadableWeights("The file holds a storage that nothing describes.")
        storage = described[key]
        (items,) = struct.unpack("<q", file.read(8))
        if items != storage.items:
            raise UnreadableWeights("A storage in the file is not as long as it says.")
        data = file.read(items * storage.kind.item_bytes)
        if len(data) != items * storage.kind.item_bytes:
            raise UnreadableWeights("The file ends too early.")
        stored[key] = np.frombuffer(data, dtype=storage.kind.dtype)
    return stored
