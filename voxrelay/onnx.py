"""ONNX Runtime for all engines that use it: one way to open a model, one setting for what it runs on, and no silent fallback."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from voxrelay.engines import EngineUnusable
from voxrelay.telemetry import fields

log = logging.getLogger(__name__)

PROVIDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
}
NAMES: Final = {"CPUExecutionProvider": "the CPU", "CUDAExecutionProvider": "CUDA", "TensorrtExecutionProvider": "TensorRT"}
FATAL_ONLY: Final = 4


class OnnxModel:
    """One graph, loaded. Thread-safe, without state: what a graph remembers goes in and comes out.

    ``note`` is empty where the graph runs on what was asked for, or a sentence for /ready that says what it runs on instead.
    """

    def __init__(self, weights: Path, *, inputs: Collection[str], hint: str, provider: str = "cpu", threads: int = 1, gpu_memory_mb: int = 0) -> None:
        """``inputs`` are the names the graph must take; ``hint`` says where the right file comes from (``run 'voxrelay models pull …'``).
        ``gpu_memory_mb`` is the most that this model may take of a GPU's memory; 0 for no limit.

        Raises ``EngineUnusable`` for weights that cannot be read or are another model's.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = FATAL_ONLY  # what is wrong is said here, in a sentence
        wanted = PROVIDERS[provider]
        present = set(onnxruntime.get_available_providers())
        try:
            self._session = onnxruntime.InferenceSession(
                str(weights), options, providers=[_provider(name, gpu_memory_mb) for name in wanted if name in present]
            )
        except Exception as error:  # ONNX Runtime has no error class of its own in common
            raise EngineUnusable(f"{weights} cannot be read as an ONNX model: {hint}.") from error
        if {given.name for given in self._session.get_inputs()} != set(inputs):
            raise EngineUnusable(f"{weights} is another model than was expected: {hint}.")
        self.note = _note(wanted[0], present, self._session.get_providers()[0])
        if self.note:
            log.warning("A model runs on something else than was set.", extra=fields(model=weights.name, reason=self.note))

    @property
    def input_shapes(self) -> dict[str, tuple[int | str, ...]]:
        """By name; a size that is not fixed is a name."""
        return {given.name: tuple(given.shape) for given in self._session.get_inputs()}

    @property
    def metadata(self) -> dict[str, str]:
        """What the model's maker wrote into the file."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

    def run(self, feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """All outputs, in the graph's order."""
        return [np.asarray(value) for value in self._session.run(None, dict(feed))]


def _provider(name: str, gpu_memory_mb: int) -> tuple[str, dict[str, str]]:
    """With its part of the GPU's memory: the arena of CUDA grows by what is needed and no further, TensorRT's scratch space is bounded."""
    most = str(gpu_memory_mb << 20)
    limits = {
        "CUDAExecutionProvider": {"gpu_mem_limit": most, "arena_extend_strategy": "kSameAsRequested"},
        "TensorrtExecutionProvider": {"trt_max_workspace_size": most},
    }
    return name, limits.get(name, {}) if gpu_memory_mb else {}


def _note(wanted: str, present: Collection[str], used: str) -> str:
    if used == wanted:
        return ""
    instead = f"runs on {NAMES.get(used, used)}, for VOXRELAY_ONNX_PROVIDER asks for {NAMES[wanted]} and "
    if wanted not in present:
        return f"{instead}this ONNX Runtime has none of it: install onnxruntime-gpu in place of onnxruntime."
    return f"{instead}no device or library for it could be used here."


def notes(*models: OnnxModel) -> str | None:
    """For an engine's ``check``: what is to be said of its models, or None."""
    return next((model.note for model in models if model.note), None)
