"""WebSocket /ws/v1/transcribe: configure, audio, finalize, keep_alive, close_stream in; session, interim, final, closed and errors out."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from services.gateway import errors
from services.gateway.access.caller import Caller
from services.gateway.access.credentials import QUERY_PARAMETER, offered_subprotocol
from services.gateway.access.gate import Gate
from services.gateway.intake import Intake
from services.gateway.requests import parameters
from services.gateway.requests.bounds import parse_json
from services.gateway.requests.parameters import Asked
from services.gateway.requests.refusals import refuse_socket
from services.gateway.sessions.hub import SessionHub
from services.gateway.sessions.session import LiveSession
from services.gateway.sessions.updates import Closed, Failed, Final, Finalized, Interim, SpeechStarted, Update
from services.gateway.shapes import final_json, interim_json
from services.gateway.sockets.conversing import one_has_ended
from services.gateway.sockets.reader import last_words, reader_of
from services.gateway.sockets.writer import send_json
from voxrelay.errors import Refused
from voxrelay.events import EndReason
from voxrelay.telemetry import REFUSALS

log = logging.getLogger(__name__)

EDGE = "native"
MESSAGES = ("configure", "audio", "keep_alive", "finalize", "close_stream")
RESUME = "resume"  # what the tokens are sealed for
DELIBERATE = 1000  # close code of a client that meant it; a lost connection looks like one without a code
MOST_DIGITS = 12
CLOCKS_APART_S = 3_700.0  # a token holds so much longer than its session: the clock of one of two gateways may have jumped by an hour


class NativeConnection:
    """One WebSocket. Reading and writing are two tasks; whichever fails ends both. A connection that breaks leaves its session to be resumed."""

    def __init__(self, socket: WebSocket, hub: SessionHub, gate: Gate, session: LiveSession, asked: Asked) -> None:
        self._socket, self._hub, self._gate, self._session = socket, hub, gate, session
        self._intake = Intake(session, asked, hub.settings.session_lifetime_s)
        self._reason: EndReason = "closed"
        self._refusal: Refused | None = None  # why no more is read
        self._is_broken = self._has_given_way = False
        self._tasks: list[asyncio.Task[None]] = []
        self._is_over = asyncio.Event()

    async def run(self, last_sequence: int | None = None) -> None:
        """Until the session or the connection ends. ``last_sequence``: what a client that resumes its session has seen last."""
        if self._hub.settings.resume_s:
            await self._session.welcome(self, last_sequence or 0)
        try:
            await self._send(await self._greeting(is_resumed=last_sequence is not None))
            if not self._has_given_way:
                await self._converse()
        except WebSocketDisconnect as gone:
            self._is_broken, self._reason = gone.code != DELIBERATE, "vanished"
        except TimeoutError:  # it does not read
            self._is_broken, self._reason = True, "vanished"
        except asyncio.CancelledError:
            if not self._has_given_way:
                raise
        finally:
            self._intake.abandon()
            await self._part()
            self._tasks.clear()  # a cancelled task holds its way, which leads to this connection
            self._is_over.set()

    async def _converse(self) -> None:
        writing = asyncio.create_task(self._write())
        reading = asyncio.create_task(self._read())
        self._tasks = [reading, writing]
        async with one_has_ended(writing, reading):
            if not writing.done():
                await self._reading_ended(reading, writing)
            await writing

    async def give_way(self) -> None:
        self._has_given_way = True
        for task in self._tasks:
            task.cancel()
        await self._is_over.wait()

    async def _part(self) -> None:
        """The session stays with the connection that took it over, waits for its client, or ends."""
        if self._has_given_way:
            with contextlib.suppress(Exception):  # it is gone already, in all likelihood
                await self._socket.close(1001)
        elif self._is_broken and self._hub.settings.resume_s and self._session.has_begun:
            self._session.park()
        else:
            await self._session.close(self._reason)
            self._session.leave()

    async def _greeting(self, *, is_resumed: bool) -> dict[str, Any]:
        session, settings = self._session, self._hub.settings
        greeting: dict[str, Any] = {"type": "session", "session_id": session.id}
        if settings.resume_s:
            claims = {"sid": session.id, "own": session.caller.owner, "at": session.opened_at}
            greeting["resume_token"] = await self._gate.seal(RESUME, claims, settings.session_lifetime_s + settings.resume_s + CLOCKS_APART_S)
        if is_resumed:
            greeting |= {"resumed": True, "audio_frames": session.frames_received, "audio_seconds": round(session.audio_seconds, 6)}
        return greeting

    async def _reading_ended(self, reading: asyncio.Task[None], writing: asyncio.Task[None]) -> None:
        """The results of what was said still come; after a refusal for a while only, and then the error instead of ``closed``."""
        try:
            await reading
        except Refused as refused:
            self._refusal, self._reason = refused, "failed"
        await self._session.close(self._reason)
        if self._refusal is not None:
            await last_words(writing, self._refusal, self._session.fail, self._session.id)

    # --- in ---

    async def _read(self) -> None:
        reader = reader_of(self._socket, self._hub, self._session.opened_at, "audio or keep_alive")
        reader.shorten(self._intake.take)
        while True:
            try:
                message = await reader.next()
            except Refused as refused:
                if self._session.is_closing and refused.code == "SESSION_IDLE":
                    continue  # it waits for the last results, and has nothing to say
                raise
            if self._session.is_closing:
                continue  # a client that came back for the last results
            if message.get("bytes") is not None:
                await self._intake.feed(message["bytes"])
            elif await self._handle(message.get("text") or ""):
                await self._intake.finish()
                return

    async def _handle(self, text: str) -> bool:
        """One JSON message; True when it was the last."""
        try:
            message = parse_json(text)
        except ValueError:
            raise Refused("INVALID_MESSAGE", "A text message must be JSON; send audio in binary messages.") from None
        kind = message.get("type") if isinstance(message, dict) else None
        kind = kind if isinstance(kind, str) else None  # it is looked up in tables
        handlers: dict[str, Callable[[dict[str, Any]], Awaitable[None]]] = {
            "configure": self._configure,
            "audio": self._audio,
            "finalize": self._finalize,
        }
        if kind in handlers:
            await handlers[kind](message)
        elif kind not in MESSAGES:
            raise Refused("INVALID_MESSAGE", f"'type' must be one of {', '.join(MESSAGES)}.")
        return bool(kind == "close_stream")

    async def _configure(self, message: dict[str, Any]) -> None:
        config = message.get("config")
        if not isinstance(config, dict):
            raise Refused("INVALID_MESSAGE", "configure needs an object 'config'.")
        asked = parameters.apply(self._intake.asked, config, self._hub.settings)
        before = self._intake.asked
        if self._intake.is_settled:
            if before.encoding != asked.encoding:
                raise Refused("INVALID_PARAMETER", "encoding can only be set before the first audio.")
            _check_unchanged(before, asked)
        elif self._session.has_begun:
            _check_unchanged(before, asked)
        self._intake.asked = asked
        if self._session.has_begun:
            opened = self._session.config
            await self._session.configure(replace(asked.config, sample_rate_hz=opened.sample_rate_hz, channels=opened.channels))

    async def _audio(self, message: dict[str, Any]) -> None:
        try:
            data = base64.b64decode(message.get("data", ""), validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise Refused("INVALID_MESSAGE", "audio needs base64 in 'data'.") from None
        await self._intake.feed(data)

    async def _finalize(self, _message: dict[str, Any]) -> None:
        if self._session.has_begun:
            await self._session.finalize()

    # --- out ---

    async def _write(self) -> None:
        async for update in self._session.updates():
            if isinstance(update, Closed) and self._refusal is not None:
                await self._refuse(self._refusal.code, self._refusal.message)
                return
            await self._tell(update)
            if isinstance(update, Closed):
                await self._socket.close(1000)

    async def _tell(self, update: Update) -> None:
        now = self._hub.clock()
        match update:
            case Interim(result):
                if self._session.config.interim_results:
                    await self._send(interim_json(result, now))
            case Final(utterance, _, sequence):
                await self._send(final_json(utterance, now) | {"sequence": sequence})
            case SpeechStarted(utterance_id, at_s):
                await self._send({"type": "speech_started", "utterance_id": utterance_id, "start": at_s})
            case Finalized(ordinal, sequence):
                await self._send({"type": "finalized", "ordinal": ordinal, "sequence": sequence})
            case Closed(audio_seconds, sequence):
                await self._send({"type": "closed", "audio_seconds": round(audio_seconds, 3), "sequence": sequence})
            case Failed(code, message):
                await self._refuse(code, message)

    async def _refuse(self, code: str, message: str) -> None:
        REFUSALS.labels(EDGE, code).inc()
        await self._send({"type": "error"} | errors.body(code, message))
        await self._socket.close(errors.CODES[code].websocket)

    async def _send(self, message: dict[str, Any]) -> None:
        await send_json(self._socket, message)


async def _resumed(hub: SessionHub, gate: Gate, caller: Caller, query: dict[str, str]) -> tuple[LiveSession, Asked, int]:
    """The session that the token is for, as this connection asks for it, and the last sequence its client has seen."""
    claims = await gate.unseal(RESUME, query.pop("resume_token"))
    if claims is None or claims["own"] != caller.owner:
        raise Refused("NOT_RESUMABLE", "This resume token is not ours, not yours, or too old; open a new session.")
    last_sequence = query.pop("last_sequence", "0")
    if not (last_sequence.isascii() and last_sequence.isdigit() and len(last_sequence) < MOST_DIGITS):
        raise Refused("INVALID_PARAMETER", "'last_sequence' must be the sequence of the last message that had one, or 0.")
    session = await hub.resume(EDGE, caller, claims["sid"], claims["at"])
    if not session.has_begun:
        raise Refused("NOT_RESUMABLE", "This session had no audio yet; open a new one.")
    begun = Asked(session.config)
    asked = parameters.apply(begun, query, hub.settings)
    _check_unchanged(begun, asked)
    if asked.config != session.config and not session.is_closing:
        await session.configure(asked.config)
    return session, asked, int(last_sequence)


def _check_unchanged(before: Asked, after: Asked) -> None:
    """Raises ``Refused`` where something is to change that is fixed by the first audio."""
    fixed = [(asked.config.sample_rate_hz, asked.config.channels, asked.config.stages) for asked in (before, after)]
    if fixed[0] != fixed[1]:
        raise Refused("INVALID_PARAMETER", "sample_rate, channels, diarize and attributes can only be set before the first audio.")


def router(hub: SessionHub, gate: Gate) -> APIRouter:
    routes = APIRouter()

    @routes.websocket("/ws/v1/transcribe")
    async def transcribe(socket: WebSocket) -> None:
        await socket.accept(offered_subprotocol(socket))
        query = dict(socket.query_params)
        query.pop(QUERY_PARAMETER, None)
        last_sequence: int | None = None
        try:
            caller = await gate.admit(socket)
            if "resume_token" in query:
                session, asked, last_sequence = await _resumed(hub, gate, caller, query)
            else:
                asked = parameters.apply(Asked(), query, hub.settings)
                session = await hub.open(EDGE, caller, traceparent=socket.headers.get("traceparent", ""))
            await NativeConnection(socket, hub, gate, session, asked).run(last_sequence)
        except Refused as refused:
            await refuse_socket(socket, EDGE, refused)

    return routes
