"""GET /api/sessions: what was kept, from the views."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Query, Request

from services.gateway.auth import Keys
from services.gateway.models import ErrorAnswer
from voxrelay.errors import Refused

if TYPE_CHECKING:
    from services.gateway.app import Views


def router(views: Views, keys: Keys) -> APIRouter:
    routes = APIRouter(tags=["sessions"], responses={401: {"model": ErrorAnswer}, 404: {"model": ErrorAnswer}})

    def check(request: Request) -> None:
        keys.check(request.headers.get("authorization"), request.query_params.get("api_key"))

    @routes.get("/api/sessions")
    async def list_sessions(request: Request, limit: int = Query(50, ge=1, le=1000), before: str = "") -> Any:
        """The newest sessions first; ``before`` is the id of the last one seen."""
        check(request)
        return await asyncio.to_thread(views.list_sessions, limit, before)

    @routes.get("/api/sessions/{session_id}")
    async def get_session(request: Request, session_id: str) -> Any:
        """One session with its utterances, words, speakers and attributes."""
        check(request)
        found = await asyncio.to_thread(views.get_session, session_id)
        if found is None:
            raise Refused("NOT_FOUND", "There is no session of this id, or nothing of it has been stored yet.")
        return found

    return routes
