"""Plans over real sockets: requests a minute, sessions at once, minutes a month, vocabulary and models; usage and whose sessions are shown."""

from __future__ import annotations

import asyncio
import io
import json
import time
import wave
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import grpc
import httpx
import pytest

from services.gateway.access import gate as gate_module
from services.gateway.access import recent
from services.gateway.access.gate import Gate
from services.gateway.server import GatewayServer
from tests.unit.gateway.test_access import Make, over_websocket, rest, rows
from tests.unit.gateway.test_native import SECOND, _wav, dial, everything, of
from tests.unit.gateway.test_recognition import LINEAR, _requests, _stub
from voxrelay.errors import Refused
from voxrelay.plans import PLANS
from voxrelay.storage.access import AccessStore
from voxrelay.storage.limits import PLACE_S
from voxrelay.v1 import services_pb2, services_pb2_grpc

CLOSE = json.dumps({"type": "close_stream"})
WITHIN_S = 20.0


@pytest.fixture(autouse=True)
def short_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "RECENT_S", 0.05)


def bearer(secret: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {secret}"),)


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.05)


def refusal_over_grpc(gateway: GatewayServer, secret: str) -> dict[str, Any]:
    with pytest.raises(grpc.RpcError) as failure:
        list(_stub(gateway).StreamingRecognize(_requests(SECOND), timeout=20, metadata=bearer(secret)))
    error: Any = failure.value
    return {"status": error.code(), **dict(error.trailing_metadata())}


# --- requests a minute ------------------------------------------------------------------------------------------------------


@pytest.mark.conformance("native", "limit: requests a minute", "done", "429 with Retry-After; counted over all gateways")
async def test_requests_of_a_minute_are_counted_over_gateways_and_the_answer_says_how_long_to_wait(make_gateway: Make, access: AccessStore) -> None:
    _, secret = access.create_key("a", "enterprise", requests_per_minute=4)
    _, other = access.create_key("b", "enterprise")
    gateways = [make_gateway(database_url=access.url) for _ in range(2)]
    while time.time() % 60 > 40:  # the test needs a few seconds of one minute
        await asyncio.sleep(0.5)
    assert [rest(gateways[n % 2], secret).status_code for n in range(4)] == [200] * 4
    for gateway in gateways:
        before_s = 60 - time.time() % 60
        answer = rest(gateway, secret)
        after_s = 60 - time.time() % 60
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "RATE_LIMITED")
        assert after_s <= int(answer.headers["retry-after"]) <= before_s + 1
        assert answer.json()["error"]["retry_after"] == int(answer.headers["retry-after"])
        error = (await over_websocket(gateway, secret))[-1]["error"]
        assert error["code"] == "RATE_LIMITED"
        assert 0 < error["retry_after"] <= before_s + 1
        refused = refusal_over_grpc(gateway, secret)
        assert (refused["status"], refused["voxrelay-error-code"]) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
        assert 0 < int(refused["retry-after"]) <= before_s + 1
        assert rest(gateway, other).status_code == 200


