"""The messages of one WebSocket within the limits every protocol has: how long it may be silent and live, how last words are waited for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, MutableMapping
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect

from services.gateway.hub import SessionHub
from voxrelay.errors import Refused
from voxrelay.telemetry import fields

log = logging.getLogger(__name__)

LAST_WORDS_S = 5.0  # how long an error waits for the results of what was said before it


class SocketReader:
    def __init__(self, socket: WebSocket, clock: Callable[[], float], *, idle_s: float, lifetime_s: float, began_at: float, remedy: str) -> None:
        """``remedy`` is what the refusal of a silent client tells it to send."""
        self._socket, self._clock, self._idle_s, self._lifetime_s, self._remedy = socket, clock, idle_s, lifetime_s, remedy
        self._ends_at = began_at + lifetime_s

    @property
    def _lived(self) -> Refused:
        return Refused("SESSION_LIFETIME", f"A connection lives {self._lifetime_s:.0f} s at most; open a new one.")

    async def next(self) -> MutableMapping[str, Any]:
        """With ``bytes`` or ``text``. Raises ``Refused`` SESSION_IDLE, SESSION_LIFETIME, and ``WebSocketDisconnect``."""
        left_s = self._ends_at - self._clock()
        if left_s <= 0:
            raise self._lived  # also where the next message waits already
        try:
            async with asyncio.timeout(min(self._idle_s, left_s)):  # wait_for would make a task of every message
                message = await self._socket.receive()
        except TimeoutError:
            if left_s <= self._idle_s:
                raise self._lived from None
            raise Refused("SESSION_IDLE", f"Nothing came for {self._idle_s:.0f} s; send {self._remedy}.") from None
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1006))
        return message


def reader_of(socket: WebSocket, hub: SessionHub, began_at: float, remedy: str, *, idle_s: float = 0.0) -> SocketReader:
    """With the hub's limits; ``idle_s`` where a protocol has its own. ``began_at``: seconds since the epoch."""
    settings = hub.settings
    return SocketReader(socket, hub.clock, idle_s=idle_s or settings.idle_s, lifetime_s=settings.session_lifetime_s, began_at=began_at, remedy=remedy)


async def last_words(writing: asyncio.Task[None], refused: Refused, fail: Callable[[str, str], None], session_id: str) -> None:
    """After a refusal the results of what was said before it still come, for a while; then ``fail`` ends the writing with it."""
    await asyncio.wait((writing,), timeout=LAST_WORDS_S)
    if not writing.done():
        log.info("A refused session's last results were not waited for.", extra=fields(session=session_id))
        fail(refused.code, refused.message)
