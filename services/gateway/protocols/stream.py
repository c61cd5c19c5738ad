"""WebSocket /ws/stream: numbered chunks of float32 samples in, for each of them one answer with the speakers that are newly known.

A session of two stages, denoise and diarize: nothing waits for words.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from services.gateway import errors
from services.gateway.access.credentials import QUERY_PARAMETER, offered_subprotocol
from services.gateway.access.gate import Gate
from services.gateway.audio.decode import raw_decoder
from services.gateway.requests import parameters
from services.gateway.requests.bounds import parse_json
from services.gateway.requests.parameters import Asked
from services.gateway.requests.refusals import refuse_socket
from services.gateway.sessions.hub import SessionHub
from services.gateway.sessions.session import LiveSession
from services.gateway.sessions.updates import Closed, Failed, Speakers
from services.gateway.settings import GatewaySettings
from services.gateway.sockets.conversing import one_has_ended
from services.gateway.sockets.reader import reader_of
from services.gateway.sockets.writer import send_json
from voxrelay.errors import Refused
from voxrelay.events import EndReason, SessionConfig
from voxrelay.telemetry import REFUSALS, fields

log = logging.getLogger(__name__)

EDGE = "stream"
STAGES = ("denoise", "diarize")
PARAMETERS = ("sample_rate", "num_speakers", "interim_results", "vad_enabled", "noise_suppression", "pause_ms", "keep_audio")
MESSAGES = ("audio_chunk", "keep_alive", "close_stream")
MAX_CHUNK_SAMPLES = 160_000  # ten seconds at 16 kHz
LOUDEST = 2.0  # float audio overshoots 1 at times; what lies far beyond are integers
MOST_SEQUENCE = 2**53 - 1  # what JavaScript counts without a gap
LAST_WORDS_S = 5.0  # how long an error waits for what was still to be said before it


class StreamConnection:
    """One WebSocket. One task reads and answers, one gathers what becomes known; a client that does not read its answers is not read."""

    def __init__(self, socket: WebSocket, hub: SessionHub, session: LiveSession, config: SessionConfig) -> None:
        self._socket, self._hub, self._session, self._config = socket, hub, session, config
        self._samples = raw_decoder("float32")
        self._sequence: int | None = None  # of the chunk answered last
        self._news: dict[str, Speakers] = {}  # what no answer has told yet, by utterance, in the order it became known
        self._reason: EndReason = "closed"

    async def run(self) -> None:
        following = asyncio.create_task(self._follow())
        reading = asyncio.create_task(self._read())
        try:
            async with one_has_ended(following, reading):
                if following.done():
                    await self._end(await following)
                else:
                    await self._end(await self._last_words(reading, following))
        except (WebSocketDisconnect, TimeoutError):
            self._reason = "vanished"
        finally:
            await self._session.close(self._reason)
            self._session.leave()

    async def _last_words(self, reading: asyncio.Task[None], following: asyncio.Task[Closed | Failed]) -> Closed | Failed:
        """How it ends once no more is read: with everything known, or with what was wrong."""
        try:
            await reading
        except Refused as refused:
            self._reason = "failed"
            await self._session.close(self._reason)
            await asyncio.wait((following,), timeout=LAST_WORDS_S)
            return Failed(refused.code, refused.message)
        await self._session.close()
        return await following

    async def _follow(self) -> Closed | Failed:
        async for update in self._session.updates():
            if isinstance(update, Speakers):
                self._news.pop(update.utterance_id, None)
                self._news[update.utterance_id] = update
            elif isinstance(update, Closed | Failed):
                return update
        return Failed("INTERNAL", "The session ended without a word.")

    # --- in ---

    async def _read(self) -> None:
        reader = reader_of(self._socket, self._hub, self._hub.clock(), "audio or keep_alive")
        await self._session.begin(self._config)
        while True:
            message = await reader.next()
            received_at = self._hub.clock()
            if message.get("bytes") is not None:
                await self._take(self._next(None), checked(message["bytes"]), received_at)
            elif await self._handle(message.get("text") or "", received_at):
                return

    async def _handle(self, text: str, received_at: float) -> bool:
        """One JSON message; True when it was the last."""
        try:
            message = parse_json(text)
        except ValueError:
            raise Refused("INVALID_MESSAGE", "A text message must be JSON; send float32 samples in binary messages.") from None
        kind = message.get("type") if isinstance(message, dict) else None
        if kind == "audio_chunk":
            await self._take(self._next(message.get("sequence")), checked(samples_of(message.get("data"))), received_at)
        elif kind not in MESSAGES:
            raise Refused("INVALID_MESSAGE", f"'type' must be one of {', '.join(MESSAGES)}.")
        return bool(kind == "close_stream")

    def _next(self, sequence: Any) -> int:
        """The chunk's number: its own where it follows the last, the next where it has none."""
        expected = 0 if self._sequence is None else self._sequence + 1
        if sequence is None:
            return expected
        if type(sequence) is not int or not 0 <= sequence <= MOST_SEQUENCE:
            raise Refused("INVALID_MESSAGE", "'sequence' must be a whole number from 0 on, or left out.")
        if self._sequence is not None and sequence != expected:
            raise Refused("INVALID_MESSAGE", f"'sequence' must be {expected} after {self._sequence}: a chunk was lost, repeated or overtaken.")
        return sequence

    async def _take(self, sequence: int, samples: bytes, received_at: float) -> None:
        await self._session.send_audio(self._samples.feed(samples))
        self._sequence = sequence
        await self._send(self._result(received_at))

    # --- out ---

    def _result(self, received_at: float) -> dict[str, Any]:
        news, self._news = self._news, {}
        return {
            "type": "result",
            "sequence": self._sequence,
            "utterances": list(news),  # all that was known of these before is replaced by the segments
            "segments": [segment for speakers in news.values() for segment in _segments(speakers)],
            "latency_ms": round((self._hub.clock() - received_at) * 1000, 1),
        }

    async def _end(self, update: Closed | Failed) -> None:
        """What is still to be told, and how it ended."""
        if self._sequence is not None and self._news:
            await self._send(self._result(self._hub.clock()))
        if isinstance(update, Closed):
            await self._send({"type": "closed", "session_id": self._session.id, "audio_seconds": round(update.audio_seconds, 3)})
            await self._socket.close(1000)
        else:
            log.info("A stream of speakers ended with an error.", extra=fields(session=self._session.id, code=update.code))
            REFUSALS.labels(EDGE, update.code).inc()
            await self._send({"type": "error"} | errors.body(update.code, update.message))
            await self._socket.close(errors.CODES[update.code].websocket)

    async def _send(self, message: dict[str, Any]) -> None:
        await send_json(self._socket, message)


