"""A client that loses its connection goes on with its session, at the same gateway or another, and misses nothing and hears nothing twice."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK

from services.gateway.server import GatewayServer
from services.gateway.sockets import reader
from tests.unit.gateway.test_native import RATE_HZ, everything, of
from voxrelay.bus.memory import MemoryBus

CHUNK = RATE_HZ // 10 * 2
CLOSE = json.dumps({"type": "close_stream"})


class Call:
    """A client that keeps what it sent, and everything numbered that it was told, over all its connections."""

    def __init__(self, audio: bytes) -> None:
        self.audio = audio
        self.numbered: list[dict[str, Any]] = []
        self.session: dict[str, Any] = {}
        self.at = 0

    @property
    def last_sequence(self) -> int:
        return self.numbered[-1]["sequence"] if self.numbered else 0

    @property
    def finals(self) -> list[str]:
        return [message["transcript"] for message in of(self.numbered, "final")]

    async def run(self, gateway: GatewayServer, *, cut_at: int | None = None) -> None:
        """Until the end, or until the audio has come to byte ``cut_at``: then the connection breaks."""
        query = f"?resume_token={self.session['resume_token']}&last_sequence={self.last_sequence}" if self.session else ""
        async with connect(f"ws://127.0.0.1:{gateway.port}/ws/v1/transcribe{query}", compression=None) as socket:
            self.session = json.loads(await socket.recv())
            assert self.session["type"] == "session", self.session
            if query:
                assert self.session["resumed"] is True
                self.at = self.session["audio_frames"] * 2
            listening = asyncio.create_task(self._listen(socket))
            end = len(self.audio) if cut_at is None else cut_at
            while self.at < end:
                step = self.audio[self.at : min(self.at + CHUNK, end)]
                await socket.send(step)
                self.at += len(step)
                await asyncio.sleep(0.002)
            if cut_at is None:
                await socket.send(CLOSE)
                await asyncio.wait_for(listening, 20)
            else:
                socket.transport.abort()
                await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self, socket: Any) -> None:
        try:
            async for text in socket:
                message = json.loads(text)
                assert message["type"] != "error", message
                if "sequence" in message:
                    self.numbered.append(message)
        except ConnectionClosed:
            pass


def assert_whole(call: Call, seconds: int) -> None:
    assert [message["sequence"] for message in call.numbered] == list(range(1, len(call.numbered) + 1))
    assert call.finals == [f"hello u{number}" for number in range(1, seconds + 1)]
    assert call.numbered[-1]["type"] == "closed"
    assert call.numbered[-1]["audio_seconds"] == seconds


@pytest.mark.conformance("native", "parameter resume_token", "done", "at the same gateway and at another")
@pytest.mark.conformance("native", "parameter last_sequence", "done")
@pytest.mark.parametrize("seed", range(5))
async def test_connections_cut_at_random_moments_lose_and_double_nothing(gateway: GatewayServer, seed: int) -> None:
    chance = random.Random(seed)
    call = Call(bytes(2 * RATE_HZ * 8))
    for cut in sorted(chance.randrange(2 * RATE_HZ, len(call.audio)) for _ in range(3)):
        if cut > call.at:
            await call.run(gateway, cut_at=cut)
    await call.run(gateway)
    assert_whole(call, 8)


async def test_another_gateway_goes_on_where_the_first_one_ended(make_gateway: Callable[..., GatewayServer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryBus, "outlives_process", True)
    first = make_gateway()
    second = make_gateway(beside=first)
    call = Call(bytes(2 * RATE_HZ * 6))
    await call.run(first, cut_at=2 * RATE_HZ * 3 + 1234)
    await call.run(second, cut_at=2 * RATE_HZ * 4 + 5678)
    await call.run(first, cut_at=2 * RATE_HZ * 5 + 77)  # which still holds what it knew
    await call.run(first)
    assert_whole(call, 6)


@pytest.mark.parametrize("astray_s", [(3600.0, 0.0), (-3600.0, 0.0), (0.0, 3600.0), (0.0, -3600.0)])
async def test_gateways_whose_clocks_are_an_hour_apart_go_on_with_each_others_sessions(
    make_gateway: Callable[..., GatewayServer], monkeypatch: pytest.MonkeyPatch, astray_s: tuple[float, float]
) -> None:
    monkeypatch.setattr(MemoryBus, "outlives_process", True)
    first = make_gateway()
    second = make_gateway(beside=first)
    for gateway, by_s in zip((first, second), astray_s, strict=True):
        gateway._hub.clock = gateway._gate._wall = lambda by_s=by_s: time.time() + by_s
    call = Call(bytes(2 * RATE_HZ * 4))
    await call.run(first, cut_at=2 * RATE_HZ * 2)
    await call.run(second, cut_at=2 * RATE_HZ * 3)
    await call.run(second)
    assert_whole(call, 4)


async def test_what_a_replaced_gateway_still_sends_is_not_heard(make_gateway: Callable[..., GatewayServer]) -> None:
    """The first gateway holds the session parked and ends it when its patience is over; the second one's session goes on."""
    first = make_gateway(resume_s=2.0)
    second = make_gateway(beside=first)
    call = Call(bytes(2 * RATE_HZ * 4))
    await call.run(first, cut_at=2 * RATE_HZ)
    await call.run(second, cut_at=2 * RATE_HZ * 2)
    while first._hub.open_sessions:
        await asyncio.sleep(0.02)  # it has said that the session is over
    await call.run(second)
    assert_whole(call, 4)


