"""POST /api/process: one file through the bulk lane; the answer is the joined result."""

from __future__ import annotations

import tempfile
from typing import Any

from fastapi import APIRouter, Request

from services.gateway.access.credentials import QUERY_PARAMETER
from services.gateway.access.gate import Gate
from services.gateway.files.run import FileRun
from services.gateway.files.uploads import SPOOL_BYTES, receive
from services.gateway.models import ErrorAnswer, ProcessAnswer
from services.gateway.requests import parameters
from services.gateway.requests.parameters import Asked
from services.gateway.sessions.hub import SessionHub
from voxrelay.errors import Refused
from voxrelay.shapes import utterance_json

EDGE = "files"
RAW_PARAMETERS = ("encoding", "sample_rate", "channels")


def router(hub: SessionHub, gate: Gate) -> APIRouter:
    routes = APIRouter()
    failures: dict[int | str, dict[str, Any]] = {status: {"model": ErrorAnswer} for status in (400, 401, 413, 415, 501, 503, 504)}

    @routes.post(
        "/api/process",
        response_model=ProcessAnswer,
        responses=failures,
        tags=["files"],
        openapi_extra={
            "requestBody": {
                "required": True,
                "description": "The file as the whole body, or as a multipart form's first file. Its bytes decide what it is.",
                "content": {
                    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
                    "multipart/form-data": {"schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}},
                },
            },
            "parameters": [
                {"name": name, "in": "query", "required": False, "schema": {"type": "string"}}
                for name in ("api_key", *parameters.NAMES)
                if name not in RAW_PARAMETERS
            ],
        },
    )
    async def process(request: Request) -> dict[str, Any]:
        """Clean, diarize, transcribe and classify one file (wav, flac, mp3, m4a/aac, ogg/opus, webm, mp4, mkv); answers with the result."""
        query = dict(request.query_params)
        query.pop(QUERY_PARAMETER, None)
        caller = await gate.admit(request)
        for name in RAW_PARAMETERS:
            if name in query:
                raise Refused("INVALID_PARAMETER", f"'{name}' is for live audio; a file says by itself what it is.")

        asked = parameters.apply(Asked(), query, hub.settings)
        with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as spool:
            if not await receive(request, spool, hub.settings.max_file_bytes):
                raise Refused("EMPTY_AUDIO", "The file is empty.")
            session = await hub.open(EDGE, caller, "bulk", request.headers.get("traceparent", ""))
            result = await FileRun(hub, session, asked).run(spool, request)
        return {
            "session_id": result.session_id,
            "audio_seconds": round(result.audio_seconds, 3),
            "utterances": [utterance_json(utterance) for utterance in result.utterances],
        }

    return routes
