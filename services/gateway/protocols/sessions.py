"""/api/sessions and /api/search: what was kept, from the views."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from services.gateway.access.gate import Gate
from services.gateway.models import AttributeAnswer, ErrorAnswer, HitAnswer, SessionAnswer, SpeakerAnswer, SummaryAnswer, WordAnswer
from voxrelay.errors import Refused
from voxrelay.export import FORMATS
from voxrelay.shapes import attributes_json, hit_json, session_json, speaker_json, summary_json, word_json
from voxrelay.storage.views import StoredSession, Views

MEDIA_TYPES = {"json": "application/json", "srt": "application/x-subrip", "vtt": "text/vtt", "rttm": "text/plain", "txt": "text/plain"}
MOST_QUERY_CHARACTERS = 500


def router(views: Views, gate: Gate) -> APIRouter:
    """Every call asks for a key where there are keys, and shows what was opened with it; an admin key sees all. An unknown session is NOT_FOUND."""
    routes = APIRouter(tags=["sessions"], responses={401: {"model": ErrorAnswer}, 404: {"model": ErrorAnswer}})

    async def stored(request: Request, session_id: str) -> StoredSession:
        caller = await gate.admit(request)
        found = await asyncio.to_thread(views.session, session_id, caller.sees)
        if found is None:
            raise Refused("NOT_FOUND", "There is no session of this id, or nothing of it has been stored yet.")
        return found

    @routes.get("/api/sessions", response_model=list[SummaryAnswer])
    async def sessions(request: Request, limit: int = Query(50, ge=1, le=1000), before: str = "") -> Any:
        """The newest sessions first; ``before`` is the id of the last one seen."""
        caller = await gate.admit(request)
        return [summary_json(summary) for summary in await asyncio.to_thread(views.sessions, limit, before, caller.sees)]

    @routes.get("/api/sessions/{session_id}", response_model=SessionAnswer)
    async def session(request: Request, session_id: str) -> Any:
        """One session with its utterances, words, speakers and attributes."""
        return session_json(await stored(request, session_id))

    @routes.get("/api/sessions/{session_id}/words", response_model=list[WordAnswer])
    async def words(request: Request, session_id: str) -> Any:
        """Every word with its speaker, by time."""
        await stored(request, session_id)
        return [word_json(word) for word in await asyncio.to_thread(views.words, session_id)]

    @routes.get("/api/sessions/{session_id}/speakers", response_model=list[SpeakerAnswer])
    async def speakers(request: Request, session_id: str) -> Any:
        """How much each speaker said."""
        await stored(request, session_id)
        return [speaker_json(total) for total in await asyncio.to_thread(views.speakers, session_id)]

    @routes.get("/api/sessions/{session_id}/attributes", response_model=dict[str, dict[str, AttributeAnswer]])
    async def attributes(request: Request, session_id: str) -> Any:
        """How each utterance sounded, by utterance."""
        await stored(request, session_id)
        found = await asyncio.to_thread(views.attributes, session_id)
        return {utterance_id: attributes_json(of) for utterance_id, of in found.items()}

    @routes.get("/api/sessions/{session_id}/export", response_class=Response)
    async def export(
        request: Request, session_id: str, as_: Literal["json", "srt", "vtt", "rttm", "txt"] = Query("json", alias="format")
    ) -> Response:
        """The session as subtitles (srt, vtt), speaker turns (rttm), plain text or JSON."""
        return Response(FORMATS[as_](await stored(request, session_id)), media_type=MEDIA_TYPES[as_])

    @routes.get("/api/search", response_model=list[HitAnswer])
    async def search(
        request: Request,
        q: str = Query(min_length=1, max_length=MOST_QUERY_CHARACTERS, description='words and "quoted phrases" that must all have been said'),
        limit: int = Query(50, ge=1, le=1000),
        session_id: str = "",
    ) -> Any:
        """Utterances in which this was said, the best matches first."""
        caller = await gate.admit(request)
        return [hit_json(hit) for hit in await asyncio.to_thread(views.search, q, limit, session_id, caller.sees)]

    return routes
