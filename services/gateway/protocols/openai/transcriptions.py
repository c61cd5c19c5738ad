"""POST /v1/audio/transcriptions and /v1/audio/translations: a file through the bulk lane, answered in OpenAI's formats."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack, aclosing
from typing import IO, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from services.gateway.access.caller import Caller
from services.gateway.access.gate import Gate
from services.gateway.files.run import FileRun
from services.gateway.files.uploads import SPOOL_BYTES, FormFields, receive
from services.gateway.protocols.openai import answers
from services.gateway.protocols.openai.form import LISTS, OF_TRANSLATIONS, SINGLE, Wishes, check_translation, wishes
from services.gateway.protocols.openai.refusal import RefusedParameter, error_of, render
from services.gateway.requests import refusals
from services.gateway.sessions.hub import SessionHub
from services.gateway.sessions.updates import Closed, Final
from voxrelay.errors import Refused
from voxrelay.telemetry import REFUSALS

EDGE = "openai"
FILE = {"type": "string", "format": "binary"}


def router(hub: SessionHub, gate: Gate) -> APIRouter:
    routes = APIRouter(route_class=refusals.route_class(EDGE, render), tags=["openai"])

    @routes.post("/v1/audio/transcriptions", openapi_extra=_form((*SINGLE, *LISTS)))
    async def transcriptions(request: Request) -> Response:
        """One file as text, subtitles, words with times, or turns of speakers; with ``stream=true`` as events while it is worked on."""
        caller = await gate.admit(request)
        with ExitStack() as stack:
            spool = stack.enter_context(tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES))
            wished = wishes((await _received(hub, request, spool)).pairs, hub.settings)
            if wished.is_streamed:
                return await _streamed(hub, caller, request, spool, stack, wished)
            session = await hub.open(EDGE, caller, "bulk", request.headers.get("traceparent", ""))
            result = await FileRun(hub, session, wished.asked).run(spool, request)
        media_type = answers.MEDIA_TYPES.get(wished.response_format, "application/json")
        return Response(answers.body(result, wished), media_type=media_type, headers={"x-request-id": session.id})

    @routes.post("/v1/audio/translations", openapi_extra=_form(OF_TRANSLATIONS))
    async def translations(request: Request) -> Response:
        """Speech of any language as English text: refused as long as no engine translates."""
        await gate.admit(request)
        with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as spool:
            check_translation((await _received(hub, request, spool)).pairs)
        message = "No engine here translates: install the extra faster-whisper, or use /v1/audio/transcriptions for the words as they were spoken."
        raise Refused("NO_TRANSLATION", message)

    return routes


def _form(names: tuple[str, ...]) -> dict[str, Any]:
    properties = {"file": FILE} | {
        name: {"type": "array", "items": {"type": "string"}} if name.endswith("[]") else {"type": "string"} for name in names
    }
    schema = {"type": "object", "required": ["file"], "properties": properties}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


async def _received(hub: SessionHub, request: Request, spool: IO[bytes]) -> FormFields:
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise RefusedParameter("file", "Send multipart/form-data with the field 'file'.", "INVALID_MESSAGE")
    fields = FormFields()
    if not await receive(request, spool, hub.settings.max_file_bytes, fields):
        raise RefusedParameter("file", "The form needs a field 'file' that has a file name and bytes in it.", "EMPTY_AUDIO")
    return fields


async def _streamed(hub: SessionHub, caller: Caller, request: Request, spool: IO[bytes], stack: ExitStack, wished: Wishes) -> Response:
    session = await hub.open(EDGE, caller, "bulk", request.headers.get("traceparent", ""), is_patient=False)
    results = FileRun(hub, session, wished.asked).results(spool, request)
    first = await anext(results)  # a refusal must come before the status line
    events = _events(first, results, answers.StreamedText(wished), stack.pop_all())
    return StreamingResponse(events, media_type="text/event-stream", headers={"x-request-id": session.id, "cache-control": "no-cache"})


async def _events(first: Final | Closed, rest: AsyncGenerator[Final | Closed], text: answers.StreamedText, stack: ExitStack) -> AsyncGenerator[str]:
    """Server-sent events; an error in mid-stream is an event too, and the last."""
    with stack:
        async with aclosing(rest):
            try:
                for event in _told(first, text):
                    yield event
                async for result in rest:
                    for event in _told(result, text):
                        yield event
                yield "data: [DONE]\n\n"
            except Refused as refused:
                REFUSALS.labels(EDGE, refused.code).inc()
                yield _line({"error": error_of(refused)})


def _told(result: Final | Closed, text: answers.StreamedText) -> Iterator[str]:
    for event in text.take(result.utterance) if isinstance(result, Final) else (text.done(),):
        yield _line(event)


def _line(event: dict[str, Any]) -> str:
    return f"data: {json.dumps(event, ensure_ascii=False)}\n\n"