async def test_a_new_minute_has_new_requests(access: AccessStore) -> None:
    _, secret = access.create_key("a", "free", requests_per_minute=1)
    now = [time.time() // 60 * 60 + 59.5]
    access.limits._clock = lambda: now[0]
    gate = Gate(access, wall=lambda: now[0])
    await gate.admit_credential(secret)
    with pytest.raises(Refused) as refused:
        await gate.admit_credential(secret)
    assert (refused.value.code, refused.value.retry_after_s) == ("RATE_LIMITED", 1)
    now[0] += 1
    await gate.admit_credential(secret)


# --- sessions at once ----------------------------------------------------------------------------------------------------------


@pytest.mark.conformance("native", "limit: sessions at once", "done", "counted over all gateways; those of a dead gateway lapse")
async def test_sessions_at_once_over_gateways_and_the_place_of_one_that_ended_is_free(make_gateway: Make, access: AccessStore) -> None:
    _, secret = access.create_key("a", "enterprise", concurrent_sessions=1)
    first, second = (make_gateway(database_url=access.url) for _ in range(2))
    async with dial(first, f"?api_key={secret}") as socket:
        assert json.loads(await socket.recv())["type"] == "session"
        for gateway in (first, second):
            assert (await over_websocket(gateway, secret))[-1]["error"]["code"] == "SESSION_LIMIT"
            assert refusal_over_grpc(gateway, secret)["voxrelay-error-code"] == "SESSION_LIMIT"
            answer = rest(gateway, secret, "/api/process", method="POST", content=_wav())
            assert (answer.status_code, answer.json()["error"]["code"]) == (429, "SESSION_LIMIT")
            answer = rest(gateway, secret, "/v1/speak", method="POST", json={"text": "hello"})
            assert (answer.status_code, answer.json()["error"]["code"]) == (429, "SESSION_LIMIT")
        await socket.send(CLOSE)
        assert of(await everything(socket), "closed")
    await until(lambda: rest(second, secret, "/v1/speak", method="POST", json={"text": "hello"}).status_code == 200)
    await until(lambda: rest(first, secret, "/api/process", method="POST", content=_wav()).status_code == 200)


async def test_a_living_gateway_keeps_its_places_and_a_dead_one_loses_them(
    make_gateway: Make, access: AccessStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dead one took its place so long ago, renewed nothing, and gave nothing back."""
    monkeypatch.setattr(gate_module, "RENEW_EVERY_S", 0.1)
    _, secret = access.create_key("a", "enterprise", concurrent_sessions=2)
    long_ago = AccessStore(access.url, lambda: time.time() - PLACE_S - 1)
    dead = Gate(long_ago)
    await dead.take_place(await dead.admit_credential(secret), "of the dead")
    gateway = make_gateway(database_url=access.url)
    async with dial(gateway, f"?api_key={secret}") as living, dial(gateway, f"?api_key={secret}") as second:  # in the dead one's place
        session_id = json.loads(await living.recv())["session_id"]
        assert json.loads(await second.recv())["type"] == "session"
        assert (await over_websocket(gateway, secret))[-1]["error"]["code"] == "SESSION_LIMIT"
        lease = place_ends_at(access, session_id)
        await until(lambda: place_ends_at(access, session_id) > lease)
        assert place_ends_at(access, "of the dead") < time.time()
    long_ago.close()


def place_ends_at(access: AccessStore, session_id: str) -> float:
    ends_at = {row["session_id"]: row["expires_at"] for row in rows(access, "places")}
    return float(ends_at[session_id])


async def test_a_gateway_that_ends_gives_its_places_back(make_gateway: Make, access: AccessStore) -> None:
    key, secret = access.create_key("a", "enterprise", concurrent_sessions=1)
    gate = Gate(AccessStore(access.url))
    await gate.take_place(await gate.admit_credential(secret), "s1")
    with pytest.raises(Refused):
        access.limits.take_place(key.key_id, key.allowed, "s2", "another")
    await gate.close()
    access.limits.take_place(key.key_id, key.allowed, "s2", "another")


async def test_who_ends_a_session_may_begin_the_next_at_once(make_gateway: Make, access: AccessStore) -> None:
    _, secret = access.create_key("a", "enterprise", concurrent_sessions=1, requests_per_minute=0)
    gateway = make_gateway(database_url=access.url)
    with httpx.Client(base_url=f"http://127.0.0.1:{gateway.port}", headers={"x-api-key": secret}, timeout=20) as client:
        for _ in range(15):
            assert client.post("/v1/speak", json={"text": "hello"}).status_code == 200
            assert client.post("/api/process", content=b"no audio").status_code == 415


# --- minutes, vocabulary, models -----------------------------------------------------------------------------------------------


async def test_the_last_of_a_file_counts_too(make_gateway: Make, access: AccessStore) -> None:
    _, secret = access.create_key("a", "free")
    gateway = make_gateway(database_url=access.url)
    for half_seconds in (1, 3):  # on the log in one piece at its end, and in two
        file = io.BytesIO()
        with wave.open(file, "wb") as writer:
            writer.setparams((1, 2, 16_000, 0, "NONE", ""))
            writer.writeframes(bytes(16_000 * half_seconds))
        assert rest(gateway, secret, "/api/process", method="POST", content=file.getvalue()).status_code == 200
    await until(lambda: sorted(row["audio_seconds"] for row in rows(access, "places")) == [0.5, 1.5])


@pytest.mark.conformance("native", "limit: minutes a month", "done", "what is stored of the month and what runs")
async def test_the_minutes_of_the_month_end_a_session_and_keep_its_results(
    make_gateway: Make, access: AccessStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PLANS, "free", replace(PLANS["free"], minutes_per_month=1))
    _, secret = access.create_key("a", "free")
    gateway = make_gateway(database_url=access.url)
    messages = await over_websocket(gateway, secret, seconds=58)
    assert of(messages, "closed")[0]["audio_seconds"] == 58.0
    messages = await over_websocket(gateway, secret, seconds=6)
    assert messages[-1]["error"]["code"] == "QUOTA_EXCEEDED"
    assert len(of(messages, "final")) in (2, 3)  # the second that crossed the limit is still heard
    assert (await over_websocket(gateway, secret, seconds=1))[-1]["error"]["code"] == "QUOTA_EXCEEDED"
    answer = rest(gateway, secret, "/api/process", method="POST", content=_wav())
    assert (answer.status_code, answer.json()["error"]["code"]) == (402, "QUOTA_EXCEEDED")
    assert refusal_over_grpc(gateway, secret)["voxrelay-error-code"] == "QUOTA_EXCEEDED"
    assert rest(gateway, secret).status_code == 200  # what was heard is still shown


@pytest.mark.conformance("native", "limit: vocabulary terms", "done")
async def test_vocabulary_and_models_of_the_plan(make_gateway: Make, access: AccessStore) -> None:
    _, secret = access.create_key("a", "free", models=["one", "two"])
    gateway = make_gateway(database_url=access.url)
    terms = [f"term{number}" for number in range(PLANS["free"].vocabulary_terms + 1)]
    headers = {"Authorization": f"Token {secret}"}
    for parameters, code in (
        ({"custom_vocabulary": ",".join(terms)}, "QUOTA_EXCEEDED"),
        ({"model": "three"}, "FORBIDDEN"),
        ({"custom_vocabulary": ",".join(terms[1:]), "model": "two"}, ""),
    ):
        answer = httpx.post(f"http://127.0.0.1:{gateway.port}/api/process", params=parameters, content=_wav(), headers=headers, timeout=20)
        assert answer.json().get("error", {}).get("code", "") == code
    async with dial(gateway, f"?api_key={secret}&model=three") as socket:
        await socket.send(SECOND)
        assert of(await everything(socket), "error")[0]["error"]["code"] == "FORBIDDEN"
    forbidden = services_pb2.RecognizeRequest(config=services_pb2.RecognitionConfig(model="three"), audio=_wav())
    with pytest.raises(grpc.RpcError) as failure:
        _stub(gateway).Recognize(forbidden, timeout=20, metadata=bearer(secret))
    assert failure.value.code() is grpc.StatusCode.PERMISSION_DENIED  # type: ignore[attr-defined]  # a call's error has it


# --- usage, and whose sessions are shown ------------------------------------------------------------------------------------------


@pytest.mark.conformance("native", "call GET /api/usage", "done", "own usage; with an admin key everybody's")
async def test_usage_is_exactly_what_was_streamed_and_sessions_are_shown_to_their_owner(make_gateway: Make, access: AccessStore) -> None:
    (key_a, a), (key_b, b) = (access.create_key(name, "enterprise") for name in "ab")
    _, admin = access.create_key("admin", "enterprise", is_admin=True)
    gateway = make_gateway(database_url=access.url)
    assert rest(gateway, a, "/api/usage").json() == []
    await over_websocket(gateway, a, seconds=3)
    async with dial(gateway, f"?api_key={a}") as vanishing:
        await vanishing.send(SECOND + SECOND[: len(SECOND) // 2])
        while json.loads(await vanishing.recv())["type"] != "final":
            pass
        await vanishing.close()
    wav = _wav()
    file_seconds = rest(gateway, a, "/api/process", method="POST", content=wav).json()["audio_seconds"]
    list(_stub(gateway).StreamingRecognize(_requests(SECOND, SECOND), timeout=20, metadata=bearer(b)))
    unary = _stub(gateway).Recognize(services_pb2.RecognizeRequest(config=LINEAR, audio=SECOND), timeout=20, metadata=bearer(b))
    assert rest(gateway, b, "/v1/speak", method="POST", json={"text": "Grüße, alle!"}).status_code == 200
    today = datetime.now(UTC).date().isoformat()
    of_a = {"key": key_a.key_id, "day": today, "sessions": 3, "audio_seconds": round(4.5 + file_seconds, 3), "syntheses": 0, "characters": 0}
    of_b = {"key": key_b.key_id, "day": today, "sessions": 2, "audio_seconds": 3.0, "syntheses": 1, "characters": 12}
    await until(lambda: rest(gateway, a, "/api/usage").json() == [of_a])
    await until(lambda: rest(gateway, b, "/api/usage").json() == [of_b])
    everybody = rest(gateway, admin, "/api/usage").json()
    assert sorted(everybody, key=lambda row: row["characters"]) == [of_a, of_b]
    assert rest(gateway, admin, f"/api/usage?key={key_b.key_id}&from={today}&to={today}").json() == [of_b]
    assert rest(gateway, a, f"/api/usage?key={key_a.key_id}&from={today}").json() == [of_a]
    assert rest(gateway, a, "/api/usage?to=2020-01-01").json() == []
    refused = rest(gateway, a, f"/api/usage?key={key_b.key_id}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "FORBIDDEN")
    assert rest(gateway, a, "/api/usage?from=yesterday").json()["error"]["code"] == "INVALID_PARAMETER"

    seen = {secret: {summary["session_id"] for summary in rest(gateway, secret).json()} for secret in (a, b, admin)}
    assert (len(seen[a]), len(seen[b])) == (3, 2)
    assert seen[admin] == seen[a] | seen[b]
    assert unary.session_id in seen[b]
    await until(lambda: len(rest(gateway, b, "/api/search?q=kenobi").json()) == 3)
    assert rest(gateway, a, "/api/search?q=kenobi").json() == []
    for path in ("", "/words", "/speakers", "/attributes", "/export"):
        assert [rest(gateway, secret, f"/api/sessions/{unary.session_id}{path}").status_code for secret in (a, b, admin)] == [404, 200, 200]

    archive = services_pb2_grpc.ArchiveStub(grpc.insecure_channel(f"127.0.0.1:{gateway.grpc_port}"))
    for secret in (a, b, admin):
        listed = archive.ListSessions(services_pb2.ListSessionsRequest(limit=10), timeout=10, metadata=bearer(secret))
        assert {summary.session_id for summary in listed.sessions} == seen[secret]
        found = archive.Search(services_pb2.SearchRequest(query="kenobi"), timeout=10, metadata=bearer(secret))
        assert len(found.hits) == (0 if secret == a else 3)
    wanted = services_pb2.GetSessionRequest(session_id=unary.session_id)
    assert archive.GetSession(wanted, timeout=10, metadata=bearer(b)).summary.session_id == unary.session_id
    with pytest.raises(grpc.RpcError) as failure:
        archive.GetSession(wanted, timeout=10, metadata=bearer(a))
    assert failure.value.code() is grpc.StatusCode.NOT_FOUND  # type: ignore[attr-defined]  # a call's error has it
