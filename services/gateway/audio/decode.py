"""What clients send becomes interleaved pcm_s16le: raw encodings by table, containers through libav, fed as they arrive.

Bounded, whatever a file claims: formats and codecs by list, audio streams alone, so many bytes read and so much processor time spent for what comes
out, no single allocation of libav above a limit, so much audio and no more. Closing ends a decoder's thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import av
import numpy as np

from voxrelay.errors import Refused
from voxrelay.telemetry import fields

RAW_ENCODINGS = ("linear16", "float32", "mulaw", "alaw")
CONTAINERS = ("webm", "ogg", "flac", "wav", "mp3", "mp4", "aac")
PACKET_ENCODINGS = ("opus", "amr-nb", "amr-wb", "speex", "g729")
ENCODINGS = (*RAW_ENCODINGS, *PACKET_ENCODINGS, *CONTAINERS, "auto")
MIN_RATE_HZ, MAX_RATE_HZ = 8_000, 48_000
MAX_CHANNELS = 8
PROBE_BYTES = 16
FEED_PIECES = 64  # chunks of input waiting for the decoder; more makes the client wait
TAKEN_PIECES = 64  # decoded pieces waiting for the session; more makes the decoder wait
SILENT_BYTES = 4 * 1024 * 1024  # input of a live container without a single sample out of it
SILENT_FILE_BYTES = 64 * 1024 * 1024  # the same of a file, at its start or anywhere in it: a large index or picture, not a stuffed one
PROBE_CONTAINER_BYTES = 2 * 1024 * 1024
SPARE_S = 10.0  # processor time any container may take
LEAST_SPEED = 20.0  # and a second more for so many seconds of audio out of it; real files decode hundreds of times faster
MIN_FILE_RATE_HZ, MAX_FILE_RATE_HZ = 1_000, 768_000
MAX_FILE_CHANNELS = 32
MOST_STREAMS = 32  # tracks of a film with many languages; more is no film
ALLOCATION_BYTES = 32 * 1024 * 1024  # the index of eight hours of AAC has 32 MB

# What libav may try. Playlists, which open other files and addresses, are not among them, nor what only decodes pictures.
FORMATS = ("wav", "w64", "aiff", "au", "caf", "flac", "mp3", "aac", "ogg", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "amr", "amrnb", "amrwb")
CODECS = (
    *("aac", "aac_latm", "mp3", "mp3float", "mp2", "mp2float", "opus", "libopus", "vorbis", "flac", "alac", "ac3", "eac3", "speex"),
    *("amrnb", "amrwb", "libopencore_amrnb", "libopencore_amrwb", "gsm", "gsm_ms", "adpcm_ms", "adpcm_ima_wav", "adpcm_ima_qt"),
    *("pcm_u8", "pcm_s8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be"),
    *("pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be", "pcm_alaw", "pcm_mulaw"),
)

FAILURES = (av.error.FFmpegError, ValueError, OSError, MemoryError, OverflowError)  # what a container makes libav and its wrapper raise

log = logging.getLogger(__name__)

# A header without an end is gathered in one piece of memory, and grows with what is read.
ctypes.CDLL(av._core.__file__).av_max_alloc(ctypes.c_size_t(ALLOCATION_BYTES))


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


class _Bounded(io.RawIOBase):
    """The source as libav reads it, which counts: so much may be read, and so much processor time spent, for what comes out.

    libav works between two reads or between two frames, so a container that leads it round in circles is caught at one of them.
    """

    def __init__(self, source: Any) -> None:
        self._source = source
        self._silent_bytes = 0
        self._left_s = SPARE_S
        self._since_s = time.thread_time()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._source.seekable())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._source.seek(offset, whence))

    def tell(self) -> int:
        return int(self._source.tell())

    def read(self, size: int = -1) -> bytes:
        self._count()
        if self.is_spent:
            return b""  # the end, for libav; an error would be asked about again and again
        data: bytes = self._source.read(size)
        self._silent_bytes += len(data)
        return data

    def begin(self) -> None:
        """Work goes on, perhaps on another thread: what passed in between was not the container's doing."""
        self._since_s = time.thread_time()

    def gave(self, audio_s: float) -> None:
        """So much audio came of it."""
        self._silent_bytes = 0
        self._left_s += audio_s / LEAST_SPEED
        self._count()

    @property
    def is_spent(self) -> bool:
        """Whether it has had more than it is worth. Nothing more is read then."""
        return self._silent_bytes > SILENT_FILE_BYTES or self._left_s < 0

    def _count(self) -> None:
        now_s = time.thread_time()
        self._left_s -= now_s - self._since_s
        self._since_s = now_s


