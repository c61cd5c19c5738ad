"""Where clients put their key or token: a header, a query parameter, a WebSocket subprotocol, gRPC metadata."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.requests import HTTPConnection

SCHEMES = ("bearer", "token")
QUERY_PARAMETER = "api_key"
OPENAI_SUBPROTOCOL, OPENAI_KEY = "realtime", "openai-insecure-api-key."  # what OpenAI's clients in browsers offer


def presented(connection: HTTPConnection) -> str:
    """``Authorization: Bearer|Token KEY`` in any case, ``x-api-key``, ``?api_key=`` or a subprotocol (``token|bearer, KEY``); else empty."""
    header = connection.headers.get("authorization") or connection.headers.get("x-api-key")
    return _value(header) or connection.query_params.get(QUERY_PARAMETER, "") or _subprotocol(connection.headers.get("sec-websocket-protocol", ""))


def presented_in_metadata(metadata: Iterable[tuple[str, Any]] | None) -> str:
    """The same of a gRPC call: ``authorization`` or ``x-api-key``."""
    texts = {key: value for key, value in metadata or () if isinstance(value, str)}
    return _value(texts.get("authorization") or texts.get("x-api-key"))


def offered_subprotocol(connection: HTTPConnection) -> str | None:
    """What must be selected when the key came as a subprotocol (browsers cannot set headers): its first part, never the key."""
    offered = [part.strip() for part in connection.headers.get("sec-websocket-protocol", "").split(",")]
    if OPENAI_SUBPROTOCOL in offered:
        return OPENAI_SUBPROTOCOL
    return offered[0] if len(offered) == 2 and offered[0].lower() in SCHEMES else None


def _value(header: str | None) -> str:
    scheme, _, value = (header or "").partition(" ")
    if not value:
        return scheme.strip()  # x-api-key has no scheme
    return value.strip() if scheme.lower() in SCHEMES else ""


def _subprotocol(offered: str) -> str:
    parts = [part.strip() for part in offered.split(",")]
    if OPENAI_SUBPROTOCOL in parts:
        return next((part.removeprefix(OPENAI_KEY) for part in parts if part.startswith(OPENAI_KEY)), "")
    return parts[1] if len(parts) == 2 and parts[0].lower() in SCHEMES else ""
