"""What clients send becomes interleaved pcm_s16le: raw encodings by table, containers through libav, fed as they arrive.

Bounded: a container may give so much audio and no more, one that gives nothing is given up, and closing ends its thread.
"""

from __future__ import annotations

import io
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

import av
import numpy as np

from voxrelay.errors import Refused

RAW_ENCODINGS = ("linear16", "float32", "mulaw", "alaw")
CONTAINERS = ("webm", "ogg", "flac", "wav", "mp3", "mp4", "aac")
PACKET_ENCODINGS = ("opus", "amr-nb", "amr-wb", "speex", "g729")
ENCODINGS = (*RAW_ENCODINGS, *PACKET_ENCODINGS, *CONTAINERS, "auto")
MIN_RATE_HZ, MAX_RATE_HZ = 8_000, 48_000
MAX_CHANNELS = 8
PROBE_BYTES = 16
FEED_PIECES = 64  # chunks of input waiting for the decoder; more makes the client wait
SILENT_BYTES = 4 * 1024 * 1024  # input without a single sample out of it


def _mulaw_table() -> np.ndarray:
    """ITU-T G.711 mu-law: 256 codes to 16-bit samples."""
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = ((((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude).astype("<i2")


def _alaw_table() -> np.ndarray:
    """ITU-T G.711 A-law: 256 codes to 16-bit samples."""
    code = np.arange(256, dtype=np.int32) ^ 0x55
    exponent, mantissa = (code & 0x70) >> 4, (code & 0x0F) << 4
    magnitude = np.where(exponent == 0, mantissa + 8, (mantissa + 0x108) << np.maximum(exponent - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype("<i2")


_G711 = {"mulaw": _mulaw_table(), "alaw": _alaw_table()}


class RawDecoder(Protocol):
    def feed(self, data: bytes) -> bytes:
        """pcm_s16le of what is whole; the rest waits."""
        ...


class _Linear16:
    def feed(self, data: bytes) -> bytes:
        return data


class _G711Decoder:
    def __init__(self, law: str) -> None:
        self._table = _G711[law]

    def feed(self, data: bytes) -> bytes:
        return bytes(self._table[np.frombuffer(data, dtype=np.uint8)].tobytes())


class _Float32:
    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        data = self._rest + data
        whole = len(data) // 4 * 4
        self._rest = data[whole:]
        samples = np.frombuffer(data[:whole], dtype="<f4")
        if not np.isfinite(samples).all():
            raise Refused("INVALID_AUDIO_FORMAT", "float32 audio holds values that are no numbers; send samples between -1 and 1.")
        return bytes(np.clip(np.rint(samples * 32768.0), -32768, 32767).astype("<i2").tobytes())


def raw_decoder(encoding: str) -> RawDecoder:
    """For one of ``RAW_ENCODINGS``."""
    if encoding == "linear16":
        return _Linear16()
    return _Float32() if encoding == "float32" else _G711Decoder(encoding)


def check_rate(sample_rate_hz: int) -> None:
    if not MIN_RATE_HZ <= sample_rate_hz <= MAX_RATE_HZ:
        message = f"{sample_rate_hz} Hz is not supported; send audio of {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz."
        raise Refused("UNSUPPORTED_SAMPLE_RATE", message)


def _begins_layer_3(head: bytes) -> bool:
    """A frame header of MPEG layer III with a bit rate and a sampling rate that exist: FF FF alone is a quiet sample."""
    return len(head) > 2 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2 and head[2] & 0xF0 != 0xF0 and head[2] & 0x0C != 0x0C


def sniff(head: bytes) -> str:
    """The container that the first bytes (16 are enough) say it is; empty for none that is known."""
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "webm"
    if head[:4] == b"OggS":
        return "ogg"
    if head[:4] == b"fLaC":
        return "flac"
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return "wav"
    if head[4:8] == b"ftyp":
        return "mp4"
    if head[:3] == b"ID3":
        return "mp3"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return "aac"
    return "mp3" if _begins_layer_3(head) else ""


class _Pipe(io.RawIOBase):
    """What the client sent, as the file libav reads. ``read`` waits for more; None in the queue is the end."""

    def __init__(self) -> None:
        self.pieces: queue.Queue[bytes | None] = queue.Queue(FEED_PIECES)
        self._rest = b""
        self._is_ended = False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while not self._rest and not self._is_ended:
            piece = self.pieces.get()
            if piece is None:
                self._is_ended = True
            else:
                self._rest = piece
        given, self._rest = (self._rest, b"") if size < 0 else (self._rest[:size], self._rest[size:])
        return given


def decoded(source: io.RawIOBase | io.BufferedIOBase | str, max_audio_s: float) -> Iterator[tuple[int, bytes]]:
    """Rate and mono pcm_s16le, piece by piece, of any container libav reads. Rates above 48 kHz come as 48 kHz, below 8 kHz as 8 kHz.

    Raises ``Refused``: INVALID_AUDIO_FORMAT (no audio in it), TRUNCATED_AUDIO (it ends in the middle of something), AUDIO_TOO_LONG.
    """
    try:
        container = av.open(source, "r", metadata_errors="ignore")
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise Refused(
            "INVALID_AUDIO_FORMAT",
            "The bytes are no audio that can be decoded, or break off within their header; send wav, flac, mp3, m4a, ogg, webm, mp4 or mkv.",
        ) from error
    with container:
        if not container.streams.audio:
            raise Refused("INVALID_AUDIO_FORMAT", "There is no audio stream in this file.")
        stream = container.streams.audio[0]
        rate_hz = min(max(stream.rate or 16_000, MIN_RATE_HZ), MAX_RATE_HZ)
        resampler = av.AudioResampler("s16", "mono", rate_hz)
        samples = 0
        try:
            for frame in container.decode(stream):
                for piece in resampler.resample(frame):
                    samples += piece.samples
                    if samples > max_audio_s * rate_hz:
                        raise Refused("AUDIO_TOO_LONG", f"More than {max_audio_s:.0f} s of audio; send it in parts.")
                    yield rate_hz, piece.to_ndarray().tobytes()
            for piece in resampler.resample(None):
                yield rate_hz, piece.to_ndarray().tobytes()
        except av.error.FFmpegError as error:
            if samples:
                raise Refused("TRUNCATED_AUDIO", "The audio breaks off or is damaged; what came before it was processed.") from error
            raise Refused("INVALID_AUDIO_FORMAT", "The audio in this file cannot be decoded.") from error
        if not samples:
            raise Refused("TRUNCATED_AUDIO", "The file ends before its first sample; send it whole.")


class ContainerDecoder:
    """Decodes a container while it arrives, on a thread of its own that ends with ``finish`` or ``abandon``.

    ``on_audio(rate, pcm)``, ``on_end(None | Refused)`` are called from that thread.
    """

    def __init__(self, max_audio_s: float, on_audio: Callable[[int, bytes], None], on_end: Callable[[Refused | None], None]) -> None:
        self._max_audio_s, self._on_audio, self._on_end = max_audio_s, on_audio, on_end
        self._pipe = _Pipe()
        self._fed = 0
        self._produced = 0
        self._is_abandoned = False
        self._thread = threading.Thread(target=self._run, name="container-decoder", daemon=True)
        self._thread.start()

    def try_feed(self, data: bytes) -> bool:
        """False when the decoder has enough waiting: try again in a moment. Raises ``Refused`` when all this input gave no audio."""
        if self._fed > SILENT_BYTES and not self._produced:
            raise Refused(
                "INVALID_AUDIO_FORMAT", "Megabytes came without a single sample in them; is this an index-at-the-end mp4? Send it as a file."
            )
        try:
            self._pipe.pieces.put_nowait(data)
        except queue.Full:
            return not self._thread.is_alive()  # nobody reads any more: let it go
        self._fed += len(data)
        return True

    def finish(self) -> None:
        """No more input. ``on_end`` follows."""
        self._pipe.pieces.put(None)

    def abandon(self) -> None:
        """Stop at the next piece; nothing is reported any more."""
        self._is_abandoned = True
        while True:
            try:
                self._pipe.pieces.put_nowait(None)
                return
            except queue.Full:
                self._pipe.pieces.get_nowait()

    def _run(self) -> None:
        failure: Refused | None = None
        try:
            for rate_hz, pcm in decoded(self._pipe, self._max_audio_s):
                if self._is_abandoned:
                    return
                self._produced += len(pcm)
                self._on_audio(rate_hz, pcm)
        except Refused as refused:
            failure = refused
        if not self._is_abandoned:
            self._on_end(failure)
