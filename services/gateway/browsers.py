"""What a browser does that no other client does: it lets any web page send requests here. Which may, and what answers say to browsers.

A gateway without keys on loopback is within reach of every page its user looks at; Host and Origin are the two headers a page cannot choose.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway import errors
from voxrelay.telemetry import REFUSALS

EDGE = "browsers"
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
PREFLIGHT_S = 600
ANY = "*"

# Set where the answer has not set its own. A key may stand in an address (api_key=…), so none is passed on as a referrer.
HEADERS = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "cache-control": "no-store", "x-frame-options": "DENY"}
NO_PAGE = "default-src 'none'; frame-ancestors 'none'"
PAGE = "frame-ancestors 'none'"


def add(app: FastAPI, allowed_origins: Sequence[str], allowed_hosts: Sequence[str]) -> None:
    """``allowed_hosts`` empty: every host. Requests without an Origin header are no web page's, and pass."""
    app.add_middleware(_Rules, allowed_origins=allowed_origins, allowed_hosts=allowed_hosts)
    if allowed_origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(allowed_origins), allow_methods=[ANY], allow_headers=[ANY], expose_headers=[ANY], max_age=PREFLIGHT_S
        )


def host_name(host: str) -> str:
    """Of a Host header: without its port, in lower case."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() and not name.endswith(":") else host).lower().rstrip(".")


class _Rules:
    def __init__(self, app: ASGIApp, allowed_origins: Sequence[str], allowed_hosts: Sequence[str]) -> None:
        self._app = app
        self._origins = frozenset(origin.lower() for origin in allowed_origins)
        self._hosts = frozenset(host.lower() for host in allowed_hosts)
        self._resource_policy = "cross-origin" if allowed_origins else "same-origin"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal:
            REFUSALS.labels(EDGE, "FORBIDDEN").inc()
            await _refuse(scope, receive, send, refusal)
        elif scope["type"] == "http":
            await self._app(scope, receive, self._with_headers(send))
        else:
            await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> str:
        """Why this request is not taken; empty when it is."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._hosts and host and host_name(host) not in self._hosts:
            return "This gateway is not known by the host name of this request; VOXRELAY_GATEWAY_ALLOWED_HOSTS has those it is known by."
        origin = headers.get("origin", "").lower()
        if not origin or (scope["type"] == "http" and scope["method"] in SAFE_METHODS):
            return ""
        if origin.partition("://")[2] == host.lower() or ANY in self._origins or origin in self._origins:
            return ""
        return "Web pages of this origin may not call this gateway; VOXRELAY_GATEWAY_ALLOWED_ORIGINS has those that may."

    def _with_headers(self, send: Send) -> Send:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cross-origin-resource-policy", self._resource_policy)
                is_page = headers.get("content-type", "").startswith("text/html")
                headers.setdefault("content-security-policy", PAGE if is_page else NO_PAGE)
            await send(message)

        return send_with_headers


async def _refuse(scope: Scope, receive: Receive, send: Send, message: str) -> None:
    """403 with the reason, before a WebSocket is accepted too."""
    if scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": errors.CODES["FORBIDDEN"].websocket, "reason": message[:120]})
        return
    response = JSONResponse(errors.body("FORBIDDEN", message), errors.CODES["FORBIDDEN"].http, HEADERS)
    await response(scope, receive, send)
