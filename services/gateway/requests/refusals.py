"""One refusal, every protocol's own words for it: routes that answer errors in their protocol's shape."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from services.gateway import errors
from voxrelay.errors import Refused, Unavailable
from voxrelay.telemetry import REFUSALS

RETRY_AFTER_S = 2  # where the refusal does not say
FAILURES = (Refused, Unavailable, RequestValidationError, HTTPException, ClientDisconnect)

Render = Callable[[Request, Refused, int], Response]


def refusal_of(error: Exception) -> tuple[Refused, int]:
    """The refusal behind one of ``FAILURES``, and its HTTP status."""
    if isinstance(error, Refused):
        return error, errors.CODES[error.code].http
    if isinstance(error, Unavailable):
        return Refused("NOT_READY", str(error)), 503
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:]) or "the body"
        return Refused("INVALID_PARAMETER", f"{place}: {first['msg']}."), 400
    if isinstance(error, HTTPException):
        if isinstance(error.__cause__, Refused):  # the body was refused while the framework read it
            return refusal_of(error.__cause__)
        code = "NOT_FOUND" if error.status_code == 404 else "INVALID_MESSAGE"
        return Refused(code, f"{error.detail}; /docs lists what there is."), error.status_code
    if isinstance(error, ClientDisconnect):
        return Refused("INVALID_MESSAGE", "The request ended before its body did."), 400  # read by nobody
    raise error


def answer(edge: str, render: Render, request: Request, error: Exception) -> Response:
    """The response to a failed request, counted; with 429 and 503 comes ``Retry-After``, the number that the refusal rendered has."""
    refused, status = refusal_of(error)
    REFUSALS.labels(edge, refused.code).inc()
    if status in (429, 503):
        refused.retry_after_s = refused.retry_after_s or RETRY_AFTER_S
    response = render(request, refused, status)
    if response.status_code in (429, 503):
        response.headers["Retry-After"] = str(refused.retry_after_s or RETRY_AFTER_S)
    return response


async def refuse_socket(socket: WebSocket, edge: str, refused: Refused) -> None:
    """The native protocol's last words on a WebSocket that was accepted: the error, then the connection closed with its code."""
    REFUSALS.labels(edge, refused.code).inc()
    await socket.send_text(json.dumps({"type": "error"} | errors.body(refused.code, refused.message, refused.retry_after_s)))
    await socket.close(errors.CODES[refused.code].websocket)


def route_class(edge: str, render: Render) -> type[APIRoute]:
    """For ``APIRouter(route_class=…)``: what its routes raise is answered by ``render(request, refused, status)``."""

    class ProtocolRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def handle_or_refuse(request: Request) -> Response:
                try:
                    return await handle(request)
                except FAILURES as error:
                    return answer(edge, render, request, error)

            return handle_or_refuse

    return ProtocolRoute