async def test_finals_that_came_while_nobody_listened_are_told_again(gateway: GatewayServer) -> None:
    call = Call(bytes(2 * RATE_HZ * 3))
    await call.run(gateway, cut_at=len(call.audio))
    call.numbered.clear()  # nothing of what was sent arrived
    await asyncio.sleep(0.3)
    await call.run(gateway)
    assert_whole(call, 3)


async def test_a_client_that_closed_and_lost_its_connection_gets_the_rest(gateway: GatewayServer) -> None:
    async with connect(f"ws://127.0.0.1:{gateway.port}/ws/v1/transcribe", compression=None) as socket:
        session = json.loads(await socket.recv())
        await socket.send(bytes(2 * RATE_HZ * 2))
        await socket.send(CLOSE)
        socket.transport.abort()
    async with connect(f"ws://127.0.0.1:{gateway.port}/ws/v1/transcribe?resume_token={session['resume_token']}", compression=None) as socket:
        greeting = json.loads(await socket.recv())
        with suppress(ConnectionClosedOK):  # the first close had arrived, and everything has been told already
            await socket.send(bytes(2 * RATE_HZ * 2)[greeting["audio_frames"] * 2 :])
            await socket.send(CLOSE)  # again: nobody knows whether the first one arrived
        messages = await everything(socket)
    assert [final["transcript"] for final in of(messages, "final")] == ["hello u1", "hello u2"]
    assert of(messages, "closed")


