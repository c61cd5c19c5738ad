"""What the embedders on PyTorch have in common: everything but the network."""

from __future__ import annotations

import numpy as np
import torch

from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array
from voxrelay.events import Engine
from voxrelay.torch_checkpoints import device_for, rows_through

WINDOW_S = 1.5


class TorchEmbedder:
    """1.5 s windows. One by one on a CPU, where the bits of a row would depend on how many there are; in batches on a GPU.

    The thresholds are no more than a start: others publish 0.7 to 0.85 for these embeddings under average linkage, and longer windows.
    """

    window_samples = int(WINDOW_S * SAMPLE_RATE_HZ)
    step_samples = window_samples // 2

    def __init__(
        self,
        engine: Engine,
        dimensions: int,
        provider: str = "cpu",
        threads: int = 1,
        gpu_memory_mb: int = 0,
        batch: int = 32,
        threshold: float = 0.7,
        threshold_when_told: float = 0.6,
    ) -> None:
        torch.set_num_threads(threads)
        self._device, self._note = device_for(provider, gpu_memory_mb)
        self._through = rows_through(self._directions, dimensions, batch if self._device != "cpu" else 1)
        self.engine, self.dimensions = engine, dimensions
        self.threshold, self.threshold_when_told = threshold, threshold_when_told

    def embed(self, windows: Float32Array) -> Float32Array:
        return self._through(windows)

    def check(self) -> str | None:
        return self._note or None

    def _directions(self, windows: Float32Array) -> Float32Array:
        with torch.inference_mode():
            return np.asarray(self._network_of(torch.from_numpy(windows).to(self._device)).cpu().numpy(), dtype=np.float32)

    def _network_of(self, windows: torch.Tensor) -> torch.Tensor:
        """Shape (n, window_samples) to (n, dimensions), on the device."""
        raise NotImplementedError
