"""Audio past the queue: the same order, the same limits and the same refusals as on the ordinary way."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvicorn
from fastapi import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from benchmarks.gateway import frame
from services.gateway.server import GatewayServer
from services.gateway.sessions.session import LiveSession
from services.gateway.sockets import writer
from services.gateway.sockets.reader import SocketReader
from services.gateway.sockets.short_way import ShortWaySocket, connection_of
from services.gateway.sockets.writer import send_json
from voxrelay import codec
from voxrelay.bus.api import Headers
from voxrelay.errors import Refused, Unavailable
from voxrelay.events import AudioReceived

Talk = Callable[[SocketReader], Awaitable[None]]


@asynccontextmanager
async def talking(talk: Talk, *, idle_s: float = 60.0, lifetime_s: float = 60.0) -> AsyncIterator[ClientConnection]:
    """A client of a real server, whose application reads each connection by ``talk``."""
    done = asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        sound = WebSocket(scope, receive, send)
        await sound.accept()
        reader = SocketReader(sound, time.time, idle_s=idle_s, lifetime_s=lifetime_s, began_at=time.time(), remedy="audio")
        try:
            await talk(reader)
        finally:
            done.set()

    async with serving(application) as port:
        async with connect(f"ws://127.0.0.1:{port}", compression=None, ping_interval=None) as client:
            yield client
        async with asyncio.timeout(30):
            await done.wait()


@asynccontextmanager
async def serving(application: Any) -> AsyncIterator[int]:
    """The port of a real server with this application."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application, ws=ShortWaySocket, ws_ping_interval=None, lifespan="off", log_config=None))
    serves = asyncio.create_task(server.serve(sockets=[listening]))
    yield listening.getsockname()[1]
    server.should_exit = True
    await serves


def into(heard: list[Any]) -> Callable[[bytes], bool]:
    """A short way that takes everything."""

    def take(data: bytes) -> bool:
        heard.append(data)
        return True

    return take


async def test_messages_keep_their_order_whichever_way_they_go() -> None:
    heard: list[Any] = []
    short = 0
    chance = random.Random(7)

    def take(data: bytes) -> bool:
        nonlocal short
        if chance.random() < 0.3:
            return False
        short += 1
        heard.append(data)
        return True

    async def talk(reader: SocketReader) -> None:
        reader.shorten(take)
        while True:
            try:
                message = await reader.next()
            except WebSocketDisconnect:
                return
            if chance.random() < 0.3:
                await asyncio.sleep(0.002)  # meanwhile the next ones come
            heard.append(message.get("bytes") or message.get("text"))

    sent: list[Any] = []
    async with talking(talk) as client:
        for number in range(500):
            part = number.to_bytes(4, "big")
            match number % 9:
                case 3:
                    sent.append(f"text {number}")
                    await client.send(f"text {number}")
                case 5:
                    sent.append(part * 3)
                    await client.send([part, part, part])  # one message in three frames
                case _:
                    sent.append(part * 100)
                    await client.send(part * 100)
            if chance.random() < 0.4:  # it has been read: the next one finds nothing before it
                while len(heard) < len(sent):
                    await asyncio.sleep(0.001)
    assert heard == sent
    assert short > 50


