"""GET /api/usage: audio and characters by key and day."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from services.gateway.access.gate import Gate
from services.gateway.models import ErrorAnswer, UsageAnswer
from voxrelay.errors import Refused
from voxrelay.shapes import usage_json
from voxrelay.storage.views import Views


def router(views: Views, gate: Gate) -> APIRouter:
    routes = APIRouter(tags=["access"], responses={status: {"model": ErrorAnswer} for status in (401, 403)})

    @routes.get("/api/usage", response_model=list[UsageAnswer])
    async def usage(
        request: Request,
        first: Annotated[date | None, Query(alias="from", description="first day, 2026-01-31 (UTC)")] = None,
        last: Annotated[date | None, Query(alias="to", description="last day")] = None,
        key: str = Query("", max_length=100, description="id of a key; an admin key may name any"),
    ) -> Any:
        """What was used, as it was stored: by the key that asks; an admin key sees all, or the one it names."""
        caller = await gate.admit(request)
        if key and caller.sees not in (None, key):
            raise Refused("FORBIDDEN", "Only an admin key sees the usage of another; leave 'key' out.")
        return [usage_json(of_day) for of_day in await asyncio.to_thread(views.usage, key or caller.sees, first, last)]

    return routes
