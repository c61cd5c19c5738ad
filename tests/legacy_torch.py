"""Writes legacy torch files as ``torch.save`` did before 1.6, for tests of what reads them."""

from __future__ import annotations

import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from voxrelay.models.torch_weights import MAGIC_NUMBER, PROTOCOL_VERSION

MACHINE = {"protocol_version": PROTOCOL_VERSION, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}


class Named:
    """Pickles as the name of something in a module that is not there to be imported."""

    def __init__(self, name: str) -> None:
        self.name = name


class Storage:
    def __init__(self, key: str, values: np.ndarray[Any, Any], kind: str = "FloatStorage") -> None:
        self.key, self.values, self.kind = key, values, kind


class Tensor:
    def __init__(self, storage: Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
        self.parts = (storage, offset, shape, strides, False, OrderedDict())


class _Pickler(pickle._Pickler):  # type: ignore[misc,name-defined]  # the one written in Python: names can be written that do not exist here
    """Writes the stand-ins above as torch writes the real ones."""

    def persistent_id(self, obj: Any) -> Any:
        return ("storage", Named(f"torch {obj.kind}"), obj.key, "cpu", obj.values.size, None) if isinstance(obj, Storage) else None

    def save(self, obj: Any, save_persistent_id: bool = True) -> Any:
        if isinstance(obj, Named):
            module, _, name = obj.name.partition(" ")
            self.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())
            return None
        if isinstance(obj, Tensor):
            self.save(Named("torch._utils _rebuild_tensor_v2"))
            self.save(obj.parts)
            self.write(pickle.REDUCE)
            return None
        return super().save(obj, save_persistent_id)


def legacy_file(path: Path, saved: Any, storages: list[Storage], machine: dict[str, Any] | None = None, magic: int = MAGIC_NUMBER) -> Path:
    with path.open("wb") as file:
        for part in (magic, PROTOCOL_VERSION, machine or MACHINE, saved, [storage.key for storage in storages]):
            _Pickler(file, protocol=2).dump(part)
        for storage in storages:
            file.write(struct.pack("<q", storage.values.size) + storage.values.tobytes())
    return path


def weights_file(path: Path, entry: str, weights: dict[str, np.ndarray[Any, Any]]) -> Path:
    """A file of plain tensors under ``entry``, each with a storage of its own."""
    storages = [Storage(str(number), values.astype(np.float32).ravel()) for number, values in enumerate(weights.values())]
    tensors = OrderedDict()
    for (name, values), storage in zip(weights.items(), storages, strict=True):
        strides = tuple(stride // values.itemsize for stride in np.ascontiguousarray(values).strides)
        tensors[name] = Tensor(storage, 0, values.shape, strides)
    return legacy_file(path, {"step": 1, entry: tensors}, storages)
