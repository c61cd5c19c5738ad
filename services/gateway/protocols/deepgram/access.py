"""POST /v1/auth/grant: a token for a browser, in exchange for a key."""

from __future__ import annotations

from fastapi import APIRouter, Request

from services.gateway.access.gate import Gate
from services.gateway.protocols.deepgram import refusal
from services.gateway.requests import refusals
from services.gateway.requests.bounds import parse_json
from voxrelay.errors import Refused

EDGE = "deepgram"
DEFAULT_TTL_S = 30
MOST_TTL_S = 3600
MOST_BODY_BYTES = 4096


def _ttl_of(body: bytes) -> int:
    """Raises ``Refused``. A body need not be there."""
    if not body.strip():
        return DEFAULT_TTL_S
    try:
        asked = parse_json(body)
    except ValueError:
        asked = None
    if not isinstance(asked, dict):
        raise Refused("INVALID_MESSAGE", 'The body must be JSON such as {"ttl_seconds": 30}.')
    ttl_s = asked.get("ttl_seconds")
    if ttl_s is None:
        return DEFAULT_TTL_S
    if isinstance(ttl_s, bool) or not isinstance(ttl_s, int | float) or ttl_s != ttl_s // 1 or not 1 <= ttl_s <= MOST_TTL_S:
        raise Refused("INVALID_PARAMETER", f"'ttl_seconds' must be a whole number from 1 to {MOST_TTL_S}.")
    return int(ttl_s)


def router(gate: Gate) -> APIRouter:
    routes = APIRouter(route_class=refusals.route_class(EDGE, refusal.render))

    @routes.post("/v1/auth/grant", tags=["deepgram"])
    async def grant(request: Request) -> dict[str, str | int]:
        """A token that lets its bearer in as the caller for ``ttl_seconds`` (1 to 3600, 30 if not given)."""
        caller = await gate.admit(request)
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > MOST_BODY_BYTES:
                raise Refused("MESSAGE_TOO_LARGE", 'The body must be JSON such as {"ttl_seconds": 30}.')
        ttl_s = _ttl_of(body)
        return {"access_token": await gate.grant(caller, ttl_s), "expires_in": ttl_s}

    return routes
