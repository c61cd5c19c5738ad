"""One alarm for many messages: silence and age end the reading, messages and the reader's own cancellation do not get lost."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from fastapi import WebSocketDisconnect

from services.gateway.sockets.reader import SocketReader
from voxrelay.errors import Refused


class _Socket:
    def __init__(self) -> None:
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def receive(self) -> dict[str, Any]:
        return await self.messages.get()


def _reader(socket: _Socket, *, idle_s: float = 60.0, lifetime_s: float = 60.0) -> SocketReader:
    sound: Any = socket
    return SocketReader(sound, time.time, idle_s=idle_s, lifetime_s=lifetime_s, began_at=time.time(), remedy="audio")


async def _refusal(reader: SocketReader) -> str:
    with pytest.raises(Refused) as refused:
        await reader.next()
    return refused.value.code


async def test_silence_is_refused_and_may_be_forgiven() -> None:
    socket = _Socket()
    reader = _reader(socket, idle_s=0.05)
    assert await _refusal(reader) == "SESSION_IDLE"
    socket.messages.put_nowait({"type": "websocket.receive", "text": "here again"})
    assert (await reader.next())["text"] == "here again"
    assert await _refusal(reader) == "SESSION_IDLE"


async def test_messages_put_the_alarm_off() -> None:
    socket = _Socket()
    reader = _reader(socket, idle_s=2.0)

    async def speak() -> None:
        for number in range(25):
            await asyncio.sleep(0.1)
            socket.messages.put_nowait({"type": "websocket.receive", "text": str(number)})

    speaking = asyncio.create_task(speak())
    assert [(await reader.next())["text"] for _ in range(25)] == [str(number) for number in range(25)]  # longer in all than silence may be
    await speaking


async def test_age_is_refused_before_a_message_that_waits() -> None:
    socket = _Socket()
    reader = _reader(socket, lifetime_s=0.05)
    assert await _refusal(reader) == "SESSION_LIFETIME"
    socket.messages.put_nowait({"type": "websocket.receive", "text": "too late"})
    assert await _refusal(reader) == "SESSION_LIFETIME"


async def test_who_cancels_the_reading_is_obeyed() -> None:
    reader = _reader(_Socket())
    reading = asyncio.create_task(reader.next())
    await asyncio.sleep(0.01)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_a_client_that_is_gone_is_told_of() -> None:
    socket = _Socket()
    socket.messages.put_nowait({"type": "websocket.disconnect", "code": 1001})
    with pytest.raises(WebSocketDisconnect) as gone:
        await _reader(socket).next()
    assert gone.value.code == 1001


async def test_while_a_message_is_worked_on_no_alarm_rings() -> None:
    socket = _Socket()
    reader = _reader(socket, idle_s=0.05)
    socket.messages.put_nowait({"type": "websocket.receive", "text": "work"})
    await reader.next()
    await asyncio.sleep(0.2)  # nobody cancels this
    socket.messages.put_nowait({"type": "websocket.receive", "text": "more"})
    assert (await reader.next())["text"] == "more"
