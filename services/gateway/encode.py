"""Spoken audio in the format a client asked for, piece by piece."""

from __future__ import annotations

import struct
from typing import Any

import av
import numpy as np

MEDIA_TYPES = {"wav": "audio/wav", "pcm": "audio/L16", "flac": "audio/flac", "mp3": "audio/mpeg", "opus": "audio/ogg"}
_CONTAINERS = {"flac": ("flac", "flac"), "mp3": ("mp3", "libmp3lame"), "opus": ("ogg", "libopus")}
_OPUS_RATE_HZ = 48_000
_UNKNOWN_SIZE = 0xFFFFFFFF


def wav_header(sample_rate_hz: int) -> bytes:
    """A RIFF header of mono pcm_s16le whose length nobody knows yet: players read to the end."""
    layout = struct.pack("<HHIIHH", 1, 1, sample_rate_hz, sample_rate_hz * 2, 2, 16)
    return b"RIFF" + struct.pack("<I", _UNKNOWN_SIZE) + b"WAVEfmt " + struct.pack("<I", 16) + layout + b"data" + struct.pack("<I", _UNKNOWN_SIZE)


class _Sink:
    """A file that can only be written, so that no container goes back to mend its header."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        self._written += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken


class StreamEncoder:
    """Mono pcm_s16le in, bytes of the format out. One thread."""

    def __init__(self, audio_format: str, sample_rate_hz: int) -> None:
        self._format, self._rate_hz = audio_format, sample_rate_hz
        self._is_started = False
        self._sink = _Sink()
        self._container: Any = None
        if audio_format in _CONTAINERS:
            name, codec = _CONTAINERS[audio_format]
            self._container = av.open(self._sink, "w", format=name)
            self._stream = self._container.add_stream(codec, rate=_OPUS_RATE_HZ if audio_format == "opus" else sample_rate_hz, layout="mono")

    def feed(self, pcm_s16le: bytes) -> bytes:
        if self._container is not None:
            return self._encode(pcm_s16le)
        head = b"" if self._is_started or self._format == "pcm" else wav_header(self._rate_hz)
        self._is_started = True
        return head + pcm_s16le

    def finish(self) -> bytes:
        if self._container is None:
            return b"" if self._is_started else self.feed(b"")
        for packet in self._stream.encode(None):
            self._container.mux(packet)
        self._container.close()
        return self._sink.take()

    def _encode(self, pcm_s16le: bytes) -> bytes:
        if pcm_s16le:
            frame = av.AudioFrame.from_ndarray(np.frombuffer(pcm_s16le, dtype="<i2")[None, :], format="s16", layout="mono")
            frame.sample_rate = self._rate_hz
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        return self._sink.take()
