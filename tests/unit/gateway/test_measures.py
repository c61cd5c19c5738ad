"""What the gateway tells of itself is what its callers felt."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import httpx
from prometheus_client import REGISTRY
from websockets.asyncio.client import connect

from services.gateway.server import GatewayServer
from services.gateway.sessions.admission import Admission

RATE_HZ = 16_000
CHUNK = bytes(2 * RATE_HZ // 10)
PATIENCE_S = 20.0


def told(gateway: GatewayServer, name: str, labels: str = "") -> float:
    """A sample's value on /metrics; 0 where it is not there yet."""
    page = httpx.get(f"http://127.0.0.1:{gateway.port}/metrics", timeout=PATIENCE_S).text
    found = re.search(rf"^{name}{re.escape(labels)} (\S+)$", page, re.MULTILINE)
    return float(found[1]) if found else 0.0


async def until_final(socket: Any) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while json.loads(await socket.recv())["type"] != "final":
            pass


async def test_the_wait_after_the_end_of_speech_is_the_audio_that_went_by(gateway: GatewayServer) -> None:
    """The scripted denoise ends an utterance after a second; two more chunks went by before the final could come."""
    name, edge = "voxrelay_speech_end_to_final_seconds", '{edge="native"}'
    before = [await asyncio.to_thread(told, gateway, f"{name}_{part}", edge) for part in ("count", "sum")]
    async with connect(f"ws://127.0.0.1:{gateway.port}/ws/v1/transcribe?sample_rate={RATE_HZ}", compression=None) as socket:
        await socket.send(12 * CHUNK)
        await until_final(socket)
        assert await asyncio.to_thread(told, gateway, "voxrelay_gateway_sessions", edge) == 1
        await socket.send(json.dumps({"type": "close_stream"}))
        async for _ in socket:
            pass
    after = [await asyncio.to_thread(told, gateway, f"{name}_{part}", edge) for part in ("count", "sum")]
    assert after[0] - before[0] == 1  # not the one that was cut off by the end: its speaker waits for nothing
    assert abs(after[1] - before[1] - 0.2) < 0.01


def test_the_lag_that_admission_goes_by_is_told_and_ends_with_the_calls() -> None:
    now = [100.0]
    admission = Admission(5.0, clock=lambda: now[0])
    for _ in range(3):
        admission.came("transcribe", 4.0, now[0])
    assert REGISTRY.get_sample_value("voxrelay_gateway_lag_seconds") == 4.0
    now[0] += 10.0  # nobody asks for a session in the meantime
    assert REGISTRY.get_sample_value("voxrelay_gateway_lag_seconds") == 0.0


async def test_how_many_sessions_it_takes_is_told(gateway: GatewayServer) -> None:
    assert await asyncio.to_thread(told, gateway, "voxrelay_gateway_room_sessions") == gateway._settings.max_sessions


async def test_a_refusal_is_counted_by_its_code(gateway: GatewayServer) -> None:
    labels = '{code="UNSUPPORTED_SAMPLE_RATE",edge="native"}'
    before = await asyncio.to_thread(told, gateway, "voxrelay_refusals_total", labels)
    async with connect(f"ws://127.0.0.1:{gateway.port}/ws/v1/transcribe?sample_rate=7", compression=None) as socket:
        assert json.loads(await socket.recv())["error"]["code"] == "UNSUPPORTED_SAMPLE_RATE"
    assert await asyncio.to_thread(told, gateway, "voxrelay_refusals_total", labels) == before + 1
