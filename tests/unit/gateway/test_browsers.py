"""A web page must not reach a gateway it does not belong to: Host, Origin, CORS and what answers say to browsers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from services.gateway.browsers import host_name
from services.gateway.server import GatewayServer

APP = "https://app.example.org"


def ask(gateway: GatewayServer, method: str, path: str, **headers: str) -> httpx.Response:
    return httpx.request(method, f"http://127.0.0.1:{gateway.port}{path}", headers=headers)


async def opens(gateway: GatewayServer, **headers: str) -> int:
    """101, or the status of the refusal."""
    try:
        async with connect(f"ws://127.0.0.1:{gateway.port}/ws/v1/transcribe", compression=None, additional_headers=headers) as socket:
            assert json.loads(await socket.recv())["type"] == "session"
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


FOREIGN = ["https://evil.example", "http://127.0.0.1", "http://127.0.0.1:1", "http://localhost", "null", "file://", "http://127.0.0.1.evil.example"]


@pytest.mark.parametrize("origin", FOREIGN)
async def test_a_foreign_page_reaches_nothing(origin: str, gateway: GatewayServer) -> None:
    assert await opens(gateway, Origin=origin) == 403
    answer = ask(gateway, "POST", "/v1/speak", Origin=origin)
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "FORBIDDEN"
    assert "access-control-allow-origin" not in answer.headers
    answer = ask(gateway, "GET", "/health", Origin=origin)  # it may ask, and may not read the answer
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


async def test_the_gateways_own_page_and_clients_that_are_no_browsers_reach_it(gateway: GatewayServer) -> None:
    own = f"http://127.0.0.1:{gateway.port}"
    assert await opens(gateway, Origin=own) == 101
    assert await opens(gateway) == 101
    for headers in ({"Origin": own}, {}):
        assert ask(gateway, "POST", "/v1/speak", **headers).status_code == 400  # for its missing body


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "evil.example:8080", "169.254.169.254", "localhost.evil.example", "[::2]"]
)
async def test_a_name_that_was_bound_to_loopback_is_refused(host: str, gateway: GatewayServer) -> None:
    """DNS rebinding: the page's own name leads here, so that Host and Origin agree."""
    for method in ("GET", "POST"):
        assert ask(gateway, method, "/v1/speak", Host=host, Origin=f"http://{host}").status_code == 403
    async with httpx.AsyncClient() as client:
        upgrade = {"Host": host, "Origin": f"http://{host}", "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        answer = await client.get(
            f"http://127.0.0.1:{gateway.port}/ws/v1/transcribe", headers=upgrade | {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
        )
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "FORBIDDEN"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8080", "127.0.0.1", "[::1]:8080", "localhost."])
def test_loopback_has_several_names(host: str, gateway: GatewayServer) -> None:
    assert ask(gateway, "GET", "/health", Host=host).status_code == 200


def test_host_names_of_the_setting(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(allowed_hosts=("voice.example.org",))
    assert ask(gateway, "GET", "/health", Host="voice.example.org:443").status_code == 200
    assert ask(gateway, "GET", "/health", Host="localhost").status_code == 403


@pytest.mark.parametrize(
    ("host", "name"),
    [("a.b:1", "a.b"), ("a.b", "a.b"), ("[::1]", "[::1]"), ("[::1]:80", "[::1]"), ("A.B.", "a.b"), ("", ""), (":", ":")],
)
def test_host_name(host: str, name: str) -> None:
    assert host_name(host) == name


async def test_an_allowed_page_calls_and_reads(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(allowed_origins=(APP,))
    assert await opens(gateway, Origin=APP) == 101
    assert await opens(gateway, Origin="https://other.example") == 403
    preflight: dict[str, Any] = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    answer = ask(gateway, "OPTIONS", "/v1/speak", Origin=APP, **preflight)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == APP
    assert "authorization" in answer.headers["access-control-allow-headers"]
    answer = ask(gateway, "POST", "/v1/speak", Origin=APP)
    assert answer.status_code == 400
    assert answer.headers["access-control-allow-origin"] == APP  # errors can be read too
    assert "access-control-allow-credentials" not in answer.headers
    assert ask(gateway, "OPTIONS", "/v1/speak", Origin="https://other.example", **preflight).status_code == 400
    answer = ask(gateway, "POST", "/v1/speak", Origin="https://other.example")
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


async def test_every_origin(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(allowed_origins=("*",))
    assert await opens(gateway, Origin=APP) == 101
    assert ask(gateway, "GET", "/health", Origin=APP).headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("path", ["/health", "/openapi.json", "/docs", "/nothing", "/metrics"])
def test_what_answers_say_to_browsers(path: str, gateway: GatewayServer) -> None:
    headers = ask(gateway, "GET", path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    policy = headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert policy.startswith("default-src 'none'") is (path != "/docs")
    assert "server" not in headers
