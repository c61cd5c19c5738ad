"""A call that is over is gone at once: nothing of it leads back to itself and waits for the collector of cycles, which looks seldom."""

from __future__ import annotations

import asyncio
import gc
import json
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from services.gateway.server import GatewayServer
from services.gateway.sockets import reader

PCM = bytes(3200)
RAW = "encoding=linear16&sample_rate=16000"
CALLS = 5
# The address of each live protocol, and what ends a call there.
PROTOCOLS = {
    "native": (f"/ws/v1/transcribe?{RAW}", {"type": "close_stream"}),
    "deepgram": (f"/v1/listen?{RAW}", {"type": "CloseStream"}),
    "flux": (f"/v2/listen?model=flux-general-en&{RAW}", {"type": "CloseStream"}),
}


async def call(port: int, address: str, ending: dict[str, str], *, is_cut: bool) -> None:
    async with connect(f"ws://127.0.0.1:{port}{address}", compression=None) as client:
        for _ in range(10):
            await client.send(PCM)
        if is_cut:
            await asyncio.sleep(0.1)
            client.transport.abort()
            return
        await client.send(json.dumps(ending))
        with suppress(ConnectionClosed):
            async with asyncio.timeout(20):
                while True:
                    await client.recv()


@pytest.mark.parametrize("is_cut", [False, True])
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_call_leaves_nothing_for_the_collector(
    make_gateway: Callable[..., GatewayServer], monkeypatch: pytest.MonkeyPatch, protocol: str, is_cut: bool
) -> None:
    gateway = make_gateway(resume_s=0.3)
    monkeypatch.setattr(reader, "LOOK_S", 0.1)  # its alarm holds what it was set for
    await call(gateway.port, *PROTOCOLS[protocol], is_cut=is_cut)  # what is made once
    await asyncio.sleep(1.5)
    gc.collect()
    gc.disable()
    try:
        for _ in range(CALLS):
            await call(gateway.port, *PROTOCOLS[protocol], is_cut=is_cut)
        async with asyncio.timeout(20):
            while gateway._hub.open_sessions:
                await asyncio.sleep(0.05)
        await asyncio.sleep(1.5)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        gc.set_debug(0)
        ours = Counter(
            type(found).__qualname__
            for found in gc.garbage
            if type(found).__module__.startswith(("services.", "voxrelay.", "starlette.", "uvicorn."))
        )
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert not [name for name, count in ours.items() if count >= CALLS], ours