def masked(opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


async def test_wherever_the_network_cuts_the_stream_the_messages_are_the_same() -> None:
    heard: list[Any] = []
    chance = random.Random(11)

    async def talk(reader: SocketReader) -> None:
        reader.shorten(into(heard))
        with suppress(WebSocketDisconnect):
            while True:
                message = await reader.next()
                heard.append(message.get("bytes") or message.get("text"))

    sent: list[Any] = []
    pieces: list[bytes] = []  # as they are given to the network
    for number in range(600):
        data = chance.randbytes(chance.choice([3, 200, 3200, 70_000]))
        head = {3: 6, 200: 8, 3200: 8, 70_000: 14}[len(data)]
        match number % 6:
            case 0:
                stream = masked(Opcode.TEXT, data.hex().encode())
                sent.append(data.hex())
            case 1:
                stream = masked(Opcode.BINARY, data[:150], fin=False) + masked(Opcode.PING, b"?") + masked(Opcode.CONT, data[150:])
                sent.append(data)
            case 2:  # its payload looks like a frame, as it comes over the network, and begins a piece
                inner = masked(Opcode.BINARY, bytes(200))
                stream = frame(inner)
                sent.append(inner)
                head = 8
            case _:
                stream = masked(Opcode.BINARY, data)
                sent.append(data)
        match chance.randrange(4) if number % 6 != 2 else 1:
            case 0 if pieces:
                pieces[-1] += stream
            case 1:
                pieces += stream[:head], stream[head:]
            case 2:
                pieces += (stream[at : at + 1000] for at in range(0, len(stream), 1000))
            case _:
                pieces.append(stream)
    async with talking(talk) as client:
        for piece in pieces:
            client.transport.write(piece)
            await asyncio.sleep(0.001)  # so that it is read alone
        async with asyncio.timeout(30):
            while len(heard) < len(sent):
                await asyncio.sleep(0.01)
    assert heard == sent


BROKEN = {
    "not masked": (b"\x82\x03abc", 1002),
    "reserved bits": (b"\xc2\x83\0\0\0\0abc", 1002),
    "an unknown kind": (b"\x83\x83\0\0\0\0abc", 1002),
    "the rest of nothing": (masked(Opcode.CONT, b"abc"), 1002),
    "a message within a message": (masked(Opcode.BINARY, b"abc", fin=False) + masked(Opcode.BINARY, b"abc"), 1002),
    "a ping in parts": (b"\x09\x83\0\0\0\0abc", 1002),
    "a closing with half a code": (masked(Opcode.CLOSE, b"a"), 1002),
    "no text": (masked(Opcode.TEXT, b"\xff\xfe"), 1007),
    "too much": (b"\x82\xff" + (1 << 40).to_bytes(8, "big") + bytes(4), 1009),
    "too much in parts": (masked(Opcode.BINARY, bytes(10_000_000), fin=False) + masked(Opcode.CONT, bytes(10_000_000)), 1009),
}


@pytest.mark.parametrize("what", BROKEN)
async def test_a_client_that_breaks_the_protocol_is_told_so_and_what_it_said_before_is_heard(what: str) -> None:
    heard: list[bytes] = []

    async def talk(reader: SocketReader) -> None:
        reader.shorten(into(heard))
        with suppress(WebSocketDisconnect):
            while True:
                await reader.next()

    stream, code = BROKEN[what]
    async with talking(talk) as client:
        await client.send(b"before")
        while not heard:
            await asyncio.sleep(0.001)
        client.transport.write(stream)
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(client.recv(), 10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == code
    assert heard == [b"before"]


async def test_who_does_not_wait_to_be_accepted_is_heard() -> None:
    heard = asyncio.Event()
    sent = [b"audio %d" % number * 700 for number in range(20)]
    received: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.2)
        await send({"type": "websocket.accept"})
        await receive()
        while len(received) < len(sent):
            received.append((await receive()).get("bytes"))
        heard.set()

    async with serving(application) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
        writer.write(f"GET / HTTP/1.1\r\nHost: here\r\n{upgrade}\r\n\r\n".encode())
        await asyncio.sleep(0.05)
        for data in sent:
            writer.write(masked(Opcode.BINARY, data))
            await asyncio.sleep(0.001)
        assert b"101 Switching Protocols" in await reader.readuntil(b"\r\n\r\n")
        async with asyncio.timeout(10):
            await heard.wait()
        writer.close()
    assert received == sent


@pytest.mark.parametrize("error", [Refused("QUOTA_EXCEEDED", "No minutes are left."), ValueError("a mistake of ours")])
async def test_what_taking_raises_the_reader_raises(error: Exception) -> None:
    raised: list[Exception] = []

    def take(_data: bytes) -> bool:
        raise error

    async def talk(reader: SocketReader) -> None:
        reader.shorten(take)
        try:
            await reader.next()
        except (Refused, ValueError) as seen:
            raised.append(seen)

    async with talking(talk) as client:
        await client.send(b"some audio")
    assert raised == [error]


async def test_silence_is_refused_and_only_silence() -> None:
    codes: list[str] = []
    taken: list[bytes] = []

    async def talk(reader: SocketReader) -> None:
        reader.shorten(into(taken))
        with pytest.raises(Refused) as refused:
            await reader.next()
        codes.append(refused.value.code)

    async with talking(talk, idle_s=2.0) as client:
        for _ in range(25):  # longer in all than silence may be
            await client.send(b"audio")
            await asyncio.sleep(0.1)
        assert not codes
        await client.wait_closed()
    assert codes == ["SESSION_IDLE"]
    assert len(taken) == 25


async def test_a_connection_ends_at_its_age_however_much_is_said() -> None:
    codes: list[str] = []

    async def talk(reader: SocketReader) -> None:
        reader.shorten(lambda _data: True)
        with pytest.raises(Refused) as refused:
            while True:  # what comes at its age but before the alarm is still returned
                await reader.next()
        codes.append(refused.value.code)

    async with talking(talk, lifetime_s=0.5) as client:
        with pytest.raises(Exception, match=r"sent 1\d\d\d|received 1\d\d\d|no close frame"):
            while True:
                await client.send(b"audio")
                await asyncio.sleep(0.01)
    assert codes == ["SESSION_LIFETIME"]


async def test_what_is_told_keeps_its_order_whichever_way_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(5)
    short = 0
    tell = ShortWaySocket.tell

    def sometimes(connection: ShortWaySocket, text: str) -> bool:
        nonlocal short
        is_told = chance.random() < 0.6 and tell(connection, text)
        short += is_told
        return is_told

    monkeypatch.setattr(ShortWaySocket, "tell", sometimes)

    async def talk(reader: SocketReader) -> None:
        for number in range(300):
            await send_json(reader._socket, {"number": number, "words": "größer " * (number % 50)})
        with suppress(WebSocketDisconnect):
            await reader.next()

    async with talking(talk) as client:
        assert [json.loads(await client.recv())["number"] for _ in range(300)] == list(range(300))
    assert 50 < short < 300


async def test_a_client_that_reads_nothing_is_told_so_much_and_then_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "SEND_TIMEOUT_S", 0.3)
    gave_up = False

    async def talk(reader: SocketReader) -> None:
        nonlocal gave_up
        try:
            for _ in range(10_000):
                await send_json(reader._socket, {"words": "x" * 10_000})
        except TimeoutError:
            gave_up = True

    async with talking(talk) as client:
        client.transport.pause_reading()
        async with asyncio.timeout(30):
            while not gave_up:
                await asyncio.sleep(0.01)
        client.transport.abort()
    assert gave_up


