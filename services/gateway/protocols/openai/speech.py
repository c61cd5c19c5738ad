"""OpenAI's speech: POST /v1/audio/speech, and the voices."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from services.gateway.access.gate import Gate
from services.gateway.audio.encode import FORMATS
from services.gateway.protocols.openai import refusal
from services.gateway.protocols.openai.refusal import RefusedParameter
from services.gateway.requests import bodies, refusals
from services.gateway.sessions.hub import SessionHub
from services.gateway.speech.file import SpeechFile, speech_file
from services.gateway.speech.voices import VOICES, of_openai
from voxrelay.errors import Refused
from voxrelay.events import SynthesisRequested

EDGE = "openai"
FIELDS = ("model", "input", "voice", "instructions", "response_format", "speed", "stream_format")
RESPONSE_FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm")
MOST_CHARACTERS = 4096
MOST_INSTRUCTION_CHARACTERS = 4096
MOST_NAME_CHARACTERS = 256
LEAST_SPEED, MOST_SPEED = 0.25, 4.0
RATE_HZ = 24_000  # of pcm, which says nothing about itself; of the others as well
TOKENS_A_SECOND = 20  # of audio, in the usage


@dataclass(frozen=True, slots=True)
class _Wanted:
    text: str
    voice: str
    speed: float
    format: str
    is_sse: bool


def _wanted(body: dict[str, Any]) -> _Wanted:
    for name in body:
        if name not in FIELDS:
            raise RefusedParameter(name[:64], f"There is no field '{name[:64]}'; there are {', '.join(FIELDS)}.")
    _text(body, "model", MOST_NAME_CHARACTERS)
    text = _text(body, "input", MOST_CHARACTERS)
    if not text.strip():
        raise RefusedParameter("input", "'input' must say something.")
    if body.get("instructions") is not None:
        _text(body, "instructions", MOST_INSTRUCTION_CHARACTERS)
    speed = body.get("speed")
    speed = 1.0 if speed is None else speed
    if isinstance(speed, bool) or not isinstance(speed, int | float) or not LEAST_SPEED <= speed <= MOST_SPEED:
        raise RefusedParameter("speed", f"'speed' must be a number from {LEAST_SPEED} to {MOST_SPEED:g}.")
    audio_format = _choice(body, "response_format", RESPONSE_FORMATS, "mp3")
    return _Wanted(text, _voice(body), float(speed), audio_format, _choice(body, "stream_format", ("audio", "sse"), "audio") == "sse")


def _text(body: dict[str, Any], name: str, most: int) -> str:
    value = body.get(name)
    if not isinstance(value, str) or len(value) > most:
        raise RefusedParameter(name, f"'{name}' must be a text of at most {most} characters.")
    return value


def _choice(body: dict[str, Any], name: str, allowed: tuple[str, ...], usual: str) -> str:
    value = usual if body.get(name) is None else body[name]
    if value not in allowed:
        raise RefusedParameter(name, f"'{name}' must be one of {', '.join(allowed)}.")
    return str(value)


def _voice(body: dict[str, Any]) -> str:
    """Ours: by the table, or as it is."""
    value = body.get("voice")
    name = value.get("id") if isinstance(value, dict) else value
    if not isinstance(name, str) or not 0 < len(name) <= MOST_NAME_CHARACTERS:
        raise RefusedParameter("voice", "'voice' must be a name, or an object with an 'id'.")
    row = of_openai(name)
    return row.name if row is not None else name


def router(hub: SessionHub, gate: Gate) -> APIRouter:
    routes = APIRouter(prefix="/v1/audio", tags=["openai"], route_class=refusals.route_class(EDGE, refusal.render))

    @routes.post("/speech", response_class=StreamingResponse)
    async def speech(request: Request) -> Response:
        """Speech from text: OpenAI's call."""
        caller = await gate.admit(request)
        wanted = _wanted(await bodies.json_object(request))
        asked = SynthesisRequested(wanted.text, wanted.voice, speed=wanted.speed, sample_rate_hz=RATE_HZ)
        try:
            file = await speech_file(hub, caller, asked, FORMATS[wanted.format])
        except Refused as refused:
            if refused.code == "UNKNOWN_VOICE":
                message = "No voice has this name, and none stands for it; GET /v1/audio/voices names those that do."
                raise RefusedParameter("voice", message, refused.code) from None
            raise
        headers = {"x-session-id": file.session_id, "x-voice": wanted.voice.encode("ascii", "replace").decode()}
        if wanted.is_sse:
            return StreamingResponse(_events(file, wanted.text), media_type="text/event-stream", headers=headers)
        return StreamingResponse(file.pieces(), media_type=file.media_type, headers=headers)

    @routes.get("/voices")
    async def voices(request: Request) -> dict[str, Any]:
        """OpenAI's names for voices, each with the voice that it selects."""
        await gate.admit(request)
        listed = [
            {"id": name, "object": "audio.voice", "name": name, "voice": voice.name, "language": voice.language, "gender": voice.gender}
            for voice in VOICES
            for name in voice.openai
        ]
        return {"object": "list", "data": listed}

    @routes.post("/voices")
    @routes.post("/voice_consents")
    async def make_voice(request: Request) -> None:
        """Refused: no engine here learns a voice from a recording."""
        await gate.admit(request)
        raise Refused("NOT_SUPPORTED", "No engine here learns a voice from a recording; GET /v1/audio/voices names the voices there are.")

    return routes


async def _events(file: SpeechFile, text: str) -> AsyncIterator[str]:
    """``speech.audio.delta`` with base64, ``speech.audio.done`` with usage: input tokens are words, output tokens 1/20 s of audio."""
    try:
        async for piece in file.pieces():
            if piece:
                yield _event({"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()})
    except Refused as refused:
        yield _event({"error": refusal.error_of(refused)})
        return
    spent, made = len(text.split()), math.ceil(file.audio_seconds * TOKENS_A_SECOND)
    usage = {"input_tokens": spent, "output_tokens": made, "total_tokens": spent + made}
    yield _event({"type": "speech.audio.done", "usage": usage})


def _event(content: dict[str, Any]) -> str:
    return f"data: {json.dumps(content)}\n\n"