async def test_who_waits_for_the_last_results_need_not_speak(make_gateway: Callable[..., GatewayServer], monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by a campaign on a machine too full: they came later than a connection may be silent."""
    monkeypatch.setattr(reader, "LAST_WORDS_S", 0.1)
    gateway = make_gateway(idle_s=0.3, stage_timeout_s=2.0, leave_out=("transcribe",))
    async with connect(f"ws://127.0.0.1:{gateway.port}/ws/v1/transcribe", compression=None) as socket:
        session = json.loads(await socket.recv())
        await socket.send(bytes(2 * RATE_HZ))
        await socket.send(CLOSE)
        await asyncio.sleep(0.2)
        socket.transport.abort()
    query = f"?resume_token={session['resume_token']}&last_sequence=0"
    async with connect(f"ws://127.0.0.1:{gateway.port}/ws/v1/transcribe{query}", compression=None) as socket:
        messages = await everything(socket)
    assert [message["error"]["code"] for message in of(messages, "error")] == ["STAGE_TIMEOUT"]


async def test_the_newer_connection_has_the_session(gateway: GatewayServer) -> None:
    """A client whose old connection looks alive to the server comes back on a new one."""
    async with connect(f"ws://127.0.0.1:{gateway.port}/ws/v1/transcribe", compression=None) as old:
        session = json.loads(await old.recv())
        await old.send(bytes(2 * RATE_HZ))
        while json.loads(await old.recv())["type"] != "final":
            pass
        async with connect(f"ws://127.0.0.1:{gateway.port}/ws/v1/transcribe?resume_token={session['resume_token']}&last_sequence=1") as new:
            assert json.loads(await new.recv())["audio_frames"] == RATE_HZ
            await everything(old)
            assert old.close_code == 1001
            await new.send(bytes(2 * RATE_HZ))
            await new.send(CLOSE)
            messages = await everything(new)
    assert [(message["type"], message["sequence"]) for message in messages if "sequence" in message] == [("final", 2), ("closed", 3)]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("resume_token=nonsense", "NOT_RESUMABLE"),
        ("resume_token={token}x", "NOT_RESUMABLE"),
        ("resume_token={token}&last_sequence=-1", "INVALID_PARAMETER"),
        ("resume_token={token}&sample_rate=8000", "INVALID_PARAMETER"),
        ("resume_token={token}&nonsense=1", "INVALID_PARAMETER"),
    ],
)
async def test_what_cannot_be_resumed_is_refused_and_the_session_goes_on(gateway: GatewayServer, query: str, code: str) -> None:
    call = Call(bytes(2 * RATE_HZ * 2))
    await call.run(gateway, cut_at=2 * RATE_HZ)
    address = f"ws://127.0.0.1:{gateway.port}/ws/v1/transcribe?" + query.format(token=call.session["resume_token"])
    async with connect(address, compression=None) as socket:
        assert of(await everything(socket), "error")[0]["error"]["code"] == code
    await call.run(gateway)
    assert_whole(call, 2)


async def test_a_session_that_ended_is_not_resumed(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(resume_s=0.2)
    call = Call(bytes(2 * RATE_HZ * 2))
    await call.run(gateway, cut_at=2 * RATE_HZ)
    while gateway._hub.open_sessions:
        await asyncio.sleep(0.02)
    async with connect(f"ws://127.0.0.1:{gateway.port}/ws/v1/transcribe?resume_token={call.session['resume_token']}") as socket:
        assert of(await everything(socket), "error")[0]["error"]["code"] == "NOT_RESUMABLE"
    assert gateway._hub.open_sessions == 0


async def test_a_client_that_says_it_has_more_than_it_was_told_may_think_again(gateway: GatewayServer) -> None:
    call = Call(bytes(2 * RATE_HZ * 3))
    await call.run(gateway, cut_at=2 * RATE_HZ)
    async with connect(f"ws://127.0.0.1:{gateway.port}/ws/v1/transcribe?resume_token={call.session['resume_token']}&last_sequence=7") as socket:
        greeting = json.loads(await socket.recv())
        await socket.send(call.audio[greeting["audio_frames"] * 2 : 2 * RATE_HZ * 2])
        await asyncio.sleep(0.3)
        socket.transport.abort()
    call.numbered.clear()
    await call.run(gateway)
    assert_whole(call, 3)


async def test_a_session_taken_over_for_a_refused_request_ends_by_itself(
    make_gateway: Callable[..., GatewayServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryBus, "outlives_process", True)
    first = make_gateway()
    second = make_gateway(beside=first, resume_s=0.2)
    call = Call(bytes(2 * RATE_HZ * 2))
    await call.run(first, cut_at=2 * RATE_HZ)
    query = f"?resume_token={call.session['resume_token']}&sample_rate=8000"
    async with connect(f"ws://127.0.0.1:{second.port}/ws/v1/transcribe{query}") as socket:
        assert of(await everything(socket), "error")[0]["error"]["code"] == "INVALID_PARAMETER"
    while second._hub.open_sessions:
        await asyncio.sleep(0.02)


async def test_of_many_connections_that_want_a_session_at_once_one_has_it(gateway: GatewayServer) -> None:
    call = Call(bytes(2 * RATE_HZ * 2))
    await call.run(gateway, cut_at=2 * RATE_HZ)
    address = f"ws://127.0.0.1:{gateway.port}/ws/v1/transcribe?resume_token={call.session['resume_token']}&last_sequence={call.last_sequence}"
    many = await asyncio.gather(*(connect(address) for _ in range(8)))
    told = [asyncio.create_task(everything(socket)) for socket in many]
    await asyncio.wait(told, timeout=20, return_when=asyncio.FIRST_COMPLETED)
    while sum(task.done() for task in told) < len(many) - 1:
        await asyncio.sleep(0.02)
    (last,) = [socket for socket, task in zip(many, told, strict=True) if not task.done()]
    await last.send(bytes(2 * RATE_HZ))
    await last.send(CLOSE)
    messages = await told[many.index(last)]
    assert [message["transcript"] for message in of(messages, "final")] == ["hello u1", "hello u2"][call.last_sequence :]
    while gateway._hub.open_sessions:
        await asyncio.sleep(0.02)
