"""Keys and signing secrets change while people speak: nobody is thrown out, and what was replaced ends when it was said to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest
from websockets.asyncio.client import connect

from services.gateway.access import recent
from services.gateway.server import GatewayServer
from tests.unit.gateway.test_access import eventually, outcome
from tests.unit.gateway.test_native import RATE_HZ, SECOND, everything, of
from voxrelay.storage.access import AccessStore

CLOSE = json.dumps({"type": "close_stream"})


@pytest.fixture(autouse=True)
def short_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "RECENT_S", 0.05)


async def heard(socket: Any, kind: str, count: int) -> list[dict[str, Any]]:
    """Messages until so many of this kind have come."""
    messages: list[dict[str, Any]] = []
    async with asyncio.timeout(20):
        while len(of(messages, kind)) < count:
            messages.append(json.loads(await socket.recv()))
    return messages


async def test_a_session_outlives_the_rotation_of_its_key_and_of_the_signing_secret(
    make_gateway: Callable[..., GatewayServer], access: AccessStore
) -> None:
    """Its connection even breaks, and it goes on with the token from before: one rotation is survived, and so is the key that is no more."""
    key, secret = access.create_key("team", "enterprise", requests_per_minute=0)
    gateway = make_gateway(database_url=access.url, resume_s=20.0)
    address = f"ws://127.0.0.1:{gateway.port}/ws/v1/transcribe"
    async with connect(f"{address}?api_key={secret}", compression=None) as socket:
        session = json.loads(await socket.recv())
        await socket.send(SECOND)
        before = await heard(socket, "final", 1)
        renewed = access.rotate(key.key_id, overlap_s=3600.0)
        access.rotate_signing()
        await socket.send(SECOND)
        before += await heard(socket, "final", 1)
        socket.transport.abort()
    assert renewed is not None
    last_sequence = max(message.get("sequence", 0) for message in before)
    query = f"?resume_token={session['resume_token']}&last_sequence={last_sequence}&api_key={renewed}"
    async with connect(address + query, compression=None) as socket:
        resumed = json.loads(await socket.recv())
        assert resumed["resumed"] is True
        await socket.send(SECOND)
        await socket.send(CLOSE)
        after = await everything(socket)
    assert [message["transcript"] for message in of(before + after, "final")] == ["hello u1", "hello u2", "hello u3"]
    assert after[-1]["audio_seconds"] == len(SECOND) * 3 / 2 / RATE_HZ


async def test_two_secrets_of_a_key_are_good_until_the_overlap_ends(make_gateway: Callable[..., GatewayServer], access: AccessStore) -> None:
    key, first = access.create_key("team", "enterprise", requests_per_minute=0)
    gateway = make_gateway(database_url=access.url)
    second = access.rotate(key.key_id, overlap_s=3600.0)
    assert second is not None
    assert await outcome(gateway, first) == await outcome(gateway, second) == {"in"}
    third = access.rotate(key.key_id)
    assert third is not None
    await eventually(gateway, first, {"UNAUTHORIZED"})
    await eventually(gateway, second, {"UNAUTHORIZED"})
    assert await outcome(gateway, third) == {"in"}


async def test_tokens_outlive_one_rotation_of_the_signing_secret_and_not_two(make_gateway: Callable[..., GatewayServer], access: AccessStore) -> None:
    _, secret = access.create_key("team", "enterprise", requests_per_minute=0)
    one, other = make_gateway(database_url=access.url), make_gateway(database_url=access.url)
    token = granted(one, secret)
    access.rotate_signing()
    assert await outcome(one, token) == await outcome(other, token) == {"in"}
    newer = token
    while signed_with(newer) == signed_with(token):  # until the gateway has looked again
        newer = granted(one, secret)
    assert await outcome(other, newer) == {"in"}
    access.rotate_signing()
    await eventually(one, token, {"UNAUTHORIZED"})
    assert await outcome(other, newer) == {"in"}


def granted(gateway: GatewayServer, secret: str) -> str:
    """A token for a browser, in exchange for a key."""
    answer = httpx.post(
        f"http://127.0.0.1:{gateway.port}/v1/auth/grant", headers={"Authorization": f"Token {secret}"}, json={"ttl_seconds": 600}, timeout=20
    )
    return str(answer.json()["access_token"])


def signed_with(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])
