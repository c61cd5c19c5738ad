"""One file, several sessions: each channel of a recording heard on its own, and raw audio as a file that says what it is."""

from __future__ import annotations

import asyncio
import tempfile
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np
from fastapi import Request

from services.gateway.audio.decode import MAX_CHANNELS, RAW_ENCODINGS, channels_of, decoded, raw_decoder, sniff
from services.gateway.files.run import FileResult, FileRun
from services.gateway.files.uploads import SPOOL_BYTES
from services.gateway.requests.parameters import Asked
from services.gateway.sessions.hub import SessionHub
from services.gateway.sessions.session import LiveSession
from voxrelay.errors import Refused

RAW_PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Recordings:
    """What a file is heard as: one recording for all its channels mixed, or one a channel. Close them all in the end."""

    spools: tuple[IO[bytes], ...]

    def close(self) -> None:
        for spool in self.spools:
            spool.close()


def separate(spool: IO[bytes], asked: Asked, max_audio_s: float, *, is_by_channel: bool) -> Recordings:
    """The file's recordings; the file itself where it is a container whose channels are mixed anyway. To be called on a thread.

    Raises ``Refused`` as ``decoded`` does, and INVALID_PARAMETER for more channels than are heard apart.
    """
    is_raw = asked.is_encoding_given and asked.encoding in RAW_ENCODINGS and not sniff(_head(spool))
    if not is_raw and not is_by_channel:
        return Recordings((spool,))
    channels = asked.config.channels if is_raw else channels_of(spool)
    spool.seek(0)
    if channels > MAX_CHANNELS:
        raise Refused("INVALID_PARAMETER", f"{channels} channels are more than the {MAX_CHANNELS} that are heard apart; leave multichannel out.")
    pieces = _raw_pieces(spool, asked, max_audio_s) if is_raw else decoded(spool, max_audio_s, channels)
    count = channels if is_by_channel else 1
    recordings = Recordings(tuple(tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) for _ in range(count)))  # noqa: SIM115  # closed together
    try:
        _write(recordings.spools, pieces, channels)
    except BaseException:
        recordings.close()
        raise
    return recordings


def _head(spool: IO[bytes]) -> bytes:
    head = spool.read(16)
    spool.seek(0)
    return head


def _raw_pieces(spool: IO[bytes], asked: Asked, max_audio_s: float) -> Iterator[tuple[int, bytes]]:
    decoder = raw_decoder(asked.encoding)
    rate_hz, frame_bytes = asked.config.sample_rate_hz, 2 * asked.config.channels
    held, size = b"", 0
    while data := spool.read(RAW_PIECE_BYTES):
        held += decoder.feed(data)
        whole = len(held) // frame_bytes * frame_bytes
        size += whole
        if size > max_audio_s * rate_hz * frame_bytes:
            raise Refused("AUDIO_TOO_LONG", f"More than {max_audio_s:.0f} s of audio; send it in parts.")
        yield rate_hz, held[:whole]
        held = held[whole:]


def _write(spools: Sequence[IO[bytes]], pieces: Iterator[tuple[int, bytes]], channels: int) -> None:
    """Interleaved samples, each channel to its own wav; to a single one their mean."""
    files: list[wave.Wave_write] = []
    for rate_hz, pcm in pieces:
        if not files:
            files = [_wav(spool, rate_hz) for spool in spools]
        frames = np.frombuffer(pcm, dtype="<i2").reshape(-1, channels)
        heard = [frames[:, channel] for channel in range(channels)] if len(files) > 1 else [frames.mean(axis=1).astype("<i2")]
        for file, samples in zip(files, heard, strict=True):
            file.writeframesraw(samples.tobytes())
    for file, spool in zip(files, spools, strict=True):
        file.close()  # writes the length into the header, and leaves the spool open
        spool.seek(0)


def _wav(spool: IO[bytes], rate_hz: int) -> wave.Wave_write:
    file = wave.open(spool, "wb")  # noqa: SIM115  # closed when all is written
    file.setnchannels(1)
    file.setsampwidth(2)
    file.setframerate(rate_hz)
    return file


async def run_all(
    hub: SessionHub, sessions: Sequence[LiveSession], asked: Asked, recordings: Recordings, request: Request | None
) -> list[FileResult]:
    """Each recording as its session, all at once; results in the channels' order. The first that fails ends them all and is raised."""
    watched = (request, *[None] * (len(sessions) - 1))  # one looks whether the client is still there
    runs = [
        asyncio.create_task(FileRun(hub, session, asked).run(spool, looked))
        for session, spool, looked in zip(sessions, recordings.spools, watched, strict=True)
    ]
    try:
        return list(await asyncio.gather(*runs))
    finally:
        for run in runs:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)
