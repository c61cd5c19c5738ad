"""POST /v1/realtime/client_secrets: a token for a browser, with the session it is for inside."""

from __future__ import annotations

import base64
import json
import secrets
import time
from typing import Any

import jwt
from fastapi import APIRouter, Request

from services.gateway.access.gate import Gate
from services.gateway.protocols.openai.form import choice, number
from services.gateway.protocols.openai.refusal import RefusedParameter, render
from services.gateway.protocols.openai.wishes import RealtimeWishes, updated
from services.gateway.requests import refusals
from services.gateway.requests.bounds import parse_json
from services.gateway.sessions.hub import SessionHub

EDGE = "openai"
PREFIX = "ek_"  # what OpenAI's browser clients look for
BETWEEN = "~"  # may stand in a header and in a subprotocol, and never in a token
SHORTEST_S, LONGEST_S, DEFAULT_S = 10, 7200, 600
MOST_BODY_BYTES = 64 * 1024
MOST_SESSION_BYTES = 4096


def seal(token: str, session: dict[str, Any]) -> str:
    """The secret of a token. The session is no secret of ours: whoever holds the token may set it anyway."""
    packed = base64.urlsafe_b64encode(json.dumps(session, separators=(",", ":")).encode()).decode().rstrip("=")
    return f"{PREFIX}{token}{BETWEEN}{packed}"


def unseal(credential: str) -> tuple[str, dict[str, Any]]:
    """The token or key in what a client presented, and the session it was made for (empty for a key). Raises ``RefusedParameter``."""
    if not credential.startswith(PREFIX) or BETWEEN not in credential:
        return credential, {}
    token, _, packed = credential.removeprefix(PREFIX).partition(BETWEEN)
    try:
        session = parse_json(base64.urlsafe_b64decode(packed[: 2 * MOST_SESSION_BYTES] + "=="))
    except ValueError:
        session = None
    if not isinstance(session, dict):
        raise RefusedParameter("client_secret", "This client secret is damaged; ask for a new one.", "UNAUTHORIZED")
    return token, session


def router(hub: SessionHub, gate: Gate) -> APIRouter:
    routes = APIRouter(route_class=refusals.route_class(EDGE, render), tags=["openai"])

    @routes.post("/v1/realtime/client_secrets", openapi_extra=_DESCRIPTION)
    async def client_secrets(request: Request) -> dict[str, Any]:
        """A token that opens realtime sessions until it expires; a session it opens begins as it was described here."""
        caller = await gate.admit(request)
        body = await _json(request)
        expires_after = _of(body, "expires_after", ("anchor", "seconds"))
        choice("expires_after.anchor", expires_after.get("anchor", "created_at"), ("created_at",))
        ttl_s = int(number("expires_after.seconds", expires_after.get("seconds", DEFAULT_S), SHORTEST_S, LONGEST_S))
        session = body.get("session") or {}
        shown = updated(RealtimeWishes(), session, hub.settings).session(secrets.token_hex(16))
        token = await gate.grant(caller, ttl_s)
        if len(json.dumps(session)) > MOST_SESSION_BYTES:
            raise RefusedParameter("session", f"A session of at most {MOST_SESSION_BYTES} bytes fits here; send the rest in session.update.")
        return {"value": seal(token, session), "expires_at": _expiry(token, ttl_s), "session": shown}

    return routes


def _expiry(token: str, ttl_s: int) -> int:
    """Seconds since the epoch, as the token has it: it may end before its time."""
    claims = jwt.decode(token, options={"verify_signature": False})
    return int(claims.get("exp", time.time() + ttl_s))


async def _json(request: Request) -> dict[str, Any]:
    """The body as an object; nothing at all is an empty one. Raises ``RefusedParameter``."""
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > MOST_BODY_BYTES:
            raise RefusedParameter("body", f"At most {MOST_BODY_BYTES // 1024} kB are read here.", "MESSAGE_TOO_LARGE")
    try:
        body = parse_json(data or b"{}")
    except ValueError:
        body = None
    return _of({"body": body if body is not None else []}, "body", ("expires_after", "session"))


def _of(value: dict[str, Any], name: str, known: tuple[str, ...]) -> dict[str, Any]:
    found = value.get(name) if value.get(name) is not None else {}
    if not isinstance(found, dict):
        raise RefusedParameter(name, f"'{name}' must be a JSON object.", "INVALID_MESSAGE")
    for key in found:
        if key not in known:
            raise RefusedParameter(str(key)[:60], f"Unknown parameter: '{str(key)[:60]}'; there are {', '.join(known)}.")
    return found


_DESCRIPTION: dict[str, Any] = {
    "requestBody": {
        "content": {
            "application/json": {"schema": {"type": "object", "properties": {"expires_after": {"type": "object"}, "session": {"type": "object"}}}}
        }
    }
}
