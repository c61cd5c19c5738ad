"""WebSocket /v1/realtime: OpenAI's realtime transcription. A client's mistake is answered with ``error``, and the session lives on."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import secrets
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from services.gateway import errors
from services.gateway.access.credentials import QUERY_PARAMETER, offered_subprotocol, presented
from services.gateway.access.gate import Gate
from services.gateway.intake import Intake
from services.gateway.protocols.openai.client_secrets import unseal
from services.gateway.protocols.openai.form import choice
from services.gateway.protocols.openai.refusal import RefusedParameter, error_of
from services.gateway.protocols.openai.turns import Event, Turns
from services.gateway.protocols.openai.wishes import RealtimeWishes, of_before_ga, updated
from services.gateway.requests.bounds import parse_json
from services.gateway.sessions.hub import SessionHub
from services.gateway.sessions.session import LiveSession
from services.gateway.sessions.updates import Closed, Failed
from services.gateway.sockets.conversing import one_has_ended
from services.gateway.sockets.reader import reader_of
from services.gateway.sockets.writer import send_json
from voxrelay.errors import Refused
from voxrelay.events import EndReason
from voxrelay.telemetry import REFUSALS

EDGE = "openai"
LAST_WORDS_S = 5.0  # how long a session that is ended waits for the results of what was said
LEAST_COMMIT_S = 0.1
BYTES_A_SAMPLE = {"linear16": 2, "mulaw": 1, "alaw": 1}
OF_CONVERSATIONS = ("response.", "conversation.item.", "output_audio_buffer.")
CLIENT_LEFT = (1000, 1001, 1005)  # close codes of one that meant it
ENDING = ("QUOTA_EXCEEDED", "LOG_UNAVAILABLE", "SHUTTING_DOWN")  # refusals after which no audio is taken any more


def _new_id(kind: str) -> str:
    return f"{kind}_{secrets.token_hex(12)}"


class RealtimeConnection:
    """One WebSocket. Reading and writing are two tasks; both tell events, one batch at a time and so in the order of ``Turns``."""

    def __init__(self, socket: WebSocket, hub: SessionHub, session: LiveSession, wishes: RealtimeWishes) -> None:
        self._socket, self._hub, self._session = socket, hub, session
        self._turns = Turns(lambda: _new_id("item"))
        self._intake = Intake(session, wishes.asked, hub.settings.session_lifetime_s)
        self._telling = asyncio.Lock()
        self._reason: EndReason = "closed"
        self._received_s = self._committed_s = 0.0  # audio so far, and up to the last commit or clear
        self._apply(wishes)

    async def run(self) -> None:
        await self._tell([{"type": "session.created", "session": self._wishes.session(self._session.id)}])
        writing = asyncio.create_task(self._write())
        reading = asyncio.create_task(self._read())
        try:
            async with one_has_ended(writing, reading):
                if writing.done():
                    await writing
                else:
                    await self._reading_ended(reading, writing)
        except WebSocketDisconnect as gone:
            self._reason = "closed" if gone.code in CLIENT_LEFT else "vanished"
        except TimeoutError:
            self._reason = "vanished"
        finally:
            self._intake.abandon()
            await self._session.close(self._reason)
            self._session.leave()

    async def _reading_ended(self, reading: asyncio.Task[None], writing: asyncio.Task[None]) -> None:
        """Only a refusal ends it while the client is there: the results of what was said still come, for a while."""
        try:
            await reading
        except Refused as refused:
            await self._session.close("idle" if refused.code == "SESSION_IDLE" else "failed")
            await asyncio.wait((writing,), timeout=LAST_WORDS_S)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            await self._end(refused)

    # --- in --------------------------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        reader = reader_of(self._socket, self._hub, self._hub.clock(), "audio, silence too")
        while True:
            await self._take((await reader.next()).get("text"))

    async def _take(self, text: str | None) -> None:
        """One event. A mistake in it is answered; raises ``Refused`` where no more can be taken."""
        event: Any = None
        try:
            try:
                event = parse_json(text or "")
            except ValueError:
                raise Refused(
                    "INVALID_MESSAGE", "An event must be a JSON object in a text message; audio goes into input_audio_buffer.append."
                ) from None
            await self._handle(event)
        except Refused as refused:
            if refused.code in ENDING or errors.CODES[refused.code].http >= 500:
                raise
            REFUSALS.labels(EDGE, refused.code).inc()
            caused_by = event.get("event_id") if isinstance(event, dict) else None
            await self._tell([_error(refused, caused_by if isinstance(caused_by, str) else None)])

    async def _handle(self, event: Any) -> None:
        handlers: dict[str, Callable[[dict[str, Any]], Awaitable[None]]] = {
            "session.update": self._update,
            "transcription_session.update": self._update_before_ga,
            "input_audio_buffer.append": self._append,
            "input_audio_buffer.commit": self._commit,
            "input_audio_buffer.clear": self._clear,
        }
        kind = event.get("type") if isinstance(event, dict) else None
        if isinstance(kind, str) and kind in handlers:
            await handlers[kind](event)
        elif isinstance(kind, str) and kind.startswith(OF_CONVERSATIONS):
            raise RefusedParameter("type", "This is a transcription session: it answers with transcripts only.", "NOT_SUPPORTED")
        else:
            raise RefusedParameter("type", f"'type' must be one of {', '.join(handlers)}.", "INVALID_MESSAGE")

    async def _update(self, event: dict[str, Any]) -> None:
        await self._change(event.get("session"))
        await self._tell([{"type": "session.updated", "session": self._wishes.session(self._session.id)}])

    async def _update_before_ga(self, event: dict[str, Any]) -> None:
        await self._change(of_before_ga(event.get("session")))
        await self._tell([{"type": "transcription_session.updated", "session": self._wishes.session_before_ga(self._session.id)}])

    async def _change(self, changes: Any) -> None:
        wishes = updated(self._wishes, changes, self._hub.settings)
        before, after = self._wishes.asked, wishes.asked
        if self._intake.is_settled:
            fixed = (before.encoding, before.config.sample_rate_hz, before.config.stages)
            if fixed != (after.encoding, after.config.sample_rate_hz, after.config.stages):
                raise RefusedParameter(
                    "session.audio.input", "The format, and a model that tells speakers apart, can only be set before the first audio."
                )
        if self._session.has_begun:
            await self._session.configure(after.config)
        self._apply(wishes)

    def _apply(self, wishes: RealtimeWishes) -> None:
        self._wishes, self._intake.asked = wishes, wishes.asked
        self._turns.is_detecting, self._turns.agreeing = wishes.is_detecting, wishes.agreeing
        self._turns.has_logprobs, self._turns.has_segments = wishes.has_logprobs, wishes.has_segments

    async def _append(self, event: dict[str, Any]) -> None:
        try:
            audio = base64.b64decode(event.get("audio", ""), validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise RefusedParameter("audio", "'audio' must be base64 of audio in the session's format.", "INVALID_MESSAGE") from None
        await self._intake.feed(audio)
        asked = self._wishes.asked
        self._received_s += len(audio) / BYTES_A_SAMPLE[asked.encoding] / asked.config.sample_rate_hz
        await self._look_at_silence()

    async def _look_at_silence(self) -> None:
        """By the clock of the audio: without audio nobody is silent."""
        timeout_s, since_s = self._wishes.idle_timeout_ms / 1000, self._turns.quiet_since_s
        if timeout_s and self._wishes.is_detecting and not self._turns.is_speaking and self._received_s - since_s >= timeout_s:
            async with self._telling:
                await self._send(self._turns.time_out(since_s, self._received_s))

    async def _commit(self, _event: dict[str, Any]) -> None:
        held_s = self._received_s - self._committed_s
        if held_s < LEAST_COMMIT_S or not self._session.has_begun:
            message = f"Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, but it has {held_s * 1000:.2f}ms."
            raise RefusedParameter("input_audio_buffer", message, "EMPTY_AUDIO", "input_audio_buffer_commit_empty")
        async with self._telling:  # no result comes between the finalize and its mark
            ordinal = await self._session.finalize()
            start_s, self._committed_s = self._committed_s, self._received_s
            await self._send(self._turns.commit(ordinal, start_s, self._received_s))

    async def _clear(self, _event: dict[str, Any]) -> None:
        async with self._telling:
            if self._session.has_begun:
                ordinal = await self._session.finalize()
                self._committed_s = self._received_s
                await self._send(self._turns.clear(ordinal))
            else:
                await self._send([{"type": "input_audio_buffer.cleared"}])

    # --- out -------------------------------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        async for update in self._session.updates():
            if isinstance(update, Failed):
                refused = Refused(update.code, update.message)
                await self._tell(self._turns.fail(error_of(refused)))
                await self._end(refused)
            elif not isinstance(update, Closed):
                await self._tell(self._turns.update(update))

    async def _end(self, refused: Refused) -> None:
        REFUSALS.labels(EDGE, refused.code).inc()
        await self._tell([_error(refused)])
        await self._socket.close(errors.CODES[refused.code].websocket)

    async def _tell(self, events: Iterable[Event]) -> None:
        async with self._telling:
            await self._send(events)

    async def _send(self, events: Iterable[Event]) -> None:
        for event in events:
            await send_json(self._socket, {"event_id": _new_id("event")} | event)


def _error(refused: Refused, caused_by: str | None = None) -> Event:
    return {"type": "error", "error": error_of(refused) | {"event_id": caused_by}}


def _check_query(socket: WebSocket) -> None:
    for name, value in socket.query_params.items():
        if name == "intent":
            choice("intent", value, ("transcription",))
        elif name not in ("model", QUERY_PARAMETER):
            raise RefusedParameter(name[:60], f"Unknown parameter: '{name[:60]}'; there are intent, model, {QUERY_PARAMETER}.")


def router(hub: SessionHub, gate: Gate) -> APIRouter:
    routes = APIRouter()

    @routes.websocket("/v1/realtime")
    async def realtime(socket: WebSocket) -> None:
        await socket.accept(offered_subprotocol(socket))
        try:
            credential, described = unseal(presented(socket))
            caller = await gate.admit_credential(credential)
            _check_query(socket)
            wishes = updated(RealtimeWishes(), described, hub.settings)
            session = await hub.open(EDGE, caller, traceparent=socket.headers.get("traceparent", ""))
        except Refused as refused:
            REFUSALS.labels(EDGE, refused.code).inc()
            await socket.send_text(json.dumps({"event_id": _new_id("event")} | _error(refused)))
            await socket.close(errors.CODES[refused.code].websocket)
            return
        await RealtimeConnection(socket, hub, session, wishes).run()

    return routes
