"""The code in docs/how-to/add-a-protocol.md runs as it stands there, over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import httpx
import pytest
from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from services.gateway import app as gateway_app
from services.gateway.intake import Intake
from services.gateway.requests import parameters
from services.gateway.requests.parameters import Asked
from services.gateway.server import GatewayServer
from services.gateway.sessions.updates import Failed, Final
from tests.unit.gateway.test_native import SECOND
from tests.unit.test_how_to import _blocks


def test_the_protocol_of_the_page_answers(make_gateway: Callable[..., GatewayServer], monkeypatch: pytest.MonkeyPatch) -> None:
    names = {
        "APIRouter": APIRouter,
        "Request": Request,
        "StreamingResponse": StreamingResponse,
        "asyncio": asyncio,
        "replace": replace,
        "parameters": parameters,
        "Asked": Asked,
        "Intake": Intake,
        "Final": Final,
        "Failed": Failed,
    }
    router_code, include_code, *_ = _blocks("add-a-protocol.md")
    exec(router_code, names)  # noqa: S102  # our own page
    build = gateway_app.build_app

    def with_plain(hub, gate, *rest):  # type: ignore[no-untyped-def]
        app = build(hub, gate, *rest)
        exec(include_code, {"app": app, "hub": hub, "gate": gate, "plain": SimpleNamespace(router=names["router"])})  # noqa: S102
        return app

    monkeypatch.setattr("services.gateway.server.build_app", with_plain)
    gateway = make_gateway()
    answer = httpx.post(f"http://127.0.0.1:{gateway.port}/plain", content=iter([SECOND[:3200]] * 20), timeout=20)
    assert answer.text == "S1: hello u1\nS2: hello u2\n"
