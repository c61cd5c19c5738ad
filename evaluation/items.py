"""What is evaluated: recordings with what is known of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import av
import numpy as np

from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array, float32_from_pcm_s16le, pcm_s16le_from_float32

LEAST_RATE_HZ, MOST_RATE_HZ = 8_000, 48_000
MOST_AUDIO_S = 4 * 3600
SEED = 1


class DataUnusable(Exception):
    """The data cannot be evaluated; the message is one sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One speaker's stretch, in seconds from the recording's start."""

    speaker: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Item:
    """One recording. What is not known of it is None or empty, and tasks that need it leave the recording out.

    text   what is said; empty where nobody speaks, None where it is not known
    turns  who speaks when
    clean  the same recording without the noise, sample for sample
    group  what it is reported with: a corpus, a noise level
    signal made here instead of read: a name of ``SIGNALS``, with its length in seconds
    """

    name: str
    audio: Path | None = None
    text: str | None = None
    turns: tuple[Turn, ...] | None = None
    clean: Path | None = None
    speaker: str = ""
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    group: str = ""
    signal: tuple[str, float] | None = None

    def pcm(self, rate_hz: int | None = None) -> tuple[bytes, int]:
        """Mono pcm_s16le and its rate: the file's own (within 8 to 48 kHz) or ``rate_hz``. Raises ``DataUnusable``."""
        if self.signal is not None:
            name, length_s = self.signal
            return pcm_s16le_from_float32(SIGNALS[name](int(length_s * SAMPLE_RATE_HZ))), SAMPLE_RATE_HZ
        if self.audio is None:
            raise DataUnusable(f"'{self.name}' has no audio: name a file.")
        return read_pcm(self.audio, rate_hz)

    def clean_samples(self) -> Float32Array | None:
        """The clean reference at 16 kHz, where there is one."""
        return float32_from_pcm_s16le(read_pcm(self.clean, SAMPLE_RATE_HZ)[0]) if self.clean is not None else None


def read_pcm(path: Path, rate_hz: int | None = None) -> tuple[bytes, int]:
    """A recording as mono pcm_s16le, at its own rate or ``rate_hz``. Raises ``DataUnusable``."""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.audio[0]
            rate_hz = rate_hz or min(max(stream.rate, LEAST_RATE_HZ), MOST_RATE_HZ)
            resampler = av.AudioResampler("s16", "mono", rate_hz)
            pieces, size = [], 0
            for frame in container.decode(stream):
                pieces += [piece.to_ndarray().tobytes() for piece in resampler.resample(frame)]
                size += frame.samples
                if size > MOST_AUDIO_S * stream.rate:
                    raise DataUnusable(f"{path} is longer than {MOST_AUDIO_S // 3600} hours: cut it.")
            pieces += [piece.to_ndarray().tobytes() for piece in resampler.resample(None)]
    except (av.error.FFmpegError, OSError, IndexError) as error:  # without a stream of audio there is no first
        raise DataUnusable(f"{path} cannot be read as audio: {error}.") from error
    return b"".join(pieces), rate_hz


def _white(samples: int) -> Float32Array:
    return np.random.default_rng(SEED).standard_normal(samples).astype(np.float32)


def _pink(samples: int) -> Float32Array:
    spectrum = np.fft.rfft(_white(samples))
    spectrum[0] = 0.0  # no direct current
    pink = np.fft.irfft(spectrum / np.sqrt(np.maximum(1, np.arange(spectrum.size))), samples)
    return np.asarray(pink / max(1e-9, float(pink.std())), dtype=np.float32)


SIGNALS: Mapping[str, Callable[[int], Float32Array]] = {
    "digital silence": lambda samples: np.zeros(samples, np.float32),
    "white noise at -40 dBFS": lambda samples: _white(samples) * np.float32(0.01),
    "pink noise at -30 dBFS": lambda samples: _pink(samples) * np.float32(0.0316),
}


def silences(minutes: float) -> list[Item]:
    """Audio in which nobody speaks, so long each."""
    return [Item(name, text="", group=name, signal=(name, minutes * 60)) for name in SIGNALS]
