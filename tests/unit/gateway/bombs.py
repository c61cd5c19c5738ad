"""Files made to hurt whoever decodes them, each from a few bytes or from a real file that was altered."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np

RATE_HZ = 16_000


def tone(seconds: float = 2.0, rate_hz: int = RATE_HZ) -> np.ndarray:
    return (np.sin(np.arange(int(seconds * rate_hz)) * 2 * np.pi * 220 / rate_hz) * 8000).astype("<i2")


def container(name: str, codec: str, rate_hz: int = RATE_HZ, samples: np.ndarray | None = None, metadata: dict[str, str] | None = None) -> bytes:
    """A real file of this format and codec: two seconds of a tone."""
    buffer = io.BytesIO()
    samples = tone(rate_hz=rate_hz) if samples is None else samples
    with av.open(buffer, "w", format=name) as file:
        stream = file.add_stream(codec, rate=rate_hz, layout="mono")
        file.metadata.update(metadata or {})
        frame = av.AudioFrame.from_ndarray(samples[None, :], format="s16", layout="mono")
        frame.sample_rate = rate_hz
        resampler = av.AudioResampler(stream.format, "mono", rate_hz)
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            file.mux(stream.encode(piece))
        file.mux(stream.encode(None))
    return buffer.getvalue()


REAL: dict[str, tuple[str, str, int]] = {
    "wav": ("wav", "pcm_s16le", RATE_HZ),
    "flac": ("flac", "flac", RATE_HZ),
    "mp3": ("mp3", "libmp3lame", RATE_HZ),
    "aac": ("adts", "aac", RATE_HZ),
    "m4a": ("mp4", "aac", RATE_HZ),
    "ogg": ("ogg", "libopus", 48_000),
    "webm": ("webm", "libopus", 48_000),
    "mkv": ("matroska", "aac", RATE_HZ),
    "aiff": ("aiff", "pcm_s16be", RATE_HZ),
    "caf": ("caf", "pcm_s16le", RATE_HZ),
}


def wav(rate_hz: int = RATE_HZ, channels: int = 1, bits: int = 16, block: int | None = None, data_bytes: int | None = None, tag: int = 1) -> bytes:
    """A WAV whose header says so, whatever its second of samples is."""
    samples = tone(1.0).tobytes()
    block = channels * bits // 8 if block is None else block
    form = struct.pack("<HHIIHH", tag, channels & 0xFFFF, rate_hz & 0xFFFFFFFF, (rate_hz * block) & 0xFFFFFFFF, block & 0xFFFF, bits)
    size = len(samples) if data_bytes is None else data_bytes
    return b"RIFF" + struct.pack("<I", 0xFFFFFFFF) + b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", size) + samples


def rf64_of_terabytes() -> bytes:
    plain = wav(data_bytes=0xFFFFFFFF)
    sizes = struct.pack("<QQQI", 1 << 42, 1 << 42, 1 << 41, 0)
    return b"RF64" + plain[4:12] + b"ds64" + struct.pack("<I", len(sizes)) + sizes + plain[12:]


def flac_of_terabytes() -> bytes:
    """STREAMINFO says 2^36 - 1 samples."""
    data = bytearray(container("flac", "flac"))
    at = data.index(b"fLaC") + 8 + 13
    data[at] |= 0x0F
    data[at + 1 : at + 5] = b"\xff\xff\xff\xff"
    return bytes(data)


def _atom(data: bytearray, name: bytes) -> int:
    """Where its content begins."""
    return data.index(name) + 4


def mp4_of_four_thousand_million_samples() -> bytes:
    """Its tables claim 2^32 - 16 samples of one byte."""
    data = bytearray(container("mp4", "aac"))
    many = struct.pack(">I", 0xFFFFFFF0)
    at = _atom(data, b"stsz")
    data[at + 4 : at + 12] = struct.pack(">I", 1) + many
    at = _atom(data, b"stts")
    data[at + 8 : at + 12] = many
    at = _atom(data, b"stsc")
    data[at + 12 : at + 16] = many
    return bytes(data)


def mp4_of_endless_chunks() -> bytes:
    data = bytearray(container("mp4", "aac"))
    for name in (b"stco", b"stts", b"stsc"):
        at = _atom(data, name)
        data[at + 4 : at + 8] = b"\xff\xff\xff\xff"
    return bytes(data)


def many_streams(count: int = 200) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as file:
        streams = [file.add_stream("pcm_s16le", rate=RATE_HZ, layout="mono") for _ in range(count)]
        frame = av.AudioFrame.from_ndarray(tone(0.1)[None, :], format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        for stream in streams:
            file.mux(stream.encode(frame))
    return buffer.getvalue()


def film(width: int = 1024, pictures: int = 3) -> bytes:
    """Pictures that say they are 16384 by 16384, beside a second of sound."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as file:
        video: Any = file.add_stream("mpeg4", rate=Fraction(3))
        video.width = video.height = width
        video.pix_fmt = "yuv420p"
        audio = file.add_stream("pcm_s16le", rate=RATE_HZ, layout="mono")
        for index in range(pictures):
            picture = av.VideoFrame(width, width, "yuv420p")
            picture.pts = index
            file.mux(video.encode(picture))
        file.mux(video.encode(None))
        frame = av.AudioFrame.from_ndarray(tone(1.0)[None, :], format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        file.mux(audio.encode(frame))
        file.mux(audio.encode(None))
    return buffer.getvalue().replace(b"\xb0\x82\x04\x00", b"\xb0\x82\x40\x00").replace(b"\xba\x82\x04\x00", b"\xba\x82\x40\x00")


def silent_flac(seconds: float) -> bytes:
    """Much silence in few bytes."""
    return container("flac", "flac", samples=np.zeros(int(seconds * RATE_HZ), "<i2"))


def rates_that_change() -> bytes:
    """ADTS frames of 16, then 44.1, then 8 kHz in one file."""
    return container("adts", "aac", 16_000) + container("adts", "aac", 44_100) + container("adts", "aac", 8_000)


class Endless(io.RawIOBase):
    """A file that begins so and goes on for ever; not seekable, or as long as it says."""

    def __init__(self, head: bytes, more: Callable[[], Iterator[bytes]]) -> None:
        self._rest, self._more = head, more()
        self.given = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while len(self._rest) < size:
            self._rest += next(self._more)
        given, self._rest = self._rest[:size], self._rest[size:]
        self.given += len(given)
        return given


def _ogg_page(kind: int, sequence: int, payload: bytes) -> bytes:
    lengths = b"\xff" * 255
    head = b"OggS" + struct.pack("<BBqIII", 0, kind, 0 if kind == 2 else -1, 7, sequence, 0)
    if kind == 2:
        lengths = bytes([len(payload)])
    page = bytearray(head + bytes([len(lengths)]) + lengths + payload)
    crc = 0
    for byte in page:
        crc = ((crc << 8) ^ _CRC[((crc >> 24) & 0xFF) ^ byte]) & 0xFFFFFFFF
    page[22:26] = struct.pack("<I", crc)
    return bytes(page)


def _crc_table() -> list[int]:
    table = []
    for index in range(256):
        value = index << 24
        for _ in range(8):
            value = ((value << 1) ^ 0x04C11DB7) & 0xFFFFFFFF if value & 0x80000000 else (value << 1) & 0xFFFFFFFF
        table.append(value)
    return table


_CRC = _crc_table()


def endless_ogg_headers() -> Endless:
    """Opus whose comment never ends: every page carries on the last."""
    first = _ogg_page(2, 0, b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 312, 48_000, 0, 0))
    second = _ogg_page(0, 1, (b"OpusTags" + struct.pack("<I", 0x7FFFFFFF)).ljust(255 * 255, b"x"))
    again = _ogg_page(1, 2, b"x" * 255 * 255)

    def more() -> Iterator[bytes]:
        while True:
            yield again

    return Endless(first + second, more)


