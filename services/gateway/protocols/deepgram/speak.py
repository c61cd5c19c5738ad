"""Deepgram's speech: POST /v1/speak where a query parameter of theirs is there, and WebSocket /v1/speak."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, WebSocket
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Match
from starlette.types import Scope

from services.gateway import errors
from services.gateway.access.credentials import offered_subprotocol
from services.gateway.access.gate import Gate
from services.gateway.files.fetching import Reach, call_back, checked, fetch
from services.gateway.protocols.deepgram import refusal
from services.gateway.protocols.deepgram.speak_parameters import REST, Wanted, wanted_of
from services.gateway.requests import bodies, refusals
from services.gateway.sessions.hub import SessionHub
from services.gateway.speech.file import SpeechFile, speech_file
from services.gateway.speech.over_socket import Message, converse
from services.gateway.speech.speaking import Audio, Cleared, Ended, Flushed, Speaking
from voxrelay.errors import Refused
from voxrelay.telemetry import fields

log = logging.getLogger(__name__)

EDGE = "deepgram"
VERSION = "1"
MESSAGES = ("Speak", "Flush", "Clear", "Close")
MOST_FLUSHES, FLUSH_WINDOW_S = 20, 60.0
PARAMETERS = frozenset(row.name for row in REST)


class _AskedByQuery(refusals.route_class(EDGE, refusal.render)):  # type: ignore[misc]  # a class made by a function
    """The path is the native protocol's too: a request is Deepgram's when it has a query parameter of theirs."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        found, child = super().matches(scope)
        names = {name for name, _ in parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)}
        return (found, child) if names & PARAMETERS else (Match.NONE, {})


class DeepgramDialect:
    edge = EDGE

    def __init__(self, request_id: str, wanted: Wanted, speaking: Speaking, clock: Callable[[], float]) -> None:
        self._request_id, self._wanted, self._speaking, self._clock = request_id, wanted, speaking, clock
        self._flushes: deque[float] = deque()  # when they came

    def opening(self) -> Message:
        return {
            "type": "Metadata",
            "request_id": self._request_id,
            "model_name": self._wanted.voice,
            "model_version": VERSION,
            "model_uuid": self._wanted.voice_uuid,
        }

    def take(self, message: Message) -> Sequence[Message]:
        match message.get("type"):
            case "Speak":
                return self._speak(message.get("text"))
            case "Flush":
                return self._flush()
            case "Clear":
                self._speaking.clear()
            case "Close":
                self._speaking.close()
            case _:
                raise Refused("INVALID_MESSAGE", f"'type' must be one of {', '.join(MESSAGES)}.")
        return ()

    def _speak(self, text: Any) -> Sequence[Message]:
        if not isinstance(text, str):
            raise Refused("INVALID_MESSAGE", "Speak needs a string 'text'.")
        try:
            self._speaking.say(text)
        except Refused as refused:
            return [_warning(refused.code, refused.message)]
        return ()

    def _flush(self) -> Sequence[Message]:
        now = self._clock()
        while self._flushes and now - self._flushes[0] >= FLUSH_WINDOW_S:
            self._flushes.popleft()
        if len(self._flushes) >= MOST_FLUSHES:
            return [_warning("FLUSH_LIMIT_EXCEEDED", f"At most {MOST_FLUSHES} flushes in {FLUSH_WINDOW_S:.0f} s; this one was not done.")]
        self._flushes.append(now)
        self._speaking.flush()
        return ()

    def tell(self, update: Audio | Flushed | Cleared | Ended) -> Sequence[Message]:
        match update:
            case Flushed(ordinal):
                return [{"type": "Flushed", "sequence_id": ordinal}]
            case Cleared(ordinal):
                return [{"type": "Cleared", "sequence_id": ordinal}]
        return ()

    def refusal(self, refused: Refused) -> tuple[Message, int, str]:
        code = refusal.CODES.get(refused.code, refused.code)
        status, reason = (1011, "NET-0001") if refused.code == "SESSION_IDLE" else (errors.CODES[refused.code].websocket, code)
        return _warning(code, refused.message), status, reason


def _warning(code: str, description: str) -> Message:
    return {"type": "Warning", "code": code, "description": description}


def router(hub: SessionHub, gate: Gate) -> APIRouter:
    routes = APIRouter(route_class=_AskedByQuery)
    calling_back: set[asyncio.Task[None]] = set()

    @routes.post("/v1/speak", include_in_schema=False)
    async def speak(request: Request) -> Response:
        caller = await gate.admit(request)
        wanted = wanted_of(request.query_params.multi_items(), is_live=False)
        reach = Reach.of(hub.settings)
        if wanted.callback:
            checked(wanted.callback, reach)
        text = await _text_of(request, hub, reach)
        file = await speech_file(hub, caller, wanted.request_for(text), wanted.sound)
        request_id = refusal.request_id_of(file.session_id)
        headers = {
            "dg-request-id": request_id,
            "dg-model-name": wanted.voice.encode("ascii", "replace").decode(),
            "dg-model-uuid": wanted.voice_uuid,
            "dg-char-count": str(len(text)),
        }
        if not wanted.callback:
            return StreamingResponse(file.pieces(), media_type=file.media_type, headers=headers)
        posting = asyncio.create_task(_call_back(file, wanted, reach))
        calling_back.add(posting)
        posting.add_done_callback(calling_back.discard)
        return JSONResponse({"request_id": request_id}, headers=headers)

    @routes.websocket("/v1/speak")
    async def speak_live(socket: WebSocket) -> None:
        try:
            caller = await gate.admit(socket)
            wanted = wanted_of(socket.query_params.multi_items(), is_live=True)
            session = await hub.open(EDGE, caller, traceparent=socket.headers.get("traceparent", ""))
        except refusals.FAILURES as error:
            await socket.send_denial_response(refusals.answer(EDGE, refusal.render, cast(Request, socket), error))
            return
        request_id = refusal.request_id_of(session.id)
        await socket.accept(offered_subprotocol(socket), headers=[(b"dg-request-id", request_id.encode())])
        speaking = Speaking(hub, session, wanted.request, wanted.sound)
        await converse(socket, hub, session, speaking, DeepgramDialect(request_id, wanted, speaking, hub.clock))

    return routes


async def _text_of(request: Request, hub: SessionHub, reach: Reach) -> str:
    """The body's ``text``, or what its ``url`` leads to."""
    most = hub.settings.max_text_characters
    body = await bodies.json_object(request)
    said = next(iter(body.values()), None)
    if len(body) != 1 or not body.keys() <= {"text", "url"} or not isinstance(said, str):
        raise Refused("INVALID_MESSAGE", 'The body must be {"text": "..."} or {"url": "..."}.')
    if "url" in body:
        with tempfile.SpooledTemporaryFile(most) as spool:
            await fetch(said, spool, 4 * most, reach)
            try:
                said = spool.read().decode()
            except UnicodeDecodeError:
                raise Refused("INVALID_MESSAGE", "What the URL leads to is no text in UTF-8.") from None
    if not said.strip():
        raise Refused("INVALID_MESSAGE", "There is no text to be spoken.")
    return said


async def _call_back(file: SpeechFile, wanted: Wanted, reach: Reach) -> None:
    try:
        audio = b"".join([piece async for piece in file.pieces()])
        await call_back(wanted.callback, audio, wanted.callback_method, reach, file.media_type)
    except Refused as refused:
        log.warning("Spoken audio was not taken by its callback.", extra=fields(session=file.session_id, code=refused.code))
