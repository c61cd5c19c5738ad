"""A refusal in OpenAI's words: ``{"error": {"message", "type", "param", "code"}}`` with the status its clients act upon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from services.gateway.errors import CODES
from voxrelay.errors import Refused


class RefusedParameter(Refused):
    """A refusal that names the field it is about. ``spoken_code`` is what OpenAI calls it, where clients know it by that."""

    def __init__(self, param: str, message: str, code: str = "INVALID_PARAMETER", spoken_code: str = "") -> None:
        super().__init__(code, message)
        self.param, self.spoken_code = param, spoken_code


@dataclass(frozen=True, slots=True)
class Spoken:
    """What OpenAI's clients know a refusal as. ``is_final``: trying again cannot help, and they are told so."""

    status: int
    type: str
    code: str
    is_final: bool = False


# Where OpenAI has words of its own; everything else keeps our code in lower case and the status of docs/errors.md.
SPOKEN: dict[str, Spoken] = {
    "UNAUTHORIZED": Spoken(401, "invalid_request_error", "invalid_api_key"),
    "RATE_LIMITED": Spoken(429, "requests", "rate_limit_exceeded"),
    "SESSION_LIMIT": Spoken(429, "requests", "session_limit_exceeded"),
    "QUOTA_EXCEEDED": Spoken(429, "insufficient_quota", "insufficient_quota", is_final=True),
    "INVALID_AUDIO_FORMAT": Spoken(400, "invalid_request_error", "invalid_audio_format"),
    "UNSUPPORTED_ENCODING": Spoken(400, "invalid_request_error", "unsupported_encoding"),
    "NO_TRANSLATION": Spoken(501, "invalid_request_error", "no_translation", is_final=True),
    "SESSION_LIFETIME": Spoken(408, "invalid_request_error", "session_expired"),
}


def spoken(code: str) -> Spoken:
    status = CODES[code].http
    return SPOKEN.get(code) or Spoken(status, "server_error" if status >= 500 else "invalid_request_error", code.lower())


def error_of(refused: Refused) -> dict[str, Any]:
    """The inner object: message, type, param, code."""
    words = spoken(refused.code)
    param, code = (refused.param, refused.spoken_code) if isinstance(refused, RefusedParameter) else (None, "")
    return {"message": refused.message, "type": words.type, "param": param, "code": code or words.code}


def render(_request: Request, refused: Refused, status: int) -> Response:
    """For ``refusals.route_class``. ``x-should-retry`` is what OpenAI's clients look at before they send the same again."""
    words = spoken(refused.code)
    final_status = words.status if refused.code in SPOKEN else status
    headers = {"x-should-retry": "false"} if words.is_final else {}
    return JSONResponse({"error": error_of(refused)}, final_status, headers)
