"""Every error code a client may meet, with its status on each protocol. docs/errors.md says what to do; a test keeps them together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Statuses:
    http: int
    websocket: int
    grpc: str  # name of a grpc.StatusCode


CODES: dict[str, Statuses] = {
    "UNAUTHORIZED": Statuses(401, 1008, "UNAUTHENTICATED"),
    "FORBIDDEN": Statuses(403, 1008, "PERMISSION_DENIED"),
    "RATE_LIMITED": Statuses(429, 1008, "RESOURCE_EXHAUSTED"),
    "SESSION_LIMIT": Statuses(429, 1008, "RESOURCE_EXHAUSTED"),
    "QUOTA_EXCEEDED": Statuses(402, 1008, "RESOURCE_EXHAUSTED"),
    "INVALID_PARAMETER": Statuses(400, 1008, "INVALID_ARGUMENT"),
    "INVALID_MESSAGE": Statuses(400, 1007, "INVALID_ARGUMENT"),
    "INVALID_AUDIO_FORMAT": Statuses(415, 1003, "INVALID_ARGUMENT"),
    "UNSUPPORTED_ENCODING": Statuses(415, 1003, "INVALID_ARGUMENT"),
    "UNSUPPORTED_SAMPLE_RATE": Statuses(400, 1003, "INVALID_ARGUMENT"),
    "UNSUPPORTED_LANGUAGE": Statuses(400, 1008, "INVALID_ARGUMENT"),
    "NOT_SUPPORTED": Statuses(400, 1008, "UNIMPLEMENTED"),
    "NO_TRANSLATION": Statuses(501, 1008, "UNIMPLEMENTED"),
    "EMPTY_AUDIO": Statuses(400, 1003, "INVALID_ARGUMENT"),
    "TRUNCATED_AUDIO": Statuses(400, 1003, "INVALID_ARGUMENT"),
    "AUDIO_TOO_LONG": Statuses(413, 1009, "RESOURCE_EXHAUSTED"),
    "FILE_TOO_LARGE": Statuses(413, 1009, "RESOURCE_EXHAUSTED"),
    "MESSAGE_TOO_LARGE": Statuses(413, 1009, "RESOURCE_EXHAUSTED"),
    "TEXT_TOO_LONG": Statuses(413, 1009, "RESOURCE_EXHAUSTED"),
    "URL_REFUSED": Statuses(400, 1008, "INVALID_ARGUMENT"),
    "URL_UNREACHABLE": Statuses(400, 1008, "FAILED_PRECONDITION"),
    "UNKNOWN_VOICE": Statuses(400, 1008, "INVALID_ARGUMENT"),
    "NOT_FOUND": Statuses(404, 1008, "NOT_FOUND"),
    "NOT_RESUMABLE": Statuses(410, 1008, "NOT_FOUND"),
    "OVERLOADED": Statuses(503, 1013, "RESOURCE_EXHAUSTED"),
    "TOO_MANY_SESSIONS": Statuses(503, 1013, "RESOURCE_EXHAUSTED"),
    "NOT_READY": Statuses(503, 1013, "UNAVAILABLE"),
    "SHUTTING_DOWN": Statuses(503, 1012, "UNAVAILABLE"),
    "LOG_UNAVAILABLE": Statuses(503, 1013, "UNAVAILABLE"),
    "STAGE_TIMEOUT": Statuses(504, 1011, "DEADLINE_EXCEEDED"),
    "SESSION_IDLE": Statuses(408, 1008, "DEADLINE_EXCEEDED"),
    "SESSION_LIFETIME": Statuses(408, 1000, "DEADLINE_EXCEEDED"),
    "CLIENT_TOO_SLOW": Statuses(408, 1008, "RESOURCE_EXHAUSTED"),
    "INTERNAL": Statuses(500, 1011, "INTERNAL"),
}


def body(code: str, message: str, retry_after_s: int | None = None) -> dict[str, Any]:
    """The one shape of an error in JSON; ``retry_after`` is when to try again, which a WebSocket and a page of another origin read nowhere else."""
    return {"error": {"code": code, "message": message} | ({"retry_after": retry_after_s} if retry_after_s else {})}
