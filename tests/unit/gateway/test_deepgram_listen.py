"""Deepgram's live WebSocket over real sockets against scripted stages: every parameter, message and event of protocols/deepgram.md."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from services.gateway.server import GatewayServer

RATE_HZ = 16_000
SECOND = bytes(2 * RATE_HZ)
RAW = "encoding=linear16&sample_rate=16000"


def dial(gateway: GatewayServer, query: str = RAW, **options: Any) -> Any:
    return connect(f"ws://127.0.0.1:{gateway.port}/v1/listen?{query}", compression=None, **options)


async def everything(socket: ClientConnection) -> list[dict[str, Any]]:
    """All messages until the server closes."""
    messages = []
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(20):
            async for text in socket:
                messages.append(json.loads(text))
    return messages


async def tell(socket: ClientConnection, kind: str, **fields: Any) -> None:
    await socket.send(json.dumps({"type": kind} | fields))


async def said(gateway: GatewayServer, query: str, audio: bytes = SECOND * 2 + SECOND[:RATE_HZ]) -> list[dict[str, Any]]:
    """Everything the server answers to this audio, with a proper end on both sides."""
    async with dial(gateway, query) as socket:
        for at in range(0, len(audio), 3200):
            await socket.send(audio[at : at + 3200])
        await tell(socket, "CloseStream")
        messages = await everything(socket)
        assert (socket.close_code, socket.close_reason) == (1000, "")
    assert messages[-1]["type"] == "Metadata"
    return messages


def of(messages: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [message for message in messages if message["type"] == kind]


def finals(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message for message in of(messages, "Results") if message["is_final"]]


def transcripts(messages: list[dict[str, Any]]) -> list[str]:
    return [message["channel"]["alternatives"][0]["transcript"] for message in messages]


async def test_a_whole_stream(gateway: GatewayServer) -> None:
    messages = await said(gateway, f"model=nova-3&{RAW}")
    assert {message["type"] for message in messages} == {"Results", "Metadata"}
    assert transcripts(of(messages, "Results")) == ["hello u1", "hello u2", "hello u3"]
    print(json.dumps(messages[0]), json.dumps(messages[-1]))


async def test_refused(gateway: GatewayServer) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with dial(gateway, "detect_entities=true"):
            pass
    print(refused.value.response.status_code, refused.value.response.headers, refused.value.response.body)
