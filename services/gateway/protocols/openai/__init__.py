"""The OpenAI-compatible audio surface: docs/protocols/openai.md."""

from __future__ import annotations

from fastapi import APIRouter

from services.gateway.access.gate import Gate
from services.gateway.protocols.openai import client_secrets, realtime, speech, transcriptions
from services.gateway.sessions.hub import SessionHub


def router(hub: SessionHub, gate: Gate) -> APIRouter:
    routes = APIRouter()
    for part in (transcriptions, speech, realtime, client_secrets):
        routes.include_router(part.router(hub, gate))
    return routes
