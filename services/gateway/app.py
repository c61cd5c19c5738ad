"""The HTTP application: protocols, health, metrics, errors in one shape."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException

from services.gateway import errors
from services.gateway.auth import Keys
from services.gateway.models import HealthAnswer
from services.gateway.protocols import files, native, sessions, speak
from services.gateway.sessions import SessionHub
from voxrelay.errors import Refused, Unavailable
from voxrelay.probe import Checks, ask
from voxrelay.storage.views import Views
from voxrelay.telemetry import REFUSALS

RETRY_AFTER_S = "2"


def build_app(hub: SessionHub, keys: Keys, checks: Checks, views: Views | None) -> FastAPI:
    """The application without a server. ``checks`` are what /ready asks besides the hub."""
    app = FastAPI(
        title="Voxrelay",
        version=version("voxrelay"),
        description="Speech in; words, speakers and attributes out. Live audio: WebSocket /ws/v1/transcribe. Errors: docs/errors.md.",
    )
    app.include_router(native.router(hub, keys))
    app.include_router(files.router(hub, keys))
    app.include_router(speak.router(hub, keys))
    if views is not None:
        app.include_router(sessions.router(views, keys))
    _add_health(app, {"gateway": hub.check, **checks})
    _add_errors(app)
    return app


def _add_health(app: FastAPI, checks: Mapping[str, Any]) -> None:
    @app.get("/", include_in_schema=False)
    async def root() -> dict[str, str]:
        return {"name": "Voxrelay", "live": "/ws/v1/transcribe", "files": "/api/process", "documentation": "/docs"}

    @app.get("/health", tags=["operations"])
    async def health() -> HealthAnswer:
        """The process is alive."""
        return HealthAnswer(status="alive")

    @app.get("/ready", tags=["operations"], responses={503: {"description": "What does not answer, by name."}})
    async def ready() -> JSONResponse:
        """Every dependency answers."""
        answers = await asyncio.to_thread(ask, checks)
        return JSONResponse(answers, 200 if all(answer == "ok" for answer in answers.values()) else 503)

    @app.get("/metrics", tags=["operations"], response_class=Response)
    async def metrics() -> Response:
        """Prometheus."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _add_errors(app: FastAPI) -> None:
    def answer(code: str, message: str, status: int) -> JSONResponse:
        REFUSALS.labels("http", code).inc()
        headers = {"Retry-After": RETRY_AFTER_S} if status == 503 else None
        return JSONResponse(errors.body(code, message), status, headers)

    @app.exception_handler(Refused)
    async def refused(_request: Request, error: Refused) -> JSONResponse:
        return answer(error.code, error.message, errors.CODES[error.code].http)

    @app.exception_handler(Unavailable)
    async def unavailable(_request: Request, error: Unavailable) -> JSONResponse:
        return answer("NOT_READY", str(error), 503)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:]) or "the body"
        return answer("INVALID_PARAMETER", f"{place}: {first['msg']}.", 400)

    @app.exception_handler(HTTPException)
    async def other(_request: Request, error: HTTPException) -> JSONResponse:
        code = "NOT_FOUND" if error.status_code == 404 else "INVALID_MESSAGE"
        return answer(code, f"{error.detail}; /docs lists what there is.", error.status_code)
