"""A request's body as a JSON object, bounded before it is parsed."""

from __future__ import annotations

import json
from typing import Any

from fastapi import Request

from voxrelay.errors import Refused

MOST_BYTES_A_CHARACTER = 12  # \uXXXX twice, where a character lies beyond the first 65,536
OTHER_FIELDS_BYTES = 64 * 1024


async def json_object(request: Request, most_characters: int) -> dict[str, Any]:
    """Of a body whose texts have at most so many characters in all. Raises ``Refused`` MESSAGE_TOO_LARGE, INVALID_MESSAGE."""
    limit = most_characters * MOST_BYTES_A_CHARACTER + OTHER_FIELDS_BYTES
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit:
            raise Refused("MESSAGE_TOO_LARGE", f"The body is larger than {limit} bytes; send the text in parts.")
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused("INVALID_MESSAGE", "The body must be JSON (UTF-8).") from None
    if not isinstance(parsed, dict):
        raise Refused("INVALID_MESSAGE", "The body must be a JSON object.")
    return parsed
