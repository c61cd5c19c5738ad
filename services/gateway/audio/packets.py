"""Speech codecs whose packets come without a container: opus, speex, AMR and G.729 through libav."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av

from voxrelay.errors import Refused

# Bytes of a frame behind its header byte, by frame type (RFC 4867, the storage format without its magic number).
_AMR_BYTES = {
    "amr-nb": (12, 13, 15, 17, 19, 20, 26, 31, 5, 0, 0, 0, 0, 0, 0, 0),
    "amr-wb": (17, 23, 32, 36, 40, 46, 50, 58, 60, 5, 0, 0, 0, 0, 0, 0),
}
_AMR_MAGIC = {"amr-nb": b"#!AMR\n", "amr-wb": b"#!AMR-WB\n"}
_G729_BYTES = 10  # of 10 ms
# libav's own AMR decoders do not know the frames of silence that telephones send; these do.
_CODECS = {"opus": "opus", "speex": "speex", "amr-nb": "libopencore_amrnb", "amr-wb": "libopencore_amrwb", "g729": "g729"}
MOST_PACKETS = 250  # of one message: five seconds. A frame of AMR may be one byte, and every one of them is 20 ms
_RATES_HZ = {"opus": 48_000, "amr-nb": 8_000, "amr-wb": 16_000, "g729": 8_000}


def check_channels(encoding: str, channels: int) -> None:
    """Opus has one channel or two, the others one. Raises ``Refused`` INVALID_PARAMETER for packets that cannot have so many."""
    most = 2 if encoding == "opus" else 1
    if encoding in _CODECS and channels > most:
        raise Refused("INVALID_PARAMETER", f"'channels' of {encoding} can be {most} at most.")


class PacketDecoder:
    """``opus`` and ``speex``: one message is one packet. AMR and G.729 frames tell where they end, so that messages may cut them anywhere.

    ``rate_hz`` is what comes out: speex has the rate it was announced with, the others their own.
    """

    def __init__(self, encoding: str, announced_rate_hz: int, channels: int) -> None:
        self._encoding, self._rest, self._is_first = encoding, b"", True
        self.rate_hz = _RATES_HZ.get(encoding, announced_rate_hz)
        layout = "mono" if channels == 1 else "stereo"
        codec: Any = av.CodecContext.create(_CODECS[encoding], "r")
        codec.sample_rate = self.rate_hz
        codec.layout = layout
        self._codec = codec
        self._resampler = av.AudioResampler("s16", layout, self.rate_hz)

    def feed(self, data: bytes) -> bytes:
        """Interleaved pcm_s16le of what is whole. Raises ``Refused`` INVALID_AUDIO_FORMAT, MESSAGE_TOO_LARGE."""
        try:
            return b"".join(
                bytes(piece.to_ndarray().tobytes())
                for packet in self._packets(data)
                for frame in self._codec.decode(av.Packet(packet))
                for piece in self._resampler.resample(frame)
            )
        except (av.error.FFmpegError, ValueError) as error:
            raise Refused("INVALID_AUDIO_FORMAT", f"A packet is no {self._encoding}; send one packet a message.") from error

    def _packets(self, data: bytes) -> Iterator[bytes]:
        if self._encoding in ("opus", "speex"):
            yield data
            return
        data = self._rest + data
        magic = _AMR_MAGIC.get(self._encoding, b"")
        if self._is_first and magic and magic.startswith(data[: len(magic)]):
            if len(data) < len(magic):
                self._rest = data
                return
            data = data[len(magic) :]
        self._is_first = False
        at = count = 0
        while at < len(data) and len(data) - at >= (size := self._frame_bytes(data[at])):
            if (count := count + 1) > MOST_PACKETS:
                raise Refused(
                    "MESSAGE_TOO_LARGE", f"More than {MOST_PACKETS} frames of {self._encoding} in one message; send chunks of 20 to 250 ms."
                )
            yield data[at : at + size]
            at += size
        self._rest = data[at:]

    def _frame_bytes(self, head: int) -> int:
        return _G729_BYTES if self._encoding == "g729" else 1 + _AMR_BYTES[self._encoding][head >> 3 & 0x0F]
