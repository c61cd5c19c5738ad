"""A WebSocket that speaks, in any protocol's words: reading and writing at the same time, limits, the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Sequence
from typing import Any, Protocol

from fastapi import WebSocket, WebSocketDisconnect

from services.gateway.requests.bounds import parse_json
from services.gateway.sessions.hub import SessionHub
from services.gateway.sessions.session import LiveSession
from services.gateway.sockets.conversing import one_has_ended
from services.gateway.sockets.reader import reader_of
from services.gateway.speech.speaking import Audio, Cleared, Ended, Flushed, Speaking
from voxrelay.errors import Refused
from voxrelay.telemetry import REFUSALS

SEND_TIMEOUT_S = 60.0  # a client may play what it has before it reads on
LAST_WORDS_S = 5.0  # for a refusal to go out

Message = dict[str, Any]


class Dialect(Protocol):
    """A protocol's words; it keeps what one connection has to be remembered for."""

    edge: str

    def opening(self) -> Message:
        """The first message."""
        ...

    def take(self, message: Message) -> Sequence[Message]:
        """One message of the client, done; what is answered at once. Raises ``Refused`` for what ends the connection."""
        ...

    def tell(self, update: Audio | Flushed | Cleared | Ended) -> Sequence[Message]:
        """What is said about an update; a piece of audio follows it."""
        ...

    def refusal(self, refused: Refused) -> tuple[Message, int, str]:
        """The last message, and the code and reason of the close after it."""
        ...


async def converse(socket: WebSocket, hub: SessionHub, session: LiveSession, speaking: Speaking, dialect: Dialect) -> None:
    """Until the client closes, vanishes, is refused something or too slow. The session is left in any case."""
    try:
        await _send(socket, [dialect.opening()])
        await _read_and_write(socket, hub, speaking, dialect)
        await socket.close(1000)
    except Refused as refused:
        REFUSALS.labels(dialect.edge, refused.code).inc()
        message, code, reason = dialect.refusal(refused)
        try:
            async with asyncio.timeout(LAST_WORDS_S):
                await _send(socket, [message])
                await socket.close(code, reason)
        except (WebSocketDisconnect, TimeoutError, RuntimeError):
            pass  # it has gone, or reads nothing at all
    except WebSocketDisconnect:
        pass  # it vanished
    finally:
        speaking.leave()
        await session.close()
        session.leave()


async def _read_and_write(socket: WebSocket, hub: SessionHub, speaking: Speaking, dialect: Dialect) -> None:
    """Whichever fails ends both. Raises what it was."""
    writing = asyncio.create_task(_write(socket, speaking, dialect))
    reading = asyncio.create_task(_read(socket, hub, speaking, dialect))
    async with one_has_ended(writing, reading):
        if not writing.done():
            reading.result()
        await writing


async def _read(socket: WebSocket, hub: SessionHub, speaking: Speaking, dialect: Dialect) -> None:
    reader = reader_of(socket, hub, hub.clock(), "text, or keep the connection alive")
    while not speaking.is_closing:
        try:
            message = await reader.next()
        except Refused as refused:
            if refused.code == "SESSION_IDLE" and speaking.is_busy:
                continue
            raise
        await _send(socket, dialect.take(_parsed(message.get("text"))))


def _parsed(text: str | None) -> Message:
    try:
        message = parse_json(text or "")
    except ValueError:
        raise Refused("INVALID_MESSAGE", "Messages must be JSON texts with a 'type'.") from None
    if not isinstance(message, dict):
        raise Refused("INVALID_MESSAGE", "A message must be a JSON object with a 'type'.")
    return message


async def _write(socket: WebSocket, speaking: Speaking, dialect: Dialect) -> None:
    async for update in speaking.updates():
        await _send(socket, dialect.tell(update))
        if isinstance(update, Audio) and update.data:
            await _patiently(socket.send_bytes(update.data))


async def _send(socket: WebSocket, messages: Sequence[Message]) -> None:
    for message in messages:
        await _patiently(socket.send_text(json.dumps(message, ensure_ascii=False)))


async def _patiently(sending: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await sending
    except TimeoutError:
        raise Refused("CLIENT_TOO_SLOW", f"Nothing was read for {SEND_TIMEOUT_S:.0f} s; connect again and read the audio as it comes.") from None
