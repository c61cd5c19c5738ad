"""GET /v1/models: one answer for the clients of both protocols, Deepgram's keys and OpenAI's side by side; errors too."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from services.gateway import offers
from services.gateway.access.gate import Gate
from services.gateway.protocols.deepgram import refusal as deepgram
from services.gateway.protocols.deepgram.messages import model_uuid
from services.gateway.protocols.openai import refusal as openai
from services.gateway.requests import refusals
from services.gateway.settings import GatewaySettings
from voxrelay.errors import Refused
from voxrelay.events import Engine

EDGE = "models"
OWNER = "voxrelay"


def stt_models(settings: GatewaySettings) -> list[dict[str, Any]]:
    return [
        {
            "name": engine.name,
            "canonical_name": engine.name,
            "architecture": engine.name,
            "languages": list(settings.languages),
            "version": engine.version,
            "uuid": model_uuid(engine),
            "batch": True,
            "streaming": True,
            "formatted_output": True,
        }
        for engine in offers.engines(settings)
    ]


def tts_models(settings: GatewaySettings) -> list[dict[str, Any]]:
    return [
        {
            "name": voice.name,
            "canonical_name": voice.name,
            "architecture": voice.name.partition("+")[0],
            "languages": [voice.language],
            "version": "",
            "uuid": model_uuid(Engine(voice.name)),
            "metadata": {"accent": voice.language, "tags": []},
        }
        for voice in offers.voices(settings)
    ]


def _object(model: dict[str, Any]) -> dict[str, Any]:
    """OpenAI's. ``created`` is 0: an engine in use was not created here."""
    return {"id": model["name"], "object": "model", "created": 0, "owned_by": OWNER}


def render(request: Request, refused: Refused, status: int) -> Response:
    """The keys of both protocols' errors; headers and status are Deepgram's where they differ."""
    response = deepgram.render(request, refused, status)
    body = json.loads(bytes(response.body)) | {"error": openai.error_of(refused)}
    headers = {name: value for name, value in response.headers.items() if name.startswith("dg-")}
    return JSONResponse(body, response.status_code, headers)


def router(settings: GatewaySettings, gate: Gate) -> APIRouter:
    routes = APIRouter(route_class=refusals.route_class(EDGE, render))

    @routes.get("/v1/models", tags=["models"])
    async def models(request: Request) -> dict[str, Any]:
        """The engines and voices in use, for Deepgram's clients under ``stt`` and ``tts``, for OpenAI's under ``data``."""
        await gate.admit(request)
        stt, tts = stt_models(settings), tts_models(settings)
        return {"stt": stt, "tts": tts, "object": "list", "data": [_object(model) for model in (*stt, *tts)]}

    @routes.get("/v1/models/{model_id}", tags=["models"])
    async def model(request: Request, model_id: str) -> dict[str, Any]:
        """One of them, by its name or its uuid."""
        await gate.admit(request)
        for known in (*stt_models(settings), *tts_models(settings)):
            if model_id in (known["name"], known["uuid"]):
                return known | _object(known)
        raise Refused("NOT_FOUND", "There is no model of this name; GET /v1/models lists those in use.")

    return routes
