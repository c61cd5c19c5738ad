"""Spoken audio in the format a client asked for, piece by piece: every encoding and container that any protocol has."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import av
import numpy as np

_UNKNOWN_SIZE = 0xFFFFFFFF
_PAGE_US = {"page_duration": "100000"}  # an Ogg page a tenth of a second; the usual one is 1 s late


@dataclass(frozen=True, slots=True)
class Encoding:
    """``rates_hz`` are those the codec has, empty for any; ``bit_rate`` is in force when none is asked for, 0 where there is no choice."""

    codec: str
    muxer: str
    media_type: str
    rates_hz: tuple[int, ...] = ()
    bit_rate: int = 0
    wav_tag: int = 0  # in a RIFF header; 0: never in one
    sample_bytes: int = 0


_MPEG_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
ENCODINGS = {
    "linear16": Encoding("pcm_s16le", "s16le", "audio/L16", wav_tag=1, sample_bytes=2),
    "mulaw": Encoding("pcm_mulaw", "mulaw", "audio/PCMU", wav_tag=7, sample_bytes=1),
    "alaw": Encoding("pcm_alaw", "alaw", "audio/PCMA", wav_tag=6, sample_bytes=1),
    "flac": Encoding("flac", "flac", "audio/flac"),
    "mp3": Encoding("libmp3lame", "mp3", "audio/mpeg", _MPEG_RATES, 64_000),
    "aac": Encoding("aac", "adts", "audio/aac", _MPEG_RATES, 64_000),
    "opus": Encoding("libopus", "ogg", "audio/ogg", (48_000,), 32_000),
}


@dataclass(frozen=True, slots=True)
class Sound:
    """How speech is written: one of ``ENCODINGS``, as it is or in a ``wav`` file; ``bit_rate`` in bits a second, 0 for the encoding's own."""

    encoding: str
    is_wav: bool = False
    bit_rate: int = 0

    @property
    def media_type(self) -> str:
        return "audio/wav" if self.is_wav else ENCODINGS[self.encoding].media_type

    def typed(self, rate_hz: int) -> str:
        """The media type; of bare samples with what nobody could play them without."""
        bare = ENCODINGS[self.encoding].sample_bytes and not self.is_wav
        return f"{self.media_type};rate={rate_hz};channels=1" if bare else self.media_type

    def rate_near(self, rate_hz: int) -> int:
        """The rate the file has when the voice has this one: the same, or the next above it that the codec knows."""
        rates = ENCODINGS[self.encoding].rates_hz
        return next((known for known in rates if known >= rate_hz), rates[-1]) if rates else rate_hz


FORMATS = {  # the names of the native protocol; OpenAI's are among them
    "wav": Sound("linear16", is_wav=True),
    "pcm": Sound("linear16"),
    "mulaw": Sound("mulaw"),
    "alaw": Sound("alaw"),
    "flac": Sound("flac"),
    "mp3": Sound("mp3"),
    "opus": Sound("opus"),
    "aac": Sound("aac"),
}


def wav_header(encoding: Encoding, rate_hz: int) -> bytes:
    """A RIFF header of mono audio whose length nobody knows yet: players read to the end."""
    size = encoding.sample_bytes
    layout = struct.pack("<HHIIHH", encoding.wav_tag, 1, rate_hz, rate_hz * size, size, 8 * size)
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
    """Mono pcm_s16le in, bytes of the format out, as far as the codec gives them: at most a frame or an Ogg page is kept. One thread."""

    def __init__(self, sound: Sound, rate_hz: int) -> None:
        """``rate_hz`` is that of what is fed; the file has ``sound.rate_near(rate_hz)``."""
        self._rate_hz = rate_hz
        encoding = ENCODINGS[sound.encoding]
        self._head = wav_header(encoding, rate_hz) if sound.is_wav else b""
        self._sink = _Sink()
        self._container: Any = None
        if sound.encoding != "linear16":
            self._container = av.open(self._sink, "w", format=encoding.muxer, options=_PAGE_US if encoding.muxer == "ogg" else {})
            self._stream = self._container.add_stream(encoding.codec, rate=sound.rate_near(rate_hz), layout="mono")
            if encoding.bit_rate:
                self._stream.bit_rate = sound.bit_rate or encoding.bit_rate

    def feed(self, pcm_s16le: bytes) -> bytes:
        return self._take_head() + (pcm_s16le if self._container is None else self._encode(pcm_s16le))

    def finish(self) -> bytes:
        """The rest. Nothing may be fed after it."""
        head = self._take_head()
        if self._container is None:
            return head
        for packet in self._stream.encode(None):
            self._container.mux(packet)
        self._container.close()
        return head + self._sink.take()

    def _take_head(self) -> bytes:
        head, self._head = self._head, b""
        return head

    def _encode(self, pcm_s16le: bytes) -> bytes:
        if pcm_s16le:
            frame = av.AudioFrame.from_ndarray(np.frombuffer(pcm_s16le, dtype="<i2")[None, :], format="s16", layout="mono")
            frame.sample_rate = self._rate_hz
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        return self._sink.take()
