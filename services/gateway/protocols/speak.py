"""The native protocol of speech: POST /v1/speak, WebSocket /ws/v1/speak, GET /api/v2/voices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fastapi import APIRouter, Request, WebSocket
from fastapi.responses import StreamingResponse

from services.gateway import errors
from services.gateway.access.credentials import QUERY_PARAMETER, offered_subprotocol
from services.gateway.access.gate import Gate
from services.gateway.audio.encode import ENCODINGS, FORMATS, Sound
from services.gateway.models import ErrorAnswer, SpeakRequest, VoiceAnswer, VoicesAnswer
from services.gateway.requests.refusals import refuse_socket
from services.gateway.sessions.hub import SessionHub
from services.gateway.speech.file import speech_file
from services.gateway.speech.over_socket import Message, converse
from services.gateway.speech.speaking import Audio, Cleared, Ended, Flushed, Speaking
from services.gateway.speech.voices import VOICES, known
from voxrelay.errors import Refused
from voxrelay.events import SynthesisRequested

EDGE = "native"
MIN_RATE_HZ, MAX_RATE_HZ = 8_000, 48_000
LEAST_SPEED, MOST_SPEED = 0.25, 4.0
MOST_NAME_CHARACTERS = 500  # of a voice, or several
NAMES = ("voice", "language", "speed", "format", "sample_rate", "word_times")
MESSAGES = ("configure", "text", "flush", "clear", "keep_alive", "close")


@dataclass(frozen=True, slots=True)
class Asked:
    """How a connection wants its speech; the text of ``request`` does not matter."""

    request: SynthesisRequested = field(default_factory=lambda: SynthesisRequested(""))
    format: str = "pcm"
    has_word_times: bool = False

    @property
    def sound(self) -> Sound:
        return FORMATS[self.format]


def apply(asked: Asked, values: Mapping[str, Any]) -> Asked:
    """``asked`` with these changes; values may be JSON values or the strings of a query. Raises ``Refused`` naming the field and what it may be."""
    changes: dict[str, Any] = {}
    for name, value in values.items():
        if name in ("voice", "language"):
            if not isinstance(value, str) or len(value) > MOST_NAME_CHARACTERS:
                raise _refuse(name, f"a text of at most {MOST_NAME_CHARACTERS} characters")
            changes[name] = value or ("en" if name == "language" else "")
        elif name == "speed":
            changes[name] = _number(name, value, LEAST_SPEED, MOST_SPEED)
        elif name == "format":
            if value not in FORMATS:
                raise Refused("UNSUPPORTED_ENCODING", f"'format' must be one of {', '.join(FORMATS)}.")
            asked = replace(asked, format=value)
        elif name == "sample_rate":
            number = _number(name, value, 0, MAX_RATE_HZ)
            if number != int(number):
                raise _refuse(name, f"a whole number of Hz from {MIN_RATE_HZ} to {MAX_RATE_HZ}, or 0 for the voice's own")
            changes["sample_rate_hz"] = int(number)
        elif name == "word_times":
            asked = replace(asked, has_word_times=_flag(name, value))
        else:
            raise Refused("INVALID_PARAMETER", f"There is no parameter '{str(name)[:40]}'; there are {', '.join(NAMES)}.")
    asked = replace(asked, request=replace(asked.request, **changes))
    check_rate(asked.sound, asked.request.sample_rate_hz)
    return asked


def check_rate(sound: Sound, rate_hz: int) -> None:
    """Raises ``Refused`` for a rate that the format cannot have. Opus files have 48 kHz whatever the voice had."""
    if rate_hz and not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise Refused("UNSUPPORTED_SAMPLE_RATE", f"Speech can be had at {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz, or 0 for the voice's own rate.")
    if rate_hz and sound.encoding != "opus" and sound.rate_near(rate_hz) != rate_hz:
        rates = ", ".join(str(known) for known in ENCODINGS[sound.encoding].rates_hz)
        raise Refused("UNSUPPORTED_SAMPLE_RATE", f"{sound.encoding} can have {rates} Hz, or 0 for the voice's own rate.")


def _refuse(name: str, expected: str) -> Refused:
    return Refused("INVALID_PARAMETER", f"'{name}' must be {expected}.")


def _number(name: str, value: Any, least: float, most: float) -> float:
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except (ValueError, OverflowError):
        number = None
    if number is None or not least <= number <= most:
        raise _refuse(name, f"a number from {least:g} to {most:g}")
    return number


def _flag(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "1", "false", "0"):
        return value.lower() in ("true", "1")
    raise _refuse(name, "true or false")


class NativeDialect:
    edge = EDGE

    def __init__(self, session_id: str, speaking: Speaking, asked: Asked) -> None:
        self._session_id, self._speaking, self._asked = session_id, speaking, asked

    def opening(self) -> Message:
        return {"type": "session", "session_id": self._session_id}

    def take(self, message: Message) -> Sequence[Message]:
        match message.get("type"):
            case "configure":
                self._configure(message.get("config"))
            case "text":
                text = message.get("text")
                if not isinstance(text, str):
                    raise Refused("INVALID_MESSAGE", "text needs a string 'text'.")
                self._speaking.say(text)
            case "flush":
                self._speaking.flush()
            case "clear":
                self._speaking.clear()
            case "close":
                self._speaking.close()
            case "keep_alive":
                pass
            case _:
                raise Refused("INVALID_MESSAGE", f"'type' must be one of {', '.join(MESSAGES)}.")
        return ()

    def _configure(self, config: Any) -> None:
        if not isinstance(config, dict):
            raise Refused("INVALID_MESSAGE", "configure needs an object 'config'.")
        before, self._asked = self._asked, apply(self._asked, config)
        fixed = (before.format, before.request.sample_rate_hz)
        if self._speaking.has_begun and fixed != (self._asked.format, self._asked.request.sample_rate_hz):
            raise Refused("INVALID_PARAMETER", "format and sample_rate can only be set before the first text.")
        self._speaking.sound = self._asked.sound
        self._speaking.change(self._asked.request)

    def tell(self, update: Audio | Flushed | Cleared | Ended) -> Sequence[Message]:
        match update:
            case Audio(_, words) if words and self._asked.has_word_times:
                return [{"type": "words", "words": [{"word": word.text, "start": round(word.start_s, 3)} for word in words]}]
            case Flushed(ordinal):
                return [{"type": "flushed", "ordinal": ordinal}]
            case Cleared(ordinal):
                return [{"type": "cleared", "ordinal": ordinal}]
            case Ended(audio_seconds, characters):
                return [{"type": "closed", "audio_seconds": round(audio_seconds, 3), "characters": characters}]
        return ()

    def refusal(self, refused: Refused) -> tuple[Message, int, str]:
        return {"type": "error"} | errors.body(refused.code, refused.message, refused.retry_after_s), errors.CODES[refused.code].websocket, ""


def router(hub: SessionHub, gate: Gate) -> APIRouter:
    routes = APIRouter()
    failures: dict[int | str, dict[str, Any]] = {status: {"model": ErrorAnswer} for status in (400, 401, 413, 503, 504)}
    media_types = dict.fromkeys(sound.media_type for sound in FORMATS.values())
    content: Any = {media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in media_types}

    @routes.post(
        "/v1/speak", tags=["speech"], response_class=StreamingResponse, responses=failures | {200: {"content": content, "description": "The audio."}}
    )
    async def speak(body: SpeakRequest, request: Request) -> StreamingResponse:
        """Speech from text, streamed while it is made."""
        caller = await gate.admit(request)
        sound = FORMATS[body.format]
        check_rate(sound, body.sample_rate)
        asked = SynthesisRequested(body.text, body.voice, body.language, body.speed, body.sample_rate)
        file = await speech_file(hub, caller, asked, sound)
        return StreamingResponse(file.pieces(), media_type=file.media_type, headers={"x-session-id": file.session_id})

    @routes.get("/api/v2/voices", tags=["speech"])
    async def voices(request: Request) -> VoicesAnswer:
        """The voices, and the names of other services that select them; last those of the engine that no other service's name selects."""
        await gate.admit(request)
        listed = [VoiceAnswer(name=v.name, language=v.language, gender=v.gender, openai=list(v.openai), deepgram=v.deepgram_models) for v in VOICES]
        others = [VoiceAnswer(name=name) for name in hub.settings.voices if known(name) is None]
        return VoicesAnswer(voices=listed + others)

    @routes.websocket("/ws/v1/speak")
    async def speak_live(socket: WebSocket) -> None:
        await socket.accept(offered_subprotocol(socket))
        query = dict(socket.query_params)
        query.pop(QUERY_PARAMETER, None)
        try:
            caller = await gate.admit(socket)
            asked = apply(Asked(), query)
            session = await hub.open(EDGE, caller, traceparent=socket.headers.get("traceparent", ""))
        except Refused as refused:
            await refuse_socket(socket, EDGE, refused)
            return
        speaking = Speaking(hub, session, asked.request, asked.sound)
        await converse(socket, hub, session, speaking, NativeDialect(session.id, speaking, asked))

    return routes
