"""The head of a WAV stream, read here so that its samples go on at once: libav wants 100 kB of them first, three seconds of a live call.

RIFF/WAVE as in Microsoft's "Multimedia Programming Interface and Data Specifications 1.0" (1991), with WAVE_FORMAT_EXTENSIBLE.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from services.gateway.audio.decode import MAX_CHANNELS, MAX_RATE_HZ, MIN_RATE_HZ, raw_decoder
from voxrelay.errors import Refused

MOST_HEAD_BYTES = 8192
EXTENSIBLE = 0xFFFE
UNKNOWN_SIZES = (0, 0x7FFFFFFF)  # and above: what is written while nobody knows how long it will be
ENCODINGS = {(1, 16): "linear16", (3, 32): "float32", (6, 8): "alaw", (7, 8): "mulaw"}  # format tag and bits a sample


@dataclass(frozen=True, slots=True)
class WaveHead:
    encoding: str
    rate_hz: int
    channels: int
    start: int  # bytes before the samples
    most_bytes: int | None  # of samples; None where the head does not tell


class Incomplete(Exception):
    """More bytes are needed."""


def read_head(data: bytes) -> WaveHead | None:
    """None where libav should have it: other formats, rates or numbers of channels, or no WAV at all. Raises ``Incomplete``."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return None
    at, layout = 12, None
    while at < MOST_HEAD_BYTES:
        if len(data) < at + 8:
            raise Incomplete
        name, size = struct.unpack_from("<4sI", data, at)
        if name == b"data":
            return _head(layout, at + 8, size) if layout else None
        if len(data) < at + 8 + size and at + 8 + size <= MOST_HEAD_BYTES:
            raise Incomplete
        if name == b"fmt " and 16 <= size <= MOST_HEAD_BYTES:
            layout = data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
    return None


def _head(layout: bytes, start: int, size: int) -> WaveHead | None:
    tag, channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", layout)
    if tag == EXTENSIBLE and len(layout) >= 26:
        tag = struct.unpack_from("<H", layout, 24)[0]
    encoding = ENCODINGS.get((tag, bits))
    if encoding is None or not 1 <= channels <= MAX_CHANNELS or not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        return None
    is_known = size not in UNKNOWN_SIZES and size < UNKNOWN_SIZES[1]
    return WaveHead(encoding, rate_hz, channels, start, size if is_known else None)


class WaveDecoder:
    """The samples behind the head as pcm_s16le, ``is_mixed`` to one channel or interleaved; what stands behind the samples is dropped."""

    def __init__(self, head: WaveHead, *, is_mixed: bool) -> None:
        self._decoder = raw_decoder(head.encoding)
        self._mixed = head.channels if is_mixed else 1
        self._rest = b""  # of a frame whose other channels have not come yet
        self._skip, self._left = head.start, head.most_bytes
        self._is_empty = True

    def feed(self, data: bytes) -> bytes:
        skipped = min(self._skip, len(data))
        self._skip -= skipped
        samples = data[skipped:]
        if self._left is not None:
            samples = samples[: self._left]
            self._left -= len(samples)
        self._is_empty = self._is_empty and not samples
        pcm = self._decoder.feed(samples)
        return pcm if self._mixed == 1 else self._mix(self._rest + pcm)

    def _mix(self, pcm: bytes) -> bytes:
        whole = len(pcm) // (2 * self._mixed) * 2 * self._mixed
        self._rest = pcm[whole:]
        frames = np.frombuffer(pcm[:whole], dtype="<i2").reshape(-1, self._mixed)
        return bytes(np.rint(frames.mean(axis=1)).astype("<i2").tobytes())

    def finish(self) -> None:
        """Raises ``Refused`` TRUNCATED_AUDIO when not one sample came."""
        if self._is_empty:
            raise Refused("TRUNCATED_AUDIO", "The audio ends before its first sample; send it whole.")
