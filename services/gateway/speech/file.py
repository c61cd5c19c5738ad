"""One whole text as one file of audio, streamed while it is made: what every POST for speech does."""

from __future__ import annotations

from collections.abc import AsyncIterator

from services.gateway.access.caller import Caller
from services.gateway.audio.encode import Sound, StreamEncoder
from services.gateway.sessions.hub import SessionHub
from services.gateway.sessions.speech_request import SpeechRequest
from voxrelay.errors import Refused
from voxrelay.events import SynthesisProduced, SynthesisRequested


class SpeechFile:
    """``pieces`` gives the file; ``audio_seconds`` counts what it gave."""

    def __init__(self, speech: SpeechRequest, sound: Sound, first: SynthesisProduced, rest: AsyncIterator[SynthesisProduced]) -> None:
        self.session_id = speech.id
        self.media_type = sound.typed(sound.rate_near(first.sample_rate_hz))
        self.audio_seconds = 0.0
        self._speech, self._first, self._rest = speech, first, rest
        self._encoder = StreamEncoder(sound, first.sample_rate_hz)

    async def pieces(self) -> AsyncIterator[bytes]:
        """Once. A client that vanishes ends it."""
        try:
            yield self._encoded(self._first)
            if not self._first.is_last:
                async for piece in self._rest:
                    yield self._encoded(piece)
            yield self._encoder.finish()
        finally:
            self._speech.leave()

    def _encoded(self, piece: SynthesisProduced) -> bytes:
        self.audio_seconds += len(piece.pcm_s16le) / 2 / piece.sample_rate_hz
        return self._encoder.feed(piece.pcm_s16le)


async def speech_file(hub: SessionHub, caller: Caller, request: SynthesisRequested, sound: Sound) -> SpeechFile:
    """Returns with the first audio: what synth refuses is raised as ``Refused`` before a status line goes out. TEXT_TOO_LONG as well."""
    limit = hub.settings.max_text_characters
    if len(request.text) > limit:
        raise Refused("TEXT_TOO_LONG", f"At most {limit} characters at once; send it in parts.")
    speech = await hub.speak(caller, request)
    pieces = speech.pieces()
    return SpeechFile(speech, sound, await anext(pieces), pieces)