def _no_other_file(*_: Any) -> Any:
    raise PermissionError("a container opens no other file")


def _open(source: _Bounded) -> Any:
    limits = {
        "format_whitelist": ",".join(FORMATS),
        "codec_whitelist": ",".join(CODECS),
        "protocol_whitelist": "",
        "probesize": str(PROBE_CONTAINER_BYTES),
        "max_streams": str(MOST_STREAMS),
    }
    return av.open(source, "r", container_options=limits, metadata_errors="ignore", io_open=_no_other_file)


def _audio_stream(container: Any) -> Any:
    if not container.streams.audio:
        raise Refused("INVALID_AUDIO_FORMAT", "There is no audio stream in this file.")
    chosen = container.streams.audio[0]
    for stream in container.streams:
        if stream is not chosen:
            stream.discard = av.stream.Discard.all
    codec = chosen.codec_context
    if codec is None or codec.name not in CODECS:
        raise Refused("UNSUPPORTED_ENCODING", "The audio in this file is of a codec that is not taken; convert it to flac, mp3, opus or wav.")
    if chosen.rate and not MIN_FILE_RATE_HZ <= chosen.rate <= MAX_FILE_RATE_HZ:
        raise Refused("UNSUPPORTED_SAMPLE_RATE", f"Files may have {MIN_FILE_RATE_HZ} to {MAX_FILE_RATE_HZ} Hz.")
    return chosen


class _Samples:
    """Frames of any rate and layout, which may change in mid-stream, as pcm_s16le at one rate: mono, or with the channels of the first frame."""

    def __init__(self, rate_hz: int, is_mixed: bool) -> None:
        self.rate_hz = rate_hz
        self._layout = "mono" if is_mixed else ""
        self._shape: tuple[Any, ...] = ()
        self._resampler: Any = None

    def take(self, frame: Any) -> Iterator[tuple[int, bytes]]:
        """How many samples a channel, and they themselves."""
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape != self._shape:
            yield from self.finish()
            if not MIN_FILE_RATE_HZ <= frame.sample_rate <= MAX_FILE_RATE_HZ or len(frame.layout.channels) > MAX_FILE_CHANNELS:
                raise Refused("UNSUPPORTED_SAMPLE_RATE", f"Files may have {MIN_FILE_RATE_HZ} to {MAX_FILE_RATE_HZ} Hz, {MAX_FILE_CHANNELS} channels.")
            self._layout = self._layout or frame.layout.name
            self._shape, self._resampler = shape, av.AudioResampler("s16", self._layout, self.rate_hz)
        frame.pts = None  # times that a file claims would be filled with silence
        for piece in self._resampler.resample(frame):
            yield piece.samples, piece.to_ndarray().tobytes()

    def finish(self) -> Iterator[tuple[int, bytes]]:
        if self._resampler is not None:
            for piece in self._resampler.resample(None):
                yield piece.samples, piece.to_ndarray().tobytes()


def channels_of(source: Any) -> int:
    """How many channels the audio in this container has. Raises ``Refused`` as ``decoded`` does."""
    bounded = _Bounded(source)
    try:
        with _open(bounded) as container:
            return int(_audio_stream(container).channels)
    except FAILURES as error:
        raise _refusal(0, bounded) from error


