"""The error shape Deepgram's clients know: ``{"err_code", "err_msg", "request_id"}`` and the headers dg-request-id, dg-error."""

from __future__ import annotations

import uuid

from fastapi.responses import JSONResponse, Response
from starlette.requests import HTTPConnection

from voxrelay.errors import Refused

CODES = {  # ours: theirs; every other code goes out as it is
    "UNAUTHORIZED": "INVALID_AUTH",
    "FORBIDDEN": "INSUFFICIENT_PERMISSIONS",
    "QUOTA_EXCEEDED": "ASR_PAYMENT_REQUIRED",
    "RATE_LIMITED": "TOO_MANY_REQUESTS",
    "SESSION_LIMIT": "TOO_MANY_REQUESTS",
    "INVALID_PARAMETER": "INVALID_QUERY_PARAMETER",
    "URL_REFUSED": "REMOTE_CONTENT_ERROR",
    "URL_UNREACHABLE": "REMOTE_CONTENT_ERROR",
    "INTERNAL": "INTERNAL_SERVER_ERROR",
}
BAD_AUDIO = 415  # theirs is 400


def new_request_id() -> str:
    return str(uuid.uuid4())


def request_id_of(session_id: str) -> str:
    """A session's id as their clients print it: the same digits, so that ``GET /api/sessions/{id}`` has the session without the hyphens."""
    return str(uuid.UUID(session_id))


def body_of(refused: Refused, request_id: str) -> dict[str, str]:
    """The error as a body."""
    return {"err_code": CODES.get(refused.code, refused.code), "err_msg": refused.message, "request_id": request_id}


def render(_request: HTTPConnection, refused: Refused, status: int) -> Response:
    """For ``refusals.answer`` and ``refusals.route_class``."""
    request_id = new_request_id()
    headers = {"dg-request-id": request_id, "dg-error": refused.message.encode("ascii", "replace").decode()}
    return JSONResponse(body_of(refused, request_id), 400 if status == BAD_AUDIO else status, headers)
