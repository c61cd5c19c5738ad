"""The HTTP application: protocols, health, metrics, errors in one shape."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from services.gateway import errors
from services.gateway.access.gate import Gate
from services.gateway.models import HealthAnswer
from services.gateway.protocols import deepgram, files, login, model_registry, models, native, openai, page, sessions, speak, stream, usage
from services.gateway.requests import refusals
from services.gateway.requests.bounds import BoundedBodies
from services.gateway.sessions.hub import SessionHub
from voxrelay.errors import Refused
from voxrelay.models.operations import ModelOperations
from voxrelay.probe import Checks, ask, is_ready
from voxrelay.storage.views import Views


def build_app(
    hub: SessionHub,
    gate: Gate,
    checks: Checks,
    views: Views | None,
    model_operations: ModelOperations | None = None,
    deleting: APIRouter | None = None,
) -> FastAPI:
    """The application without a server. ``checks`` are what /ready asks besides the hub; ``deleting`` are the calls that delete sessions."""
    app = FastAPI(
        title="Voxrelay",
        version=version("voxrelay"),
        description="Speech in; words, speakers and attributes out. Live audio: WebSocket /ws/v1/transcribe. Errors: docs/errors.md.",
    )
    app.include_router(native.router(hub, gate))
    app.include_router(stream.router(hub, gate))
    app.include_router(files.router(hub, gate))
    app.include_router(deepgram.router(hub, gate))  # before the native speech, which has the same path
    app.include_router(openai.router(hub, gate))
    app.include_router(speak.router(hub, gate))
    app.include_router(models.router(hub.settings, gate))
    app.include_router(login.router(gate))
    app.include_router(page.router(gate, hub.settings, views is not None))
    if model_operations is not None:
        app.include_router(model_registry.router(model_operations, gate))
    if views is not None:
        app.include_router(sessions.router(views, gate))
        app.include_router(usage.router(views, gate))
    if deleting is not None:
        app.include_router(deleting)
    _add_health(app, {"gateway": hub.check, **checks})
    _add_errors(app)
    app.add_middleware(BoundedBodies, most_bytes=hub.settings.max_body_bytes, idle_s=hub.settings.idle_s)
    return app


def _add_health(app: FastAPI, checks: Mapping[str, Any]) -> None:
    @app.get("/health", tags=["operations"])
    async def health() -> HealthAnswer:
        """The process is alive."""
        return HealthAnswer(status="alive")

    @app.get("/ready", tags=["operations"], responses={503: {"description": "What does not answer, by name."}})
    async def ready() -> JSONResponse:
        """Every dependency answers."""
        answers = await asyncio.to_thread(ask, checks)
        return JSONResponse(answers, 200 if is_ready(answers) else 503)

    @app.get("/metrics", tags=["operations"], response_class=Response)
    async def metrics() -> Response:
        """Prometheus."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _add_errors(app: FastAPI) -> None:
    def render(_request: Request, refused: Refused, status: int) -> Response:
        return JSONResponse(errors.body(refused.code, refused.message, refused.retry_after_s), status)

    async def refuse(request: Request, error: Exception) -> Response:
        return refusals.answer("http", render, request, error)

    for failure in refusals.FAILURES:
        app.add_exception_handler(failure, refuse)
