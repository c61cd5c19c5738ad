"""Keys, tokens and log-in over real sockets: who comes in on WebSocket, REST and gRPC, and who does not."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import httpx
import jwt
import pytest
from websockets.exceptions import ConnectionClosed

from services.gateway.access import gate as gate_module
from services.gateway.access import recent
from services.gateway.access.caller import Caller
from services.gateway.access.gate import Gate
from services.gateway.server import GatewayServer
from services.gateway.settings import GatewaySettings
from tests.unit.gateway.test_native import SECOND, dial, everything, of
from tests.unit.gateway.test_recognition import _code, _requests, _stub
from voxrelay import passwords
from voxrelay.bus.memory import MemoryBus
from voxrelay.engines import EngineUnusable
from voxrelay.plans import PLANS
from voxrelay.storage.access import AccessStore
from voxrelay.v1 import services_pb2

CLOSE = json.dumps({"type": "close_stream"})
WITHIN_S = 20.0
Make = Callable[..., GatewayServer]


@pytest.fixture(autouse=True)
def short_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "RECENT_S", 0.05)
    monkeypatch.setattr(passwords, "COST", 16)


def rest(gateway: GatewayServer, credential: str = "", path: str = "/api/sessions", **options: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {credential}"} if credential else {}
    return httpx.request(options.pop("method", "GET"), f"http://127.0.0.1:{gateway.port}{path}", headers=headers, timeout=20, **options)


def log_in(gateway: GatewayServer, name: str, password: str) -> httpx.Response:
    return httpx.post(f"http://127.0.0.1:{gateway.port}/auth/login", json={"username": name, "password": password}, timeout=20)


async def over_websocket(gateway: GatewayServer, credential: str, seconds: int = 0) -> list[dict[str, Any]]:
    """A whole session's messages; the key in the query."""
    async with dial(gateway, f"?api_key={credential}" if credential else "") as socket:
        with contextlib.suppress(ConnectionClosed):  # refused already
            for _ in range(seconds):
                await socket.send(SECOND)
            await socket.send(CLOSE)
        return await everything(socket)


async def outcome(gateway: GatewayServer, credential: str) -> set[str]:
    """What each of the three ways in says: an error's code, or "in"."""
    codes = {"in" if message["type"] == "closed" else message["error"]["code"] for message in (await over_websocket(gateway, credential))[-1:]}
    answer = rest(gateway, credential)
    codes.add("in" if answer.status_code == 200 else answer.json()["error"]["code"])
    metadata = (("authorization", f"Bearer {credential}"),) if credential else ()
    call = lambda: list(_stub(gateway).StreamingRecognize(_requests(SECOND), timeout=20, metadata=metadata))  # noqa: E731  # given twice
    try:
        call()
        codes.add("in")
    except grpc.RpcError as error:
        codes.add(dict(error.trailing_metadata() or ())["voxrelay-error-code"])  # type: ignore[attr-defined]  # a call's error has it
    return codes


