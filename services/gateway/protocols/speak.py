"""POST /v1/speak: text in, audio out while it is made, over the synthesis topics."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from services.gateway.access.gate import Gate
from services.gateway.encode import MEDIA_TYPES, StreamEncoder
from services.gateway.models import ErrorAnswer, SpeakRequest
from services.gateway.sessions import SessionHub
from voxrelay.errors import Refused
from voxrelay.events import SynthesisProduced, SynthesisRequested

MIN_RATE_HZ = 8_000


def router(hub: SessionHub, gate: Gate) -> APIRouter:
    routes = APIRouter()
    failures: dict[int | str, dict[str, Any]] = {status: {"model": ErrorAnswer} for status in (400, 401, 413, 503, 504)}
    content: Any = {media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in MEDIA_TYPES.values()}

    @routes.post(
        "/v1/speak", tags=["speech"], response_class=StreamingResponse, responses=failures | {200: {"content": content, "description": "The audio."}}
    )
    async def speak(body: SpeakRequest, request: Request) -> StreamingResponse:
        """Speech from text, streamed while it is made."""
        caller = await gate.admit(request)
        if len(body.text) > hub.settings.max_text_characters:
            raise Refused("TEXT_TOO_LONG", f"At most {hub.settings.max_text_characters} characters at once; send it in parts.")
        if 0 < body.sample_rate < MIN_RATE_HZ:
            raise Refused("UNSUPPORTED_SAMPLE_RATE", f"Speech can be had at {MIN_RATE_HZ} to 48000 Hz, or 0 for the voice's own rate.")
        speech = await hub.speak(caller, SynthesisRequested(body.text, body.voice, body.language, body.speed, body.sample_rate))
        pieces = speech.pieces()
        first = await anext(pieces)  # a refusal must come before the status line
        headers = {"x-session-id": speech.id}
        return StreamingResponse(_audio(first, pieces, body.format), media_type=MEDIA_TYPES[body.format], headers=headers)

    return routes


async def _audio(first: SynthesisProduced, rest: AsyncIterator[SynthesisProduced], audio_format: str) -> AsyncIterator[bytes]:
    encoder = StreamEncoder(audio_format, first.sample_rate_hz)
    yield encoder.feed(first.pcm_s16le)
    if not first.is_last:
        async for piece in rest:
            yield encoder.feed(piece.pcm_s16le)
    yield encoder.finish()