@pytest.mark.parametrize("is_cut", [False, True], ids=["closed", "cut"])
async def test_nobody_is_told_anything_after_the_end(is_cut: bool) -> None:
    told: list[bool] = []

    async def talk(reader: SocketReader) -> None:
        connection = connection_of(reader._socket.scope)
        assert connection is not None
        told.append(connection.tell("before"))
        with suppress(WebSocketDisconnect):
            await reader.next()
        told.append(connection.tell("after"))
        with pytest.raises((WebSocketDisconnect, RuntimeError)):
            await send_json(reader._socket, {"words": "after"})
        told.append(False)

    async with talking(talk) as client:
        assert await client.recv() == "before"
        if is_cut:
            client.transport.abort()
        else:
            await client.close()
    assert told == [True, False, False]


async def test_nothing_is_lost_or_doubled_while_the_log_is_slow(make_gateway: Callable[..., GatewayServer], monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = make_gateway(max_unacknowledged_bytes=65536)
    producer, chance = gateway._hub.producer, random.Random(3)
    plain, short = producer.send, LiveSession.take_audio
    waiting: list[Callable[[Exception | None], None]] = []
    heard: list[AudioReceived] = []
    went_short = 0

    def acknowledge() -> None:
        for delivered in waiting:
            delivered(None)
        waiting.clear()

    def send(topic: str, key: bytes, value: bytes, headers: Headers, on_delivered: Callable[[Exception | None], None]) -> None:
        if chance.random() < 0.2:
            raise Unavailable("the producer's queue is full")
        payload = codec.decode(key, value, headers).payload
        if isinstance(payload, AudioReceived):
            heard.append(payload)
        waiting.append(on_delivered)
        if len(waiting) == 1:
            gateway._loop.call_later(0.05, acknowledge)
        plain(topic, key, value, headers, on_delivered=lambda _error: None)

    def take_audio(session: LiveSession, pcm: bytes) -> None:
        nonlocal went_short
        went_short += 1
        short(session, pcm)

    monkeypatch.setattr(producer, "send", send)
    monkeypatch.setattr(LiveSession, "take_audio", take_audio)
    said = chance.randbytes(2 * 16_000 * 20)
    async with connect(f"ws://127.0.0.1:{gateway.port}/ws/v1/transcribe?encoding=linear16&sample_rate=16000", compression=None) as client:
        at = 0
        while at < len(said):
            size = chance.choice((100, 333, 3200, 6400, 50_001))  # bytes: half samples too
            await client.send(said[at : at + size])
            at += size
            await asyncio.sleep(0.002)
            if chance.random() < 0.1:  # now and then the log catches up: what follows finds nothing before it
                await asyncio.sleep(0.05)
                while waiting:
                    await asyncio.sleep(0.01)
        await client.send('{"type": "close_stream"}')
        async with asyncio.timeout(30):
            last = [message async for message in client][-1]
    assert b"".join(chunk.pcm_s16le for chunk in heard) == said
    starts = [chunk.start_sample for chunk in heard]
    assert starts == sorted(set(starts))
    assert '"closed"' in str(last)
    assert went_short
    assert max(len(chunk.pcm_s16le) for chunk in heard) <= 32_000