async def eventually(gateway: GatewayServer, credential: str, wanted: set[str]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while (found := await outcome(gateway, credential)) != wanted:
        assert time.monotonic() < deadline, f"still {found}"


# --- keys ------------------------------------------------------------------------------------------------------------------


@pytest.mark.conformance("native", "keys: stored as a hash, revoked, expired, rotated", "done")
async def test_keys_open_every_protocol_and_wrong_revoked_expired_and_rotated_ones_none(make_gateway: Make, access: AccessStore) -> None:
    key, right = access.create_key("right", "enterprise")
    _, expired = access.create_key("expired", "enterprise", expires_at=time.time() - 1)
    revoked_key, revoked = access.create_key("revoked", "enterprise")
    access.revoke(revoked_key.key_id)
    gateway = make_gateway(database_url=access.url)
    assert await outcome(gateway, right) == {"in"}
    for wrong in ("", "wrong", right[:-1], right + "x", "a.b.c", "x" * 5000, expired, revoked):
        assert await outcome(gateway, wrong) == {"UNAUTHORIZED"}, wrong
    rotated = access.rotate(key.key_id)
    assert rotated is not None
    await eventually(gateway, right, {"UNAUTHORIZED"})
    assert await outcome(gateway, rotated) == {"in"}
    access.revoke(key.key_id)
    await eventually(gateway, rotated, {"UNAUTHORIZED"})


async def test_on_loopback_keys_are_needed_as_soon_as_there_are_any_and_for_ever(make_gateway: Make, access: AccessStore) -> None:
    gateway = make_gateway(database_url=access.url)
    assert await outcome(gateway, "") == await outcome(gateway, "anything") == {"in"}
    key, secret = access.create_key("first", "enterprise")
    await eventually(gateway, "", {"UNAUTHORIZED"})
    assert await outcome(gateway, secret) == {"in"}
    access.revoke(key.key_id)
    await eventually(gateway, secret, {"UNAUTHORIZED"})
    assert await outcome(gateway, "") == {"UNAUTHORIZED"}


def test_beyond_loopback_it_starts_with_a_key_only_and_says_how_to_make_one(access: AccessStore) -> None:
    settings = GatewaySettings(port=0, grpc_port=0)
    for store in (None, access):
        with pytest.raises(EngineUnusable, match="voxrelay keys create --name NAME --plan PLAN"):
            GatewayServer(MemoryBus(), settings, "0.0.0.0", {}, None, access=store)  # noqa: S104  # that is the point
    access.create_key("first", "free")
    assert GatewayServer(MemoryBus(), settings, "0.0.0.0", {}, None, access=access)._gate.are_keys_needed  # noqa: S104


async def test_while_the_database_does_not_answer_nobody_is_let_in(make_gateway: Make, tmp_path: Path) -> None:
    """The file is there, the tables are not."""
    gateway = make_gateway(database_url=f"sqlite:///{tmp_path / 'voxrelay.db'}")
    assert await outcome(gateway, "") == await outcome(gateway, "vr_x") == {"NOT_READY"}
    answer = rest(gateway)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert _code(lambda: list(_stub(gateway).StreamingRecognize(_requests(SECOND), timeout=20)))[0] is grpc.StatusCode.UNAVAILABLE
    assert "http" not in answer.text
    assert log_in(gateway, "anna", "long enough").status_code == 503


# --- log-in and tokens --------------------------------------------------------------------------------------------------------


@pytest.mark.conformance("native", "call POST /auth/login", "done")
async def test_a_user_logs_in_and_the_token_opens_every_protocol_until_user_or_key_are_gone(make_gateway: Make, access: AccessStore) -> None:
    key, _ = access.create_key("team", "enterprise")
    for name in ("anna", "berta"):
        assert access.create_user(name, "long enough", key.key_id)
    gateway = make_gateway(database_url=access.url)
    answer = log_in(gateway, "anna", "long enough")
    assert answer.status_code == 200
    token = answer.json()["access_token"]
    assert answer.json() == {"access_token": token, "token_type": "bearer", "expires_in": 3600}
    assert 3590 < jwt.decode(token, options={"verify_signature": False})["exp"] - time.time() <= 3600
    assert await outcome(gateway, token) == {"in"}
    other = log_in(gateway, "berta", "long enough").json()["access_token"]
    access.remove_user("anna")
    await eventually(gateway, token, {"UNAUTHORIZED"})
    assert await outcome(gateway, other) == {"in"}
    access.revoke(key.key_id)
    await eventually(gateway, other, {"UNAUTHORIZED"})
    assert log_in(gateway, "berta", "long enough").status_code == 401


def test_a_wrong_name_and_a_wrong_password_are_answered_alike_and_attempts_are_limited(make_gateway: Make, access: AccessStore) -> None:
    key, _ = access.create_key("team", "enterprise")
    access.create_user("anna", "long enough", key.key_id)
    gateway = make_gateway(database_url=access.url)
    wrong = [log_in(gateway, *pair) for pair in (("anna", "wrong"), ("nobody", "long enough"))]
    assert {answer.status_code for answer in wrong} == {401}
    assert wrong[0].json() == wrong[1].json()
    answers = [log_in(gateway, "anna", "wrong") for _ in range(gate_module.LOGINS_PER_MINUTE * 2 + 1)]  # a new minute may begin within them
    limited = [answer for answer in answers if answer.status_code == 429]
    assert limited
    assert limited[0].json()["error"]["code"] == "RATE_LIMITED"
    assert 1 <= int(limited[0].headers["retry-after"]) <= 60
    assert "anna" not in str([dict(row) for row in rows(access, "requests_by_minute")])


NO_LOG_IN = (
    "",
    "[]",
    "{",
    '{"username":"a"}',
    '{"username":1,"password":"x"}',
    '{"username":"\\u0000","password":"x"}',
    '{"username":"","password":"x"}',
)


@pytest.mark.parametrize("body", NO_LOG_IN)
def test_a_log_in_that_is_none(make_gateway: Make, access: AccessStore, body: str) -> None:
    gateway = make_gateway(database_url=access.url)
    answer = httpx.post(f"http://127.0.0.1:{gateway.port}/auth/login", content=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_MESSAGE")


def test_a_log_in_is_bounded_before_it_is_read(make_gateway: Make, access: AccessStore) -> None:
    gateway = make_gateway(database_url=access.url)
    answer = httpx.post(f"http://127.0.0.1:{gateway.port}/auth/login", content=b'{"username": "' + b"a" * 100_000)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "MESSAGE_TOO_LARGE")


@pytest.mark.filterwarnings("ignore:The HMAC key is")
async def test_tokens_are_not_forged_and_end_with_their_secret(make_gateway: Make, access: AccessStore) -> None:
    key, _ = access.create_key("team", "enterprise")
    gateway, other = make_gateway(database_url=access.url), make_gateway(database_url=access.url)
    secret_id, secret = next(iter(access.signing_secrets().items()))
    good = {"sub": key.key_id, "exp": int(time.time()) + 60}

    def token(claims: dict[str, Any], *, signed_with: str = secret, kid: str = secret_id, algorithm: str = "HS256") -> str:
        return jwt.encode(claims, signed_with, algorithm=algorithm, headers={"kid": kid})

    for one in (gateway, other):  # any gateway's token is good at all of them
        assert await outcome(one, token(good)) == {"in"}
    for forged in (
        token(good, signed_with="x" * 43),
        token(good, kid="none"),
        token(good, signed_with="", algorithm="none"),
        token(good, algorithm="HS512"),
        token(good | {"exp": int(time.time()) - 1}),
        token({"sub": key.key_id}),
        token(good | {"sub": "key_none"}),
        token(good | {"user": "nobody"}),
        token(good | {"aud": "resume"}),  # sealed for something else
        token(good)[:-2],
    ):
        assert await outcome(gateway, forged) == {"UNAUTHORIZED"}
    access.rotate_signing()
    assert await outcome(gateway, token(good)) == {"in"}  # the one before still verifies
    access.rotate_signing(keep=0)
    await eventually(gateway, token(good), {"UNAUTHORIZED"})


async def test_a_grant_is_as_good_as_its_key_and_never_longer_than_the_token_it_was_made_with(access: AccessStore) -> None:
    key, secret = access.create_key("team", "developer", is_admin=True)
    now = [1000.0 + time.time()]
    gate = Gate(access, wall=lambda: now[0])
    caller = await gate.admit_credential(secret)
    assert caller == Caller(key.key_id, PLANS["developer"], is_admin=True)
    granted = await gate.admit_credential(await gate.grant(caller, 30))
    assert (granted.owner, granted.plan, granted.is_admin) == (caller.owner, caller.plan, True)
    assert granted.token_ends_at == int(now[0] + 30)
    again = await gate.admit_credential(await gate.grant(granted, 3600))
    assert again.token_ends_at == granted.token_ends_at


async def test_a_token_sent_as_a_subprotocol_opens_the_websocket(make_gateway: Make, access: AccessStore) -> None:
    _, secret = access.create_key("team", "enterprise")
    gateway = make_gateway(database_url=access.url)
    for subprotocols in (["token", secret], ["bearer", secret]):
        async with dial(gateway, subprotocols=subprotocols) as socket:
            assert socket.subprotocol == subprotocols[0]
            await socket.send(CLOSE)
            assert of(await everything(socket), "closed")


def rows(access: AccessStore, table: str) -> list[Any]:
    from sqlalchemy import text

    with access._reader.connect() as connection:
        return list(connection.execute(text(f"SELECT * FROM {table}")).mappings())  # noqa: S608  # a name of ours


def test_grpc_calls_of_other_services_need_a_key_too(make_gateway: Make, access: AccessStore) -> None:
    from voxrelay.v1 import services_pb2_grpc

    _, secret = access.create_key("team", "enterprise")
    gateway = make_gateway(database_url=access.url)
    stub = services_pb2_grpc.ArchiveStub(grpc.insecure_channel(f"127.0.0.1:{gateway.grpc_port}"))
    assert _code(lambda: stub.ListSessions(services_pb2.ListSessionsRequest(), timeout=10))[1] == "UNAUTHORIZED"
    assert not stub.ListSessions(services_pb2.ListSessionsRequest(), timeout=10, metadata=(("x-api-key", secret),)).sessions
