"""The messages of one WebSocket within the limits every protocol has: how long it may be silent and live, how last words are waited for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, MutableMapping
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect

from services.gateway.sessions.hub import SessionHub
from services.gateway.sockets.short_way import ShortWaySocket, connection_of
from voxrelay.errors import Refused
from voxrelay.telemetry import fields

log = logging.getLogger(__name__)

LAST_WORDS_S = 5.0  # how long an error waits for the results of what was said before it
LOOK_S = 5.0  # the alarm looks so often at least; a connection that ends keeps nothing alive for longer


class SocketReader:
    """Used by one task. One alarm serves many messages: a timeout around each would cost as much as all else that is done with it."""

    def __init__(self, socket: WebSocket, clock: Callable[[], float], *, idle_s: float, lifetime_s: float, began_at: float, remedy: str) -> None:
        """``began_at`` is a time of ``clock``; ``remedy`` is what the refusal of a silent client tells it to send."""
        self._socket, self._idle_s, self._lifetime_s, self._remedy = socket, idle_s, lifetime_s, remedy
        self._ends_at = time.monotonic() + began_at - clock() + lifetime_s
        self._due_at: float | None = None  # while it waits: when the client has been silent for too long
        self._alarm: asyncio.TimerHandle | None = None
        self._has_rung = False
        self._connection: ShortWaySocket | None = None
        self._take: Callable[[bytes], bool] = _nothing
        self._failure: Exception | None = None  # what ``take`` raised

    def shorten(self, take: Callable[[bytes], bool]) -> None:
        """While ``next`` waits, binary messages go to ``take`` as they are read; ``next`` returns those for which it gives False.

        What it raises, ``next`` raises. It is called on the event loop, in the order of the messages; where the server knows no short way, never.
        """
        self._connection, self._take = connection_of(self._socket.scope), take

    async def next(self) -> MutableMapping[str, Any]:
        """With ``bytes`` or ``text``. Raises ``Refused`` SESSION_IDLE, SESSION_LIFETIME, and ``WebSocketDisconnect``."""
        now = time.monotonic()
        if now >= self._ends_at:
            raise self._late(now)  # also where the next message waits already
        self._due_at = min(now + self._idle_s, self._ends_at)
        if self._alarm is None:
            self._set_alarm(asyncio.current_task(), now)
        if self._connection is not None:
            self._connection.take = self._hear
        try:
            message = await self._socket.receive()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._has_rung or task is None or task.uncancel():
                raise
            raise self._late(time.monotonic()) from None
        finally:
            self._due_at, self._has_rung = None, False
            if self._connection is not None:
                self._connection.take = None
        if self._failure is not None:
            raise self._failure
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1006))
        return message

    def _hear(self, data: bytes) -> bool:
        """The short way of one message. Nothing may be raised here: ``next`` does that."""
        now = time.monotonic()
        if self._has_rung or now >= self._ends_at:
            return False
        try:
            is_taken = self._take(data)
        except Exception as error:
            self._failure = error
            return False
        if is_taken:
            self._due_at = min(now + self._idle_s, self._ends_at)
        return is_taken

    def _set_alarm(self, task: asyncio.Task[Any] | None, now: float) -> None:
        if self._due_at is not None and task is not None:
            self._alarm = task.get_loop().call_later(min(self._due_at - now, LOOK_S), self._ring, task)

    def _ring(self, task: asyncio.Task[Any]) -> None:
        now, self._alarm = time.monotonic(), None
        if self._due_at is not None and now >= self._due_at:
            self._has_rung = task.cancel()
        else:
            self._set_alarm(task, now)

    def _late(self, now: float) -> Refused:
        if now >= self._ends_at:
            return Refused("SESSION_LIFETIME", f"A connection lives {self._lifetime_s:.0f} s at most; open a new one.")
        return Refused("SESSION_IDLE", f"Nothing came for {self._idle_s:.0f} s; send {self._remedy}.")


def _nothing(_data: bytes) -> bool:
    return False


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