def decoded(source: Any, max_audio_s: float, channels: int = 1) -> Iterator[tuple[int, bytes]]:
    """Rate and pcm_s16le, piece by piece, of any container of ``FORMATS`` in a binary file; above 48 kHz as 48 kHz, below 8 kHz as 8 kHz.

    One channel is what the container's channels are mixed to; more come interleaved as they are, and the container must have as many.
    Raises ``Refused``: INVALID_AUDIO_FORMAT (no audio in it, or other channels), TRUNCATED_AUDIO (it ends in the middle of something),
    AUDIO_TOO_LONG, UNSUPPORTED_ENCODING, UNSUPPORTED_SAMPLE_RATE.
    """
    bounded = _Bounded(source)
    samples = 0
    try:
        with _open(bounded) as container:
            stream = _audio_stream(container)
            if channels not in (1, stream.channels):
                raise Refused("INVALID_AUDIO_FORMAT", f"The audio has {stream.channels} channels and not {channels}.")
            wanted = _Samples(min(max(stream.rate or 16_000, MIN_RATE_HZ), MAX_RATE_HZ), is_mixed=channels == 1)
            for count, pcm in _pieces(container, stream, wanted):
                samples += count
                if samples > max_audio_s * wanted.rate_hz:
                    raise Refused("AUDIO_TOO_LONG", f"More than {max_audio_s:.0f} s of audio; send it in parts.")
                bounded.gave(count / wanted.rate_hz)
                if bounded.is_spent:
                    break
                yield wanted.rate_hz, pcm
                bounded.begin()
    except FAILURES as error:
        if not isinstance(error, av.error.FFmpegError):
            log.info("A container could not be decoded, and not for a reason that libav has a code for.", extra=fields(error=type(error).__name__))
        raise _refusal(samples, bounded) from error
    if bounded.is_spent:
        raise _refusal(samples, bounded)
    if not samples:
        raise Refused("TRUNCATED_AUDIO", "The file ends before its first sample; send it whole.")


def _pieces(container: Any, stream: Any, wanted: _Samples) -> Iterator[tuple[int, bytes]]:
    for frame in container.decode(stream):
        yield from wanted.take(frame)
    yield from wanted.finish()


def _refusal(samples: int, bounded: _Bounded) -> Refused:
    if bounded.is_spent:
        return Refused("INVALID_AUDIO_FORMAT", "This file takes far more work than the audio in it is worth; convert it to flac or wav.")
    if samples:
        return Refused("TRUNCATED_AUDIO", "The audio breaks off or is damaged; what came before it was processed.")
    return Refused(
        "INVALID_AUDIO_FORMAT",
        "The bytes are no audio that can be decoded, or break off within their header; send wav, flac, mp3, m4a, ogg, webm, mp4 or mkv.",
    )


class ContainerDecoder:
    """Decodes a container while it arrives, on a thread of its own that ends with ``finish`` or ``abandon``.

    ``on_audio(rate, pcm)``, ``on_end(None | Refused)`` are called from that thread; it waits while ``TAKEN_PIECES`` are not yet ``taken``.
    """

    def __init__(
        self, max_audio_s: float, on_audio: Callable[[int, bytes], None], on_end: Callable[[Refused | None], None], channels: int = 1
    ) -> None:
        self._max_audio_s, self._on_audio, self._on_end, self._channels = max_audio_s, on_audio, on_end, channels
        self._pipe = _Pipe()
        self._room = threading.Semaphore(TAKEN_PIECES)
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
        if not self._put(data):
            return False
        self._fed += len(data)
        return True

    def try_finish(self) -> bool:
        """No more input; ``on_end`` follows. False when the decoder has enough waiting: try again in a moment."""
        return self._put(None)

    def taken(self) -> None:
        """A piece that ``on_audio`` gave has gone on its way."""
        self._room.release()

    def abandon(self) -> None:
        """Stop at the next piece; nothing is reported any more."""
        self._is_abandoned = True
        self._room.release()
        while not self._put(None):
            with contextlib.suppress(queue.Empty):
                self._pipe.pieces.get_nowait()

    def _put(self, piece: bytes | None) -> bool:
        try:
            self._pipe.pieces.put_nowait(piece)
        except queue.Full:
            return not self._thread.is_alive()  # nobody reads any more: let it go
        return True

    def _run(self) -> None:
        failure: Refused | None = None
        try:
            for rate_hz, pcm in decoded(self._pipe, self._max_audio_s, self._channels):
                self._produced += len(pcm)
                self._room.acquire()
                if self._is_abandoned:
                    return
                self._on_audio(rate_hz, pcm)
        except Refused as refused:
            failure = refused
        except Exception:
            log.exception("A container's decoder failed.")  # whoever waits for its end must hear of it
            failure = Refused("INTERNAL", "The audio could not be decoded for a reason of ours.")
        if not self._is_abandoned:
            self._on_end(failure)
