"""The Deepgram-compatible surface: docs/protocols/deepgram.md."""

from __future__ import annotations

from fastapi import APIRouter

from services.gateway.access.gate import Gate
from services.gateway.protocols.deepgram import access, files, flux, listen, speak
from services.gateway.sessions.hub import SessionHub


def router(hub: SessionHub, gate: Gate) -> APIRouter:
    routes = APIRouter()
    for part in (listen, files, flux, speak):
        routes.include_router(part.router(hub, gate))
    routes.include_router(access.router(gate))
    return routes
