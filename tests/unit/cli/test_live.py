"""What a live call keeps, and what it does when the platform takes it slowly or breaks off: against a small server that speaks the protocol."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from voxrelay.cli import live
from voxrelay.cli.live import LiveCall, Refusal

pytestmark = pytest.mark.sockets
RATE_HZ = 16_000
CHUNK = bytes(3200)
MOST_KEPT, MOST_UNSENT = 64_000, 32_000
Serving = Callable[[ServerConnection, int], Awaitable[None]]


@pytest.fixture(autouse=True)
def small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST_KEPT_BYTES", MOST_KEPT)
    monkeypatch.setattr(live, "MOST_UNSENT_BYTES", MOST_UNSENT)


def numbered(count: int) -> list[bytes]:
    """Chunks that are told apart."""
    return [number.to_bytes(4, "big") + CHUNK[4:] for number in range(count)]


async def greet(connection: ServerConnection, audio_bytes: int = 0) -> None:
    await connection.send(json.dumps({"type": "session", "session_id": "s", "resume_token": "t", "audio_frames": audio_bytes // 2}))


async def hear(connection: ServerConnection, audio: bytearray, size: int = 2**62) -> bool:
    """Takes audio until there is so much of it; True when the client said that there is no more."""
    while len(audio) < size:
        message = await connection.recv()
        if isinstance(message, str):
            return True
        audio += message
    return False


async def close(connection: ServerConnection) -> None:
    await connection.send(json.dumps({"type": "closed", "sequence": 1, "audio_seconds": 1.0}))


async def run(serving: Serving, talk: Callable[[LiveCall], Awaitable[None]]) -> list[dict[str, Any]]:
    """The messages of one call to a server that does ``serving(connection, number of the connection)``."""
    visits = 0

    async def serve_one(connection: ServerConnection) -> None:
        nonlocal visits
        visits += 1
        await serving(connection, visits)

    async with serve(serve_one, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        call = LiveCall(f"ws://127.0.0.1:{port}", RATE_HZ)
        talking = asyncio.ensure_future(talk(call))
        try:
            return [message async for message in call.messages()]
        finally:
            talking.cancel()
            await asyncio.wait([talking])
            if not talking.cancelled():
                talking.result()


async def test_of_a_long_silence_the_last_minutes_are_kept_and_all_of_it_is_sent() -> None:
    chunks, heard = numbered(100), bytearray()
    most_kept = 0

    async def serving(connection: ServerConnection, _visit: int) -> None:
        await greet(connection)
        assert await hear(connection, heard)
        await close(connection)

    async def talk(call: LiveCall) -> None:
        nonlocal most_kept
        for chunk in chunks:
            await call.feed(chunk)
            most_kept = max(most_kept, call.kept_bytes)
        call.finish()

    messages = await run(serving, talk)
    assert messages[-1]["type"] == "closed"
    assert bytes(heard) == b"".join(chunks)
    assert MOST_KEPT - len(CHUNK) <= most_kept <= MOST_KEPT


async def test_after_a_break_in_a_long_silence_what_is_missing_is_sent_again() -> None:
    chunks, heard = numbered(100), bytearray()
    lost = 5 * len(CHUNK)
    is_back = asyncio.Event()

    async def serving(connection: ServerConnection, visit: int) -> None:
        if visit == 1:
            await greet(connection)
            await hear(connection, heard, 60 * len(CHUNK))
            del heard[len(heard) - lost :]
            connection.transport.abort()
            return
        is_back.set()
        await greet(connection, len(heard))
        assert await hear(connection, heard)
        await close(connection)

    async def talk(call: LiveCall) -> None:
        for number, chunk in enumerate(chunks):
            if number == 60:
                await is_back.wait()
            await call.feed(chunk)
        call.finish()

    messages = await run(serving, talk)
    assert messages[-1]["type"] == "closed"
    assert bytes(heard) == b"".join(chunks)


async def test_a_platform_that_lost_more_than_is_kept_is_not_served_a_call_with_a_hole() -> None:
    heard = bytearray()

    async def serving(connection: ServerConnection, visit: int) -> None:
        await greet(connection)
        if visit == 1:
            await hear(connection, heard, 60 * len(CHUNK))
            connection.transport.abort()
        else:
            await hear(connection, heard)

    async def talk(call: LiveCall) -> None:
        for chunk in numbered(60):
            await call.feed(chunk)

    with pytest.raises(Refusal, match="kept no longer"):
        await run(serving, talk)
    assert len(heard) == 60 * len(CHUNK)


async def test_who_feeds_faster_than_the_platform_takes_waits() -> None:
    chunks, heard = numbered(500), bytearray()
    is_stuck = asyncio.Event()
    most_kept = 0

    async def serving(connection: ServerConnection, _visit: int) -> None:
        await is_stuck.wait()  # nothing is read before, nor said
        await greet(connection)
        assert await hear(connection, heard)
        await close(connection)

    async def talk(call: LiveCall) -> None:
        nonlocal most_kept
        for chunk in chunks:
            feeding = asyncio.ensure_future(call.feed(chunk))
            for _ in range(3):  # a turn of the loop or two is all it takes where it does not wait
                await asyncio.sleep(0)
            if not feeding.done():
                is_stuck.set()
            await feeding
            most_kept = max(most_kept, call.kept_bytes)
        call.finish()

    messages = await run(serving, talk)
    assert messages[-1]["type"] == "closed"
    assert bytes(heard) == b"".join(chunks)
    assert most_kept <= MOST_KEPT
