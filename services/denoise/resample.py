"""What a client sends, any rate from 8 to 48 kHz and any number of channels, to 16 kHz mono: a stream whose state can be saved."""

from __future__ import annotations

import numpy as np

from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array
from voxrelay.resampling import StreamResampler

LEAST_RATE_HZ, MOST_RATE_HZ = 8_000, 48_000


class Resampler:
    """Interleaved 16-bit frames in, float32 mono at 16 kHz out, as ``StreamResampler`` promises. Downmixing is the mean of the channels."""

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        """Raises ``ValueError`` for a rate or number of channels that is not served."""
        if not LEAST_RATE_HZ <= sample_rate_hz <= MOST_RATE_HZ or channels < 1:
            raise ValueError("Audio must have 8,000 to 48,000 Hz and at least one channel.")
        self._channels = channels
        self._stream = StreamResampler(sample_rate_hz, SAMPLE_RATE_HZ)

    @property
    def frames(self) -> int:
        """Taken in so far."""
        return self._stream.taken

    @property
    def samples(self) -> int:
        """Given out so far."""
        return self._stream.given

    @property
    def delay_s(self) -> float:
        return self._stream.delay_s

    def push(self, pcm_s16le: bytes) -> Float32Array:
        """The samples this completes. Raises ``ValueError`` for anything but whole frames."""
        if len(pcm_s16le) % (2 * self._channels):
            raise ValueError("A chunk must hold whole frames of 16-bit samples.")
        frames = np.frombuffer(pcm_s16le, dtype="<i2").reshape(-1, self._channels)
        mono = frames[:, 0] if self._channels == 1 else frames.sum(axis=1, dtype=np.int32) / np.float32(self._channels)
        return self._stream.push(mono.astype(np.float32) / np.float32(32768.0))

    def finish(self) -> Float32Array:
        """The rest, as if silence followed: in all, one output for each 1/16,000 s that began before the input's end."""
        return self._stream.finish()

    def dump(self) -> tuple[Float32Array, list[int]]:
        """What ``load`` needs beside rate and channels."""
        return self._stream.dump()

    def load(self, held: Float32Array, counters: list[int]) -> None:
        self._stream.load(held, counters)
