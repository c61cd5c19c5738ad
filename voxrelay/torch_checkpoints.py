"""PyTorch for the engines that use it: weights read without running what a file names, and one setting for what they run on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from voxrelay.audio import Float32Array
from voxrelay.batches import Batches
from voxrelay.engines import EngineUnusable
from voxrelay.telemetry import fields

log = logging.getLogger(__name__)

PROVIDERS = {"cpu": "cpu", "cuda": "cuda", "tensorrt": "cuda"}  # what VOXRELAY_ONNX_PROVIDER asks for, in PyTorch's words
MEGABYTE = 1 << 20


def read_checkpoint(path: Path, entry: str = "", allowed: tuple[Any, ...] = ()) -> dict[str, torch.Tensor]:
    """The tensors of a file of safetensors, or of ``torch.save``: those of its mapping ``entry``, or of the saved mapping itself. By name.

    A pickle can run anything; PyTorch's own restricted reader refuses whatever is no tensor, number, text or one of the classes ``allowed``.
    Raises ``EngineUnusable``.
    """
    safe: AbstractContextManager[Any] = torch.serialization.safe_globals(list(allowed))
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        with safe:
            saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # it raises many kinds
        raise EngineUnusable(f"{path} cannot be read as weights of PyTorch without running what it names: fetch the model anew.") from error
    chosen = saved.get(entry) if entry and isinstance(saved, Mapping) else saved
    if not isinstance(chosen, Mapping):
        raise EngineUnusable(f"{path} holds no weights where this model has them: fetch the model anew.")
    return {str(name): value for name, value in chosen.items() if isinstance(value, torch.Tensor)}


def prepared(model: torch.nn.Module, tensors: Mapping[str, torch.Tensor], path: Path, device: str) -> torch.nn.Module:
    """The model with these weights, for inference, on the device. Raises ``EngineUnusable`` where they are another model's."""
    try:
        model.load_state_dict(dict(tensors))
    except RuntimeError as error:
        raise EngineUnusable(f"{path} is another model than was expected: fetch the model anew.") from error
    return model.requires_grad_(False).eval().to(device)


def device_for(provider: str, gpu_memory_mb: int = 0) -> tuple[str, str]:
    """What to run on, and a sentence for /ready where that is not what was set. This process takes no more of the GPU than that, unless it is 0."""
    wanted = PROVIDERS[provider]
    if wanted == "cuda" and not torch.cuda.is_available():
        note = "runs on the CPU, for VOXRELAY_ONNX_PROVIDER asks for CUDA and PyTorch finds no device it could use here."
        log.warning("A model runs on something else than was set.", extra=fields(reason=note))
        return "cpu", note
    if wanted == "cuda" and gpu_memory_mb:
        whole = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, gpu_memory_mb * MEGABYTE / whole))
    return wanted, ""


def rows_through(network: Callable[[Float32Array], Float32Array], dimensions: int, batch: int) -> Callable[[Float32Array], Float32Array]:
    """Windows (n, samples) to directions of length one (n, dimensions), ``batch`` in a call, fewer where memory runs out."""
    batches = Batches(batch)

    def through(windows: Float32Array) -> Float32Array:
        if not len(windows):
            return np.zeros((0, dimensions), dtype=np.float32)
        clean = np.nan_to_num(windows, posinf=0.0, neginf=0.0).astype(np.float32, copy=False)
        found = np.nan_to_num(np.stack(batches.run(list(clean), lambda part: list(network(np.stack(part))))))
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        found = np.where(
            lengths > 0.0, found / np.where(lengths > 0.0, lengths, 1.0), np.float32(dimensions**-0.5)
        )  # any direction, as long as it is one
        return np.asarray(found, dtype=np.float32)

    return through
