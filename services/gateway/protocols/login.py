"""POST /auth/login: a user's name and password to a token that every call takes as a key."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import ValidationError

from services.gateway.access.gate import Gate
from services.gateway.models import ErrorAnswer, LoginAnswer, LoginRequest
from voxrelay.errors import Refused

MOST_BODY_BYTES = 8192


def router(gate: Gate) -> APIRouter:
    routes = APIRouter(tags=["access"], responses={status: {"model": ErrorAnswer} for status in (400, 401, 413, 429, 503)})
    schema: dict[str, Any] = {"requestBody": {"required": True, "content": {"application/json": {"schema": LoginRequest.model_json_schema()}}}}

    @routes.post("/auth/login", response_model=LoginAnswer, openapi_extra=schema)
    async def log_in(request: Request) -> dict[str, Any]:
        """A token for a user (voxrelay users create). It ends after an hour, or with the user, or with the key they act as."""
        asked = await _asked(request)
        token, expires_in_s = await gate.log_in(asked.username, asked.password, request.client.host if request.client else "")
        return {"access_token": token, "token_type": "bearer", "expires_in": expires_in_s}

    return routes


async def _asked(request: Request) -> LoginRequest:
    """Anybody may send this, so that it is bounded before it is read."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BODY_BYTES:
            raise Refused("MESSAGE_TOO_LARGE", "Send a JSON object with 'username' and 'password' alone.")
    try:
        asked = LoginRequest.model_validate_json(bytes(body))
    except ValidationError:
        raise Refused("INVALID_MESSAGE", "Send a JSON object with the texts 'username' and 'password', of at most 200 characters each.") from None
    if not asked.username.isprintable():
        raise Refused("INVALID_MESSAGE", "A user name has printable characters only.")
    return asked