def endless_matroska() -> Endless:
    """A segment of unknown size full of nothing: EBML voids."""

    def more() -> Iterator[bytes]:
        while True:
            yield b"\xec\x50\x00" + bytes(0x1000)

    return Endless(container("matroska", "aac")[:40] + b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff", more)


def endless_wav() -> Endless:
    def more() -> Iterator[bytes]:
        while True:
            yield bytes(1 << 20)

    return Endless(wav(data_bytes=0xFFFFFFFF), more)


def endless_id3() -> Endless:
    """Tags behind tags, and never any music."""

    def more() -> Iterator[bytes]:
        while True:
            yield b"ID3\x04\x00\x00\x00\x03\x7f\x7f" + (b"TXXX\x00\x03\x7f\x00\x00\x00" + bytes(0xFFFF - 10))[: (3 << 14 | 0x7F << 7 | 0x7F)]

    return Endless(b"", more)


def id3_picture(megabytes: int = 200) -> bytes:
    """An mp3 behind a picture of so many megabytes."""
    size = megabytes << 20

    def syncsafe(value: int) -> bytes:
        return bytes((value >> shift) & 0x7F for shift in (21, 14, 7, 0))

    picture = b"APIC" + syncsafe(size) + b"\x00\x00" + b"\x00image/png\x00\x03\x00".ljust(size, b"\x00")
    return b"ID3\x04\x00\x00" + syncsafe(len(picture)) + picture + container("mp3", "libmp3lame")


def vorbis_comment(megabytes: int = 15) -> bytes:
    """A FLAC with a comment of so many megabytes; its header has room for sixteen."""
    return container("flac", "flac", metadata={"comment": "x" * ((megabytes << 20) - 100)})


def matroska_of_crumbs(megabytes: int = 4) -> bytes:
    """A second of sound behind millions of one-byte packets of another track."""
    data = bytearray(film(64, 1))
    at = data.index(b"\x1f\x43\xb6\x75")  # the first cluster
    crumb = b"\xa3\x85\x81\x00\x00\x00\x00"
    cluster = b"\x1f\x43\xb6\x75\x01" + struct.pack(">Q", 3 + len(crumb) * (megabytes << 17))[1:] + b"\xe7\x81\x00" + crumb * (megabytes << 17)
    return bytes(data[:at] + cluster + data[at:])


PLAYLISTS: dict[str, str] = {
    "m3u8": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{url}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile {url}\n",
    "dash": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT9S"><Period>'
    '<AdaptationSet mimeType="audio/mp4"><Representation id="1"><BaseURL>{url}</BaseURL></Representation></AdaptationSet></Period></MPD>',
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n# {url}\n",
}
