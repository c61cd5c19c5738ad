"""A request's body as a JSON object; ``bounds`` keeps it small."""

from __future__ import annotations

from typing import Any

from fastapi import Request

from services.gateway.requests.bounds import parse_json
from voxrelay.errors import Refused


async def json_object(request: Request) -> dict[str, Any]:
    """Raises ``Refused`` MESSAGE_TOO_LARGE, INVALID_MESSAGE."""
    try:
        parsed = parse_json(await request.body())
    except ValueError:
        raise Refused("INVALID_MESSAGE", "The body must be JSON (UTF-8).") from None
    if not isinstance(parsed, dict):
        raise Refused("INVALID_MESSAGE", "The body must be a JSON object.")
    return parsed
