"""One file as one session in the bulk lane: decoded on a thread, sent as fast as the log takes it, its results collected."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import IO

from fastapi import Request

from services.gateway.audio.decode import decoded, sniff
from services.gateway.requests.parameters import Asked
from services.gateway.sessions.hub import SessionHub
from services.gateway.sessions.session import LiveSession
from services.gateway.sessions.updates import Closed, Failed, Final
from voxrelay.errors import Refused
from voxrelay.events import Engine
from voxrelay.join import JoinedUtterance

VANISH_LOOK_S = 1.0
PIECES_A_HOP = 64


@dataclass(frozen=True, slots=True)
class FileResult:
    """``utterances`` in the order they were spoken, with the speakers as they were found last."""

    session_id: str
    audio_seconds: float
    utterances: tuple[JoinedUtterance, ...]
    engine: Engine = field(default_factory=Engine)  # it found the words; nameless where there are none


def pieces_of(spool: IO[bytes], max_audio_s: float) -> Iterator[tuple[int, bytes]]:
    """Rate and mono pcm_s16le of what the bytes say it is. Raises ``Refused``."""
    head = spool.read(16)
    spool.seek(0)
    if not sniff(head) and head[:4] != b"RIFF" and head.strip().isascii() and head.decode("ascii", "replace").isprintable():
        raise Refused("INVALID_AUDIO_FORMAT", "This is text, not audio; send wav, flac, mp3, m4a, ogg, webm, mp4 or mkv.")
    yield from decoded(spool, max_audio_s)


async def in_thread(pieces: Iterator[tuple[int, bytes]]) -> AsyncIterator[tuple[int, bytes]]:
    """Decoding holds no event loop; some pieces a hop. Raises ``Refused`` after what came before it."""

    def some() -> tuple[list[tuple[int, bytes]], Refused | None]:
        taken = []
        try:
            for piece in islice(pieces, PIECES_A_HOP):
                taken.append(piece)
        except Refused as refusal:
            return taken, refusal
        return taken, None

    while True:
        taken, refusal = await asyncio.to_thread(some)
        for piece in taken:
            yield piece
        if refusal is not None:
            raise refusal
        if not taken:
            return


async def _watch(request: Request | None) -> None:
    """Ends when the client has gone away."""
    while request is None or not await request.is_disconnected():
        await asyncio.sleep(VANISH_LOOK_S)


class FileRun:
    """One file as one session."""

    def __init__(self, hub: SessionHub, session: LiveSession, asked: Asked) -> None:
        self._hub, self._session, self._asked = hub, session, asked

    async def run(self, spool: IO[bytes], request: Request | None = None) -> FileResult:
        """Everything, when every service has finished; given up when the request's client goes away.

        Raises ``Refused``; finished results are kept under the session's id even then.
        """
        utterances, engine = [], Engine()
        audio_seconds = 0.0
        async with aclosing(self.results(spool, request)) as results:
            async for result in results:
                if isinstance(result, Final):
                    utterances.append(result.utterance)
                    engine = result.engine
                else:
                    audio_seconds = result.audio_seconds
        return FileResult(self._session.id, audio_seconds, tuple(utterances), engine)

    async def results(self, spool: IO[bytes], request: Request | None = None) -> AsyncGenerator[Final | Closed]:
        """The finals, each as it is handed out, and ``Closed`` last. Raises as ``run`` does; close it when you stop before its end."""
        sending = asyncio.create_task(self._send(spool))
        watching = asyncio.create_task(_watch(request))
        sending.add_done_callback(self._sending_ended)
        watching.add_done_callback(self._client_left)
        try:
            async for update in self._session.updates():
                if isinstance(update, Final | Closed):
                    yield update
                elif isinstance(update, Failed):
                    if sending.done():
                        sending.result()
                    raise Refused(update.code, update.message)
        finally:
            for task in (sending, watching):
                task.cancel()
            await asyncio.gather(sending, watching, return_exceptions=True)
            await self._session.close("vanished")
            self._session.leave()

    def _sending_ended(self, sending: asyncio.Task[None]) -> None:
        """What kept the file from being sent ends the results."""
        if not sending.cancelled() and sending.exception() is not None:
            self._session.fail("INTERNAL", "The file could not be sent.")

    def _client_left(self, watching: asyncio.Task[None]) -> None:
        if not watching.cancelled():
            self._session.fail("INTERNAL", "The client went away.")

    async def _send(self, spool: IO[bytes]) -> None:
        async for rate_hz, pcm in in_thread(pieces_of(spool, self._hub.settings.max_audio_s)):
            if not self._session.has_begun:
                await self._session.begin(replace(self._asked.config, sample_rate_hz=rate_hz, channels=1, interim_results=False))
            await self._session.send_audio(pcm)
        await self._session.close()
