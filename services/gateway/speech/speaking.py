"""Text that comes in pieces becomes audio while it is made: the one path of every WebSocket that speaks.

A sentence is one request to synth as soon as it is known to be whole; the next is requested ahead while the one before it goes out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from itertools import islice

from services.gateway.audio.encode import Sound, StreamEncoder
from services.gateway.sessions.hub import SessionHub
from services.gateway.sessions.session import LiveSession
from services.gateway.sessions.speech_request import SpeechRequest
from voxrelay.errors import Refused
from voxrelay.events import SynthesisProduced, SynthesisRequested, WordSpoken
from voxrelay.script import ScriptReader, Turn

AHEAD = 1  # sentences that are requested while one goes out
MOST_MARKS = 1000  # flushes and clears that wait for a client to read
MOST_SPEAKERS = 50  # more begin again with the first voice


@dataclass(frozen=True, slots=True)
class Audio:
    """Bytes of the format asked for, and the words that begin in them, at seconds of all audio that was sent."""

    data: bytes
    words: tuple[WordSpoken, ...] = ()


@dataclass(frozen=True, slots=True)
class Flushed:
    """What was said before this flush has been sent. Flushes and clears are counted together, from 0."""

    ordinal: int


@dataclass(frozen=True, slots=True)
class Cleared:
    """Nothing of what was said before this clear comes any more."""

    ordinal: int


@dataclass(frozen=True, slots=True)
class Ended:
    """All that was said has been sent."""

    audio_seconds: float
    characters: int


Update = Audio | Flushed | Cleared | Ended


class _Sentence:
    def __init__(self, request: SynthesisRequested, characters: int) -> None:
        self.request, self.characters = request, characters
        self.asking: asyncio.Task[SpeechRequest] | None = None
        self.is_dropped = False

    def drop(self) -> None:
        self.is_dropped = True
        if self.asking is not None:
            self.asking.add_done_callback(_leave)


def _leave(asking: asyncio.Task[SpeechRequest]) -> None:
    if not asking.cancelled() and asking.exception() is None:
        asking.result().leave()


class Speaking:
    """What one connection says. Used on the event loop: one task calls ``say``, ``flush``, ``clear`` and ``close``, another reads ``updates``.

    Between two flushes or clears there is one whole file of the format; samples without a container just go on.
    """

    def __init__(self, hub: SessionHub, session: LiveSession, request: SynthesisRequested, sound: Sound) -> None:
        """``request`` says how: its text does not matter."""
        self._hub, self._session = hub, session
        self.request, self.sound = request, sound
        self._script = ScriptReader()
        self._line: deque[_Sentence | Flushed | Cleared | None] = deque()  # in the order of going out; None is the end
        self._news = asyncio.Event()
        self._encoder: StreamEncoder | None = None
        self._ordinal = 0
        self._waiting_marks = 0
        self._waiting_characters = 0
        self._sentence_start_s = 0.0
        self.characters = 0
        self.audio_seconds = 0.0
        self.is_closing = False

    @property
    def has_begun(self) -> bool:
        """Some text came: what the audio is like cannot be changed any more."""
        return self.characters > 0

    @property
    def is_busy(self) -> bool:
        return bool(self._line)

    def say(self, text: str) -> None:
        """More of the text, cut anywhere. Raises ``Refused`` TEXT_TOO_LONG while more waits than one request may have."""
        limit = self._hub.settings.max_text_characters
        if self._waiting_characters + len(text) > limit:
            raise Refused("TEXT_TOO_LONG", f"At most {limit} characters may wait to be spoken; send more when some of it has been.")
        self.characters += len(text)
        self._add(self._script.add(text))

    def flush(self) -> None:
        """What came so far is spoken now; ``Flushed`` follows its audio."""
        self._add(self._script.flush())
        self._mark(Flushed(self._ordinal))

    def clear(self) -> None:
        """What has not been sent is dropped; ``Cleared`` follows."""
        self._script.clear()
        self._drop_sentences()
        self._mark(Cleared(self._ordinal))

    def change(self, request: SynthesisRequested) -> None:
        """Another voice, language or speed for the text after this; an unfinished sentence ends here."""
        self._add(self._script.flush())
        self.request = request

    def close(self) -> None:
        """No more text comes. What came is still spoken, and ``Ended`` is the last update."""
        self._add(self._script.flush())
        self.is_closing = True
        self._line.append(None)
        self._news.set()

    def leave(self) -> None:
        """Nobody reads the updates any more."""
        self._drop_sentences()

    async def updates(self) -> AsyncIterator[Update]:
        """In order; ends after ``Ended``. Raises ``Refused`` when synth refuses a sentence or does not answer in time."""
        while True:
            while not self._line:
                self._news.clear()
                await self._news.wait()
            first = self._line[0]
            if isinstance(first, _Sentence):
                async for audio in self._spoken(first):
                    yield audio
                continue
            self._line.popleft()
            self._waiting_marks -= first is not None
            if self._encoder is not None:
                rest, self._encoder = self._encoder.finish(), None
                yield Audio(rest)
            if first is None:
                yield Ended(self.audio_seconds, self.characters)
                return
            yield first

    def _add(self, said: Iterable[Turn]) -> None:
        for turn in said:
            self._line.append(_Sentence(replace(self.request, text=_alone(turn)), len(turn.text)))
            self._waiting_characters += len(turn.text)
        self._ask_ahead()
        self._news.set()

    def _mark(self, mark: Flushed | Cleared) -> None:
        if self._waiting_marks >= MOST_MARKS:
            raise Refused("CLIENT_TOO_SLOW", "Messages come faster than the audio is read.")
        self._ordinal += 1
        self._waiting_marks += 1
        self._line.append(mark)
        self._news.set()

    def _ask_ahead(self) -> None:
        for sentence in islice((entry for entry in self._line if isinstance(entry, _Sentence)), 1 + AHEAD):
            if sentence.asking is None:
                sentence.asking = asyncio.create_task(self._hub.speak(self._session.caller, sentence.request, within=self._session))

    def _drop_sentences(self) -> None:
        for entry in self._line:
            if isinstance(entry, _Sentence):
                entry.drop()
        self._line = deque(entry for entry in self._line if not isinstance(entry, _Sentence))
        self._waiting_characters = 0

    async def _spoken(self, sentence: _Sentence) -> AsyncIterator[Audio]:
        self._ask_ahead()
        if sentence.asking is None:
            raise RuntimeError("the first sentence has been requested")
        speech = await sentence.asking
        async for piece in speech.pieces():
            if sentence.is_dropped:
                return
            yield self._encoded(piece)
        if not sentence.is_dropped:
            self._line.popleft()
            self._waiting_characters -= sentence.characters

    def _encoded(self, piece: SynthesisProduced) -> Audio:
        if piece.index == 0:
            self._sentence_start_s = self.audio_seconds
        if self._encoder is None:
            self._encoder = StreamEncoder(self.sound, piece.sample_rate_hz)
        self.audio_seconds += len(piece.pcm_s16le) / 2 / piece.sample_rate_hz
        words = tuple(WordSpoken(word.text, self._sentence_start_s + word.start_s) for word in piece.words)
        return Audio(self._encoder.feed(piece.pcm_s16le), words)


def _alone(turn: Turn) -> str:
    """One sentence as a script of its own, in which its speaker has the voice that the whole script gives: synth counts speaker lines."""
    speaker = turn.speaker % MOST_SPEAKERS
    return "".join(f"Speaker {before}:\n" for before in range(speaker)) + f"Speaker {speaker}: {turn.text}" if speaker else turn.text
