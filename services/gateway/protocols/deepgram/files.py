"""POST /v1/listen: a file, or the address of one, as Deepgram's clients send it; with ``callback`` the answer comes later, to that address."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import tempfile
from typing import IO, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from services.gateway import offers
from services.gateway.access.caller import Caller
from services.gateway.access.gate import Gate
from services.gateway.files import fetching
from services.gateway.files.channels import run_all, separate
from services.gateway.files.fetching import Reach
from services.gateway.files.uploads import SPOOL_BYTES, receive
from services.gateway.protocols.deepgram import refusal
from services.gateway.protocols.deepgram.file_parameters import Recorded, recorded_of
from services.gateway.protocols.deepgram.recorded import answer
from services.gateway.protocols.deepgram.refusal import request_id_of
from services.gateway.requests import refusals
from services.gateway.requests.bounds import parse_json
from services.gateway.sessions.hub import SessionHub
from services.gateway.sessions.session import LiveSession
from voxrelay.errors import Refused, Unavailable
from voxrelay.telemetry import REFUSALS, fields

log = logging.getLogger(__name__)

EDGE = "deepgram"
MOST_REQUEST_BYTES = 64 * 1024  # of a JSON body; what is larger is no request but a file
HASH_BYTES = 1024 * 1024


class File:
    """One request. Whatever happens, its sessions are left and its spool is closed."""

    def __init__(self, hub: SessionHub, caller: Caller, wanted: Recorded, spool: IO[bytes], url: str, first: LiveSession) -> None:
        self._hub, self._caller, self._wanted, self._spool, self._url = hub, caller, wanted, spool, url
        self._sessions = [first]
        self.request_id = request_id_of(first.id)
        self._created_at = hub.clock()

    async def run(self, request: Request | None) -> dict[str, Any]:
        """The whole answer; given up when the request's client goes away. Raises ``Refused``."""
        settings = self._hub.settings
        try:
            if self._url:
                await fetching.fetch(self._url, self._spool, settings.max_file_bytes, Reach.of(settings))
            sha256 = await asyncio.to_thread(_sha256, self._spool)
            by_channel = self._wanted.is_by_channel
            recordings = await asyncio.to_thread(separate, self._spool, self._wanted.asked, settings.max_audio_s, is_by_channel=by_channel)
            try:
                while len(self._sessions) < len(recordings.spools):
                    self._sessions.append(await self._hub.open(EDGE, self._caller, "bulk"))
                results = await run_all(self._hub, self._sessions, self._wanted.asked, recordings, request)
            finally:
                recordings.close()
            fallback = offers.engines(settings)[0]
            return await asyncio.to_thread(answer, results, self._wanted, self.request_id, sha256, self._created_at, fallback)
        finally:
            self._spool.close()
            for session in self._sessions:
                await session.close("vanished")
                session.leave()

    async def run_and_call_back(self) -> None:
        """The answer, or the refusal in the words a request would have had, to the callback's address."""
        try:
            body = await self.run(None)
        except (Refused, Unavailable) as error:
            refused, _ = refusals.refusal_of(error)
            REFUSALS.labels(EDGE, refused.code).inc()
            body = refusal.body_of(refused, self.request_id)
        try:
            await fetching.call_back(self._wanted.callback, body, self._wanted.callback_method, Reach.of(self._hub.settings))
        except Refused as refused:
            log.warning("A callback was given up.", extra=fields(code=refused.code))


def _sha256(spool: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while data := spool.read(HASH_BYTES):
        digest.update(data)
    spool.seek(0)
    return digest.hexdigest()


def _json(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _url_of(spool: IO[bytes], size: int) -> str:
    """The address in a body that is JSON; empty for audio. Only the bytes tell: clients send either as any content type."""
    head = spool.read(1)
    spool.seek(0)
    if head != b"{" or size > MOST_REQUEST_BYTES:
        return ""
    try:
        body = parse_json(spool.read())
    except ValueError:
        body = None
    spool.seek(0)
    url = body.get("url") if isinstance(body, dict) else None
    if not isinstance(url, str) or not url:
        raise Refused("INVALID_MESSAGE", 'Send the audio as the body, or {"url": "https://…"} as JSON.')
    spool.truncate()
    return url


def router(hub: SessionHub, gate: Gate) -> APIRouter:
    routes = APIRouter(route_class=refusals.route_class(EDGE, refusal.render))
    called_back: set[asyncio.Task[None]] = set()

    @routes.post("/v1/listen", tags=["deepgram"])
    async def listen(request: Request) -> Response:
        """One file, as Deepgram's pre-recorded call: the audio as the body, or JSON {"url"}. docs/protocols/deepgram.md lists the parameters."""
        caller = await gate.admit(request)
        wanted = recorded_of(request.query_params.multi_items(), hub.settings)
        if wanted.callback:
            fetching.checked(wanted.callback, Reach.of(hub.settings))
        spool = tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115  # the file closes it, after the answer where that comes later
        try:
            size = await receive(request, spool, hub.settings.max_file_bytes)
            if not size:
                raise Refused("EMPTY_AUDIO", "The body is empty; send audio, or JSON with the url of a file.")
            url = _url_of(spool, size)
            if url:
                fetching.checked(url, Reach.of(hub.settings))
            first = await hub.open(EDGE, caller, "bulk", request.headers.get("traceparent", ""))
        except BaseException:
            spool.close()
            raise
        file = File(hub, caller, wanted, spool, url, first)
        headers = {"dg-request-id": file.request_id}
        if not wanted.callback:
            content = await asyncio.to_thread(_json, await file.run(request))
            return Response(content, media_type="application/json", headers=headers)
        task = asyncio.create_task(file.run_and_call_back())
        called_back.add(task)
        task.add_done_callback(called_back.discard)
        return JSONResponse({"request_id": file.request_id}, headers=headers)

    return routes
