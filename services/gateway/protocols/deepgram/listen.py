"""WebSocket /v1/listen: live audio in, Results, SpeechStarted, UtteranceEnd and Metadata out, as Deepgram's clients know them."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, cast

from fastapi import APIRouter, Request, WebSocket, WebSocketDisconnect

from services.gateway import errors
from services.gateway.access.credentials import offered_subprotocol
from services.gateway.access.gate import Gate
from services.gateway.intake import Intake
from services.gateway.protocols.deepgram import refusal
from services.gateway.protocols.deepgram.callback import Callback
from services.gateway.protocols.deepgram.channels import Channels, close_all, leave_all, open_all
from services.gateway.protocols.deepgram.configure import Unparsable, configured
from services.gateway.protocols.deepgram.gaps import Gap
from services.gateway.protocols.deepgram.messages import NO_ENGINE, metadata_json, model_info, model_uuid, results_json
from services.gateway.protocols.deepgram.parameters import Live, live_of
from services.gateway.requests import refusals
from services.gateway.requests.bounds import parse_json
from services.gateway.sessions.hub import SessionHub
from services.gateway.sessions.session import LiveSession
from services.gateway.sessions.updates import Closed, Failed, Final, Finalized, Interim, SpeechEnded, SpeechStarted, Update
from services.gateway.sockets.conversing import one_has_ended
from services.gateway.sockets.reader import last_words, reader_of
from services.gateway.sockets.writer import send_json
from services.gateway.wording.wording import WrittenWord, write
from voxrelay.errors import Refused
from voxrelay.events import EndReason, Engine
from voxrelay.join import JoinedWord
from voxrelay.telemetry import REFUSALS

log = logging.getLogger(__name__)

EDGE = "deepgram"
SILENT_S = 10.0  # without any message; theirs, whatever this gateway's idle_s is
LOOK_S = 0.1  # how often the gaps between words are looked at
MOST_REASON_BYTES = 123  # of a close frame
MOST_ECHOED_CHARACTERS = 1000
UNDECODABLE = ("INVALID_AUDIO_FORMAT", "TRUNCATED_AUDIO", "UNSUPPORTED_ENCODING", "EMPTY_AUDIO")


class ListenConnection:
    """One WebSocket. Reading, and writing for each channel, are tasks; whichever fails ends all."""

    def __init__(self, socket: WebSocket, hub: SessionHub, sessions: list[LiveSession], live: Live, callback: Callback | None) -> None:
        self._socket, self._hub, self._sessions, self._live, self._callback = socket, hub, sessions, live, callback
        listening = sessions[0] if len(sessions) == 1 else Channels(sessions)
        self._intake = Intake(listening, live.asked, hub.settings.session_lifetime_s, len(sessions))
        self._request_id = refusal.request_id_of(sessions[0].id)
        self._opened_at = hub.clock()
        self._digest = hashlib.sha256()
        self._wording = live.wording
        self._engine: Engine = NO_ENGINE
        self._gaps = [Gap(live.utterance_end_s) for _ in sessions] if live.utterance_end_s is not None else []
        self._has_flushed = [False] * len(sessions)  # a final of the finalize that is being answered has gone out
        self._heard_s = [0.0] * len(sessions)
        self._sending = asyncio.Lock()
        self._reason: EndReason = "closed"
        self._refusal: Refused | None = None  # why no more is read

    async def run(self) -> None:
        try:
            headers = [(b"dg-request-id", self._request_id.encode())]
            await self._socket.accept(offered_subprotocol(self._socket), headers)
            writing, reading = asyncio.create_task(self._write()), asyncio.create_task(self._read())
            async with one_has_ended(writing, reading):
                if not writing.done():
                    await self._reading_ended(reading, writing)
                await writing
        except (WebSocketDisconnect, TimeoutError):
            self._reason = "vanished"
        finally:
            self._intake.abandon()
            await leave_all(self._sessions, self._reason)

    async def _reading_ended(self, reading: asyncio.Task[None], writing: asyncio.Task[None]) -> None:
        """The results of what was said still come; after a refusal for a while only, and then the connection is closed with its code."""
        try:
            await reading
        except Refused as refused:
            self._refusal, self._reason = refused, "failed"
        await close_all(self._sessions, self._reason)
        if self._refusal is not None:
            await last_words(writing, self._refusal, self._sessions[0].fail, self._sessions[0].id)

    # --- in ---

    async def _read(self) -> None:
        reader = reader_of(self._socket, self._hub, self._opened_at, "audio or KeepAlive", idle_s=SILENT_S)
        reader.shorten(self._take)
        while True:
            message = await reader.next()
            data = message.get("bytes")
            if data:
                self._digest.update(data)
                await self._intake.feed(data)
            elif data is not None or await self._handle(message.get("text") or ""):  # an empty binary message is how older SDKs end
                await self._intake.finish()
                return

    def _take(self, data: bytes) -> bool:
        is_taken = self._intake.take(data)
        if is_taken:
            self._digest.update(data)
        return is_taken

    async def _handle(self, text: str) -> bool:
        """One control message; True when it was the last."""
        handlers: dict[Any, Callable[[dict[str, Any]], Awaitable[None]]] = {"Finalize": self._finalize, "Configure": self._configure}
        try:
            message = _parsed(text)
            if message["type"] in handlers:
                await handlers[message["type"]](message)
        except Unparsable as unparsable:
            shown = text[:MOST_ECHOED_CHARACTERS]
            await self._send({"type": "Error", "variant": "SchemaError", "description": str(unparsable), "message": shown})
            return False
        return bool(message["type"] == "CloseStream")

    async def _finalize(self, message: dict[str, Any]) -> None:
        channel = message.get("channel")
        if channel is not None and (isinstance(channel, bool) or not isinstance(channel, int) or not 0 <= channel < len(self._sessions)):
            raise Unparsable(f"'channel' of Finalize must be a whole number from 0 to {len(self._sessions) - 1}.")
        for number in range(len(self._sessions)) if channel is None else (channel,):
            if self._sessions[number].has_begun:
                await self._sessions[number].finalize()
            else:  # nothing has been heard: there is nothing to wait for
                await self._flushed(number)

    async def _configure(self, message: dict[str, Any]) -> None:
        keyterms, wording = configured(message, self._wording)
        failure = None
        if keyterms is not None:
            vocabulary = tuple(dict.fromkeys((*keyterms, *self._live.keywords)))
            try:
                if len(vocabulary) > self._hub.settings.max_vocabulary_terms:
                    raise Refused("QUOTA_EXCEEDED", f"At most {self._hub.settings.max_vocabulary_terms} keyterms are taken.")
                await self._prefer(vocabulary)
            except Refused as refused:
                if refused.code != "QUOTA_EXCEEDED":
                    raise
                failure = refused.message
        if failure is not None:
            code = "CONFIGURE_KEYTERM_LIMIT_EXCEEDED"
            await self._send({"type": "ConfigureFailure", "request_id": self._request_id, "code": code, "description": failure})
            return
        self._wording = wording
        terms = list(keyterms) if keyterms is not None else list(self._intake.asked.config.custom_vocabulary)
        await self._send({"type": "ConfigureSuccess", "request_id": self._request_id, "keyterms": terms})

    async def _prefer(self, vocabulary: tuple[str, ...]) -> None:
        for session in self._sessions:
            if session.has_begun:
                await session.configure(replace(session.config, custom_vocabulary=vocabulary))
        asked = self._intake.asked
        self._intake.asked = replace(asked, config=replace(asked.config, custom_vocabulary=vocabulary))

    # --- out ---

    async def _write(self) -> None:
        tasks = [asyncio.create_task(self._follow(channel)) for channel in range(len(self._sessions))]
        watching = asyncio.create_task(self._watch_gaps())
        try:
            await asyncio.gather(*tasks)
            if self._refusal is not None:
                raise self._refusal
            await self._send(
                metadata_json(
                    self._request_id,
                    self._digest.hexdigest(),
                    self._opened_at,
                    max(self._heard_s),
                    len(self._sessions),
                    self._engine,
                    self._live.tags,
                    self._live.extra,
                )
            )
            await self._socket.close(1000)
        except Refused as refused:
            await self._close_for(refused)
        finally:
            for task in (*tasks, watching):
                task.cancel()
            await asyncio.gather(*tasks, watching, return_exceptions=True)

    async def _follow(self, channel: int) -> None:
        async for update in self._sessions[channel].updates():
            await self._tell(channel, update)

    async def _tell(self, channel: int, update: Update) -> None:
        gap = self._gaps[channel] if self._gaps else None
        match update:
            case SpeechStarted(utterance_id, at_s):
                if gap is not None:
                    gap.started(utterance_id, at_s)
                if self._live.has_speech_started:
                    await self._send({"type": "SpeechStarted", "channel": self._index(channel), "timestamp": round(at_s, 3)})
            case SpeechEnded(utterance_id, _, _):
                if gap is not None:
                    gap.ended(utterance_id, self._hub.clock())
            case Interim():
                await self._interim(channel, update)
            case Final():
                await self._final(channel, update)
            case Finalized():
                if not self._has_flushed[channel]:
                    await self._flushed(channel)
                self._has_flushed[channel] = False
            case Closed(audio_seconds):
                self._heard_s[channel] = audio_seconds
                last_word_end_s = gap.due_at_end(audio_seconds) if gap is not None else None
                if last_word_end_s is not None:
                    await self._utterance_end(channel, last_word_end_s)
            case Failed(code, message):
                raise Refused(code, message)

    async def _interim(self, channel: int, interim: Interim) -> None:
        result = interim.result
        self._engine = result.engine if result.engine.name else self._engine
        if not self._live.has_interims:
            return
        words = [JoinedWord(word.text, word.start_s, word.end_s, word.confidence, "") for word in result.words]
        is_timed = bool(words)
        if not is_timed:  # an engine that tells no times yet: the words are written all the same
            words = [JoinedWord(text, result.start_s, result.end_s, result.confidence, "") for text in result.text.split()]
        await self._note_words(channel, result.utterance_id, words, result.end_s, is_final=False)
        written = write(words, self._wording, result.language or "en")
        await self._results(channel, result.start_s, result.end_s, written, result.confidence, result.language, is_timed=is_timed, is_final=False)

    async def _final(self, channel: int, final: Final) -> None:
        utterance = final.utterance
        self._engine = final.engine if final.engine.name else self._engine
        await self._note_words(channel, utterance.utterance_id, utterance.words, utterance.end_s, is_final=True)
        written = write(utterance.words, self._wording, utterance.language or "en")
        is_flush = final.end_reason == "finalize"
        self._has_flushed[channel] = self._has_flushed[channel] or is_flush
        await self._results(
            channel,
            utterance.start_s,
            utterance.end_s,
            written,
            utterance.confidence,
            utterance.language,
            is_final=True,
            is_speech_final=is_flush or final.end_reason == "end" or (final.end_reason == "pause" and self._live.is_endpointed),
            is_flush=is_flush,
            attributes=utterance.attributes,
        )

    async def _flushed(self, channel: int) -> None:
        """The answer to a Finalize that found nothing to finalize."""
        at_s = self._sessions[channel].audio_seconds
        await self._results(channel, at_s, at_s, (), 0.0, "", is_final=True, is_speech_final=True, is_flush=True)

    async def _results(
        self,
        channel: int,
        start_s: float,
        end_s: float,
        words: tuple[WrittenWord, ...],
        confidence: float,
        language: str,
        *,
        is_final: bool,
        is_speech_final: bool = False,
        is_flush: bool = False,
        is_timed: bool = True,
        attributes: Any = None,
    ) -> None:
        message = results_json(
            words,
            self._wording,
            confidence,
            language if self._live.has_languages else "",
            is_timed=is_timed,
            with_speaker=self._live.has_speakers,
            attributes=attributes if self._live.has_voice else None,
        )
        await self._send(
            {
                "type": "Results",
                "channel_index": self._index(channel),
                "start": round(start_s, 3),
                "duration": round(end_s - start_s, 3),
                "is_final": is_final,
                "speech_final": is_speech_final,
                "from_finalize": is_flush,
                "channel": message,
                "metadata": {"request_id": self._request_id, "model_uuid": model_uuid(self._engine), "model_info": model_info(self._engine)},
            }
        )

    async def _note_words(self, channel: int, utterance_id: str, words: Sequence[JoinedWord], covered_s: float, *, is_final: bool) -> None:
        if self._gaps and words:
            gap = self._gaps[channel]
            last_word_end_s = gap.heard(utterance_id, (words[0].start_s, words[-1].end_s), covered_s, is_final=is_final)
            if last_word_end_s is not None:
                await self._utterance_end(channel, last_word_end_s)

    async def _watch_gaps(self) -> None:
        while self._gaps:
            await asyncio.sleep(LOOK_S)
            for channel, gap in enumerate(self._gaps):
                last_word_end_s = gap.due(self._sessions[channel].audio_seconds, self._hub.clock())
                if last_word_end_s is not None:
                    await self._utterance_end(channel, last_word_end_s)

    async def _utterance_end(self, channel: int, last_word_end_s: float) -> None:
        await self._send({"type": "UtteranceEnd", "channel": self._index(channel), "last_word_end": round(last_word_end_s, 3)})

    def _index(self, channel: int) -> list[int]:
        return [channel, len(self._sessions)]

    async def _close_for(self, refused: Refused) -> None:
        REFUSALS.labels(EDGE, refused.code).inc()
        status, reason = errors.CODES[refused.code].websocket, f"{refused.code}: {refused.message}"
        if refused.code in UNDECODABLE:
            status, reason = 1008, f"DATA-0000: {refused.message}"
        elif refused.code == "SESSION_IDLE":
            status, reason = 1011, f"NET-0001: {refused.message}"
        await self._socket.close(status, reason.encode()[:MOST_REASON_BYTES].decode(errors="ignore"))

    async def _send(self, message: dict[str, Any]) -> None:
        async with self._sending:
            await send_json(self._socket, message)
        if self._callback is not None:
            self._callback.put(message)


def _parsed(text: str) -> dict[str, Any]:
    try:
        message = parse_json(text)
    except ValueError:
        raise Unparsable("A text message must be JSON; send audio in binary messages.") from None
    if not isinstance(message, dict) or message.get("type") not in ("KeepAlive", "Finalize", "CloseStream", "Configure"):
        raise Unparsable("'type' must be KeepAlive, Finalize, CloseStream or Configure.")
    return message


def router(hub: SessionHub, gate: Gate) -> APIRouter:
    routes = APIRouter()
    posting: set[asyncio.Task[None]] = set()  # what is still on its way to callbacks when their connections have ended

    @routes.websocket("/v1/listen")
    async def listen(socket: WebSocket) -> None:
        callback: Callback | None = None
        try:
            caller = await gate.admit(socket)
            live = live_of(socket.query_params.multi_items(), hub.settings)
            if live.callback:
                callback = Callback(live.callback, live.callback_method, hub.settings)
            sessions = await open_all(hub, EDGE, caller, live.channels, socket.headers.get("traceparent", ""))
        except refusals.FAILURES as error:
            if callback is not None:
                callback.abandon()
            await socket.send_denial_response(refusals.answer(EDGE, refusal.render, cast(Request, socket), error))
            return
        try:
            await ListenConnection(socket, hub, sessions, live, callback).run()
        finally:
            if callback is not None:
                task = asyncio.create_task(callback.finish())
                posting.add(task)
                task.add_done_callback(posting.discard)

    return routes
