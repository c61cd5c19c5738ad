"""DELETE /api/sessions/{id}: what was said and heard in a session is removed for good, with a proof."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse

from services.gateway.access.caller import Caller
from services.gateway.access.gate import Gate
from services.gateway.models import DeletionAnswer, ErrorAnswer
from voxrelay.errors import Refused
from voxrelay.runner.tombstones import KEPT_S, OVER_AFTER_S
from voxrelay.storage.deletion import SESSION_ID, Deletions, Proof, proof_json

Forget = Callable[[Sequence[str]], None]


def router(deletions: Deletions, forget: Forget, gate: Gate) -> APIRouter:
    """A key deletes what was opened with it, an admin key everything. ``forget`` clears the stages' checkpoints of sessions that are over."""
    routes = APIRouter(tags=["sessions"], responses={401: {"model": ErrorAnswer}, 404: {"model": ErrorAnswer}})

    def delete(session_id: str, caller: Caller) -> Proof:
        owner = deletions.owner_of(session_id) if SESSION_ID.fullmatch(session_id) else None
        if owner is None or caller.sees not in (None, owner):
            raise Refused("NOT_FOUND", "There is no session of this id, or nothing of it has been stored yet.")
        deletions.session(session_id, f"key {caller.owner}" if caller.owner else "anybody on this machine")
        now = time.time()
        forget(deletions.created_between([session_id], now - KEPT_S, now - OVER_AFTER_S))
        proof = deletions.proof_of(session_id)
        if proof is None:
            raise AssertionError("a deleted session has a proof")
        return proof

    @routes.delete("/api/sessions/{session_id}", response_model=DeletionAnswer, responses={202: {"model": DeletionAnswer}})
    async def delete_session(request: Request, session_id: str = Path(max_length=200)) -> JSONResponse:
        """Delete a session's words, speakers, attributes and audio. 202 while its audio is being removed, 200 once all is gone; safe to repeat."""
        caller = await gate.admit(request)
        proof = await asyncio.to_thread(delete, session_id, caller)
        return JSONResponse(proof_json(proof), 202 if proof.finished_at is None else 200)

    return routes