def _segments(speakers: Speakers) -> list[dict[str, Any]]:
    return [
        {
            "speaker": segment.speaker,
            "start": round(segment.start_s, 3),
            "end": round(segment.end_s, 3),
            "confidence": round(segment.confidence, 3),
            "utterance_id": speakers.utterance_id,
            "is_final": speakers.is_final,
        }
        for segment in speakers.segments
    ]


def samples_of(data: Any) -> bytes:
    """A JSON array of numbers as float32, little-endian. Raises ``Refused``."""
    if not isinstance(data, list):
        raise Refused("INVALID_MESSAGE", "audio_chunk needs an array of samples in 'data'.")
    if len(data) > MAX_CHUNK_SAMPLES:
        raise Refused("MESSAGE_TOO_LARGE", f"A chunk may have {MAX_CHUNK_SAMPLES} samples; send chunks of 20 to 250 ms.")
    if not all(type(sample) is float or type(sample) is int for sample in data):
        raise Refused("INVALID_MESSAGE", "'data' must hold numbers only, samples between -1 and 1.")
    if not all(-LOUDEST <= sample <= LOUDEST for sample in data):  # a NaN compares false
        raise Refused("INVALID_AUDIO_FORMAT", "'data' must hold samples between -1 and 1; 16-bit samples are divided by 32768 for that.")
    return np.asarray(data, dtype="<f4").tobytes()


def checked(samples: bytes) -> bytes:
    """float32, little-endian, as they came. Raises ``Refused`` where they are no samples."""
    if len(samples) > 4 * MAX_CHUNK_SAMPLES:
        raise Refused("MESSAGE_TOO_LARGE", f"A chunk may have {MAX_CHUNK_SAMPLES} samples; send chunks of 20 to 250 ms.")
    if len(samples) % 4:
        raise Refused("INVALID_AUDIO_FORMAT", "A binary chunk must hold whole float32 samples, little-endian: four bytes each.")
    values = np.frombuffer(samples, dtype="<f4")
    if not (np.abs(values) <= LOUDEST).all():  # a NaN compares false
        raise Refused("INVALID_AUDIO_FORMAT", "Samples must be numbers between -1 and 1; 16-bit samples are divided by 32768 for that.")
    return samples


def asked_in(query: Mapping[str, str], settings: GatewaySettings) -> SessionConfig:
    """What the query asks for, of what makes sense here. Raises ``Refused``."""
    for name in query:
        if name not in PARAMETERS:
            raise Refused("INVALID_PARAMETER", f"There is no parameter '{name[:40]}' here; there are {', '.join(PARAMETERS)}.")
    return parameters.apply(Asked(SessionConfig(stages=STAGES)), query, settings).config


def router(hub: SessionHub, gate: Gate) -> APIRouter:
    routes = APIRouter()

    @routes.websocket("/ws/stream")
    async def stream(socket: WebSocket) -> None:
        await socket.accept(offered_subprotocol(socket))
        query = dict(socket.query_params)
        query.pop(QUERY_PARAMETER, None)
        try:
            caller = await gate.admit(socket)
            config = asked_in(query, hub.settings)
            session = await hub.open(EDGE, caller, traceparent=socket.headers.get("traceparent", ""))
        except Refused as refused:
            await refuse_socket(socket, EDGE, refused)
            return
        await StreamConnection(socket, hub, session, config).run()

    return routes
