"""WebSocket /v2/listen: live audio in, turns out, as the clients of Deepgram's Flux know them."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any, cast

from fastapi import APIRouter, Request, WebSocket, WebSocketDisconnect

from services.gateway import errors
from services.gateway.access.credentials import offered_subprotocol
from services.gateway.access.gate import Gate
from services.gateway.intake import Intake
from services.gateway.protocols.deepgram import refusal
from services.gateway.protocols.deepgram.flux_parameters import Flux, change_of, flux_of, pause_ms
from services.gateway.protocols.deepgram.turns import TurnInfo, Turns
from services.gateway.requests import refusals
from services.gateway.requests.bounds import parse_json
from services.gateway.sessions.hub import SessionHub
from services.gateway.sessions.session import LiveSession
from services.gateway.sessions.updates import Closed, Failed
from services.gateway.sockets.conversing import one_has_ended
from services.gateway.sockets.reader import last_words, reader_of
from services.gateway.sockets.writer import send_json
from services.gateway.wording.wording import text_of
from voxrelay.errors import Refused
from voxrelay.events import EndReason
from voxrelay.telemetry import REFUSALS

log = logging.getLogger(__name__)

EDGE = "flux"
LOOK_S = 0.05  # how often it is looked whether silence has ended a turn
MESSAGES = ("CloseStream", "Configure", "ForceEndTurn")
CODES = {"INVALID_MESSAGE": "UNPARSABLE_CLIENT_MESSAGE", "INTERNAL": "INTERNAL_SERVER_ERROR"}  # ours: theirs


class FluxConnection:
    """One WebSocket. Reading and writing are tasks; whichever fails ends both."""

    def __init__(self, socket: WebSocket, hub: SessionHub, session: LiveSession, flux: Flux) -> None:
        self._socket, self._hub, self._session = socket, hub, session
        self._intake = Intake(session, flux.asked, hub.settings.session_lifetime_s)
        self._turns = Turns(flux.thresholds, flux.wording)
        self._keyterms, self._language_hints = flux.asked.config.custom_vocabulary, flux.language_hints
        self._request_id = refusal.request_id_of(session.id)
        self._opened_at = hub.clock()
        self._sequence = 0
        self._sending = asyncio.Lock()
        self._reason: EndReason = "closed"
        self._refusal: Refused | None = None  # why no more is read

    async def run(self) -> None:
        try:
            headers = [(b"dg-request-id", self._request_id.encode())]
            await self._socket.accept(offered_subprotocol(self._socket), headers)
            await self._send("Connected", {})
            writing, reading = asyncio.create_task(self._write()), asyncio.create_task(self._read())
            async with one_has_ended(writing, reading):
                if not writing.done():
                    await self._reading_ended(reading, writing)
                await writing
        except (WebSocketDisconnect, TimeoutError):
            self._reason = "vanished"
        finally:
            self._intake.abandon()
            await self._session.close(self._reason)
            self._session.leave()

    async def _reading_ended(self, reading: asyncio.Task[None], writing: asyncio.Task[None]) -> None:
        """The turns of what was said still come; after a refusal for a while only, and then the error."""
        try:
            await reading
        except Refused as refused:
            self._refusal, self._reason = refused, "failed"
        await self._session.close(self._reason)
        if self._refusal is not None:
            await last_words(writing, self._refusal, self._session.fail, self._session.id)

    # --- in ---

    async def _read(self) -> None:
        reader = reader_of(self._socket, self._hub, self._opened_at, "audio, silence too")
        reader.shorten(self._intake.take)
        while True:
            message = await reader.next()
            if message.get("bytes") is not None:
                await self._intake.feed(message["bytes"])
            elif await self._handle(message.get("text") or ""):
                await self._intake.finish()
                return

    async def _handle(self, text: str) -> bool:
        """One control message; True when it was the last."""
        try:
            message = parse_json(text)
        except ValueError:
            message = None
        kind = message.get("type") if isinstance(message, dict) else None
        if kind not in MESSAGES:
            raise Refused("INVALID_MESSAGE", f"A text message must be JSON whose 'type' is one of {', '.join(MESSAGES)}.")
        if kind == "Configure":
            await self._configure(message)
        elif kind == "ForceEndTurn" and self._session.has_begun:
            await self._session.finalize()
        return bool(kind == "CloseStream")

    async def _configure(self, message: dict[str, Any]) -> None:
        asked = self._intake.asked
        try:
            change = change_of(message, self._turns.thresholds, self._hub.settings)
            vocabulary = asked.config.custom_vocabulary if change.keyterms is None else change.keyterms
            paused_ms = pause_ms(change.thresholds)
            if self._session.has_begun:
                await self._session.configure(replace(self._session.config, custom_vocabulary=vocabulary, pause_ms=paused_ms))
        except Refused as refused:
            if refused.code == "LOG_UNAVAILABLE":
                raise
            await self._send("ConfigureFailure", {"code": refused.code, "description": refused.message})
            return
        self._intake.asked = replace(asked, config=replace(asked.config, custom_vocabulary=vocabulary, pause_ms=paused_ms))
        self._keyterms = vocabulary
        self._language_hints = self._language_hints if change.language_hints is None else change.language_hints
        self._turns.set_thresholds(change.thresholds)
        if change.numerals is not None:
            self._turns.wording = replace(self._turns.wording, numerals=change.numerals)
        await self._send("ConfigureSuccess", self._configuration())

    def _configuration(self) -> dict[str, Any]:
        thresholds = self._turns.thresholds
        told = {"eot_threshold": thresholds.end, "eot_timeout_ms": thresholds.timeout_ms}
        return {
            "thresholds": told | ({"eager_eot_threshold": thresholds.eager} if thresholds.eager is not None else {}),
            "keyterms": list(self._keyterms),
            "language_hints": list(self._language_hints),
            "numerals": self._turns.wording.numerals,
        }

    # --- out ---

    async def _write(self) -> None:
        looking = asyncio.create_task(self._look())
        try:
            async for update in self._session.updates():
                for info in self._turns.take(update, self._hub.clock()):
                    await self._tell(info)
                if isinstance(update, Failed):
                    await self._end_with(Refused(update.code, update.message))
                elif isinstance(update, Closed) and self._refusal is not None:
                    await self._end_with(self._refusal)
                elif isinstance(update, Closed):
                    await self._socket.close(1000)
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            if self._session.has_begun and not self._session.is_closing:
                for info in self._turns.look(self._session.audio_seconds, self._hub.clock()):
                    await self._tell(info)

    async def _tell(self, info: TurnInfo) -> None:
        words: list[dict[str, Any]] = []
        for word in info.words:
            timed = {"start": round(word.start_s, 3), "end": round(word.end_s, 3)} if info.are_timed else {}
            words.append({"word": word.written, "confidence": round(word.confidence, 3)} | timed)
        told: dict[str, Any] = {
            "event": info.event,
            "turn_index": info.turn_index,
            "audio_window_start": round(info.start_s, 3),
            "audio_window_end": round(info.end_s, 3),
            "transcript": text_of(info.words),
            "words": words,
            "end_of_turn_confidence": round(info.confidence, 3),
        }
        if info.trigger:
            told["trigger"] = info.trigger
        if self._language_hints:
            told["languages_hinted"] = list(self._language_hints)
        await self._send("TurnInfo", told)

    async def _end_with(self, refused: Refused) -> None:
        REFUSALS.labels(EDGE, refused.code).inc()
        await self._send("Error", {"code": CODES.get(refused.code, refused.code), "description": refused.message})
        await self._socket.close(errors.CODES[refused.code].websocket)

    async def _send(self, kind: str, content: dict[str, Any]) -> None:
        """Numbered in the order they go out."""
        async with self._sending:
            message = {"type": kind, "request_id": self._request_id, "sequence_id": self._sequence} | content
            self._sequence += 1
            await send_json(self._socket, message)


def router(hub: SessionHub, gate: Gate) -> APIRouter:
    routes = APIRouter()

    @routes.websocket("/v2/listen")
    async def listen(socket: WebSocket) -> None:
        try:
            caller = await gate.admit(socket)
            flux = flux_of(socket.query_params.multi_items(), hub.settings)
            session = await hub.open(EDGE, caller, traceparent=socket.headers.get("traceparent", ""))
        except refusals.FAILURES as error:
            await socket.send_denial_response(refusals.answer(EDGE, refusal.render, cast(Request, socket), error))
            return
        await FluxConnection(socket, hub, session, flux).run()

    return routes
