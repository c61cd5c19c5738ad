"""From a session's updates and its client's commits to the events of OpenAI's realtime transcription. Pure: one instance a session.

An item is one utterance where the server detects turns, and everything up to a commit where the client does. Its deltas are only ever
appended to: together they are its transcript.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any

from services.gateway.protocols.openai.answers import LEAST_CONFIDENCE, Letters, diarized_segments, logprobs, usage
from services.gateway.protocols.openai.stable import StableText
from services.gateway.sessions.updates import Final, Finalized, Interim, NothingSaid, SpeechEnded, SpeechStarted, Update
from voxrelay.join import JoinedUtterance, JoinedWord

TRANSCRIPTION = "conversation.item.input_audio_transcription"
BUFFER = "input_audio_buffer"

Event = dict[str, Any]


@dataclass(slots=True)
class _Item:
    """``ordinal`` is that of the commit or clear behind it; ``parts`` are its utterances, in order, until each is over."""

    item_id: str
    ordinal: int
    is_detected: bool
    start_s: float = 0.0
    end_s: float = 0.0
    is_committed: bool = False
    previous_item_id: str | None = None
    parts: dict[str, StableText] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)  # the deltas
    words: list[JoinedWord] = field(default_factory=list)  # of the transcript, with confidences
    languages: dict[str, None] = field(default_factory=dict)
    segments: int = 0

    @property
    def transcript(self) -> str:
        return "".join(self.told)


@dataclass(slots=True)
class _Mark:
    """A commit or a clear on its way through the services."""

    start_s: float
    end_s: float
    is_clear: bool
    is_detected: bool  # a commit while the server detects turns: it only cuts
    has_cut: bool = False


class Turns:
    """``update`` takes everything a session says; ``commit``, ``clear`` and ``time_out`` what its client does. All give events, in order."""

    def __init__(self, new_id: Callable[[], str]) -> None:
        self._new_id = new_id
        self.is_detecting = True  # of the utterances that begin from here on
        self.agreeing = 0  # hypotheses running in which a word must stand before it is told
        self.has_logprobs = self.has_segments = False
        self._of: dict[str, _Item | None] = {}  # by utterance; None: what was cleared away
        self._by_ordinal: dict[int, _Item] = {}  # of clients that commit
        self._marks: dict[int, _Mark] = {}
        self._last_item_id: str | None = None
        self._letters = Letters()
        self._speaking: set[str] = set()
        self.quiet_since_s = 0.0

    @property
    def is_speaking(self) -> bool:
        return bool(self._speaking)

    def update(self, update: Update) -> Iterator[Event]:
        match update:
            case SpeechStarted():
                yield from self._started(update)
            case Interim(result):
                item = self._of.get(result.utterance_id)
                if item is not None and next(iter(item.parts)) == result.utterance_id:
                    yield from self._tell(item, item.parts[result.utterance_id].hear(result.text.split()))
            case SpeechEnded(utterance_id, at_s, reason):
                yield from self._ended(utterance_id, at_s, is_cut=reason == "finalize")
            case Final(utterance):
                yield from self._ended(utterance.utterance_id, utterance.end_s)
                yield from self._said(utterance)
            case NothingSaid(utterance_id, end_s):
                yield from self._ended(utterance_id, end_s)
                item = self._of.get(utterance_id)
                if item is not None:  # words that were told all the same are the least sure
                    item.words.extend(JoinedWord(text, item.start_s, end_s, LEAST_CONFIDENCE, "") for text in item.parts[utterance_id].told)
                yield from self._over(utterance_id)
            case Finalized(ordinal):
                yield from self._finalized(ordinal)

    def commit(self, ordinal: int, start_s: float, end_s: float) -> Iterator[Event]:
        """The client's: the audio between these times is one item. Where turns are detected, it ends the one that goes on."""
        self._marks[ordinal] = _Mark(start_s, end_s, is_clear=False, is_detected=self.is_detecting)
        if not self.is_detecting:
            yield from self._commit(self._item_up_to(ordinal), start_s, end_s)

    def clear(self, ordinal: int) -> Iterator[Event]:
        """What was not committed yet will not be told."""
        self._marks[ordinal] = _Mark(0.0, 0.0, is_clear=True, is_detected=self.is_detecting)
        for utterance_id, item in self._of.items():
            if item is not None and item.ordinal == ordinal and not item.is_committed:
                self._of[utterance_id] = None
                self._speaking.discard(utterance_id)
        self._by_ordinal.pop(ordinal, None)
        yield {"type": f"{BUFFER}.cleared"}

    def time_out(self, start_s: float, end_s: float) -> Iterator[Event]:
        """So long nobody spoke: the silence is an item."""
        self.quiet_since_s = end_s
        item = _Item(self._new_id(), 0, is_detected=True)
        yield {
            "type": f"{BUFFER}.timeout_triggered",
            "audio_start_ms": _milliseconds(start_s),
            "audio_end_ms": _milliseconds(end_s),
            "item_id": item.item_id,
        }
        yield from self._commit(item, start_s, end_s)
        yield from self._complete(item)

    def fail(self, error: dict[str, Any]) -> Iterator[Event]:
        """No more results come: what was committed has failed."""
        open_items = [item for item in (*self._of.values(), *self._by_ordinal.values()) if item is not None and item.is_committed]
        for item in {item.item_id: item for item in open_items}.values():
            yield {"type": f"{TRANSCRIPTION}.failed", "item_id": item.item_id, "content_index": 0, "error": error}

    # --- utterances ----------------------------------------------------------------------------------------------------------

    def _started(self, started: SpeechStarted) -> Iterator[Event]:
        ordinal = started.finalizes + 1
        mark = self._marks.get(ordinal)
        if mark is not None and mark.is_clear:
            self._of[started.utterance_id] = None
            return
        is_detected = self.is_detecting if mark is None else mark.is_detected
        item = _Item(self._new_id(), ordinal, is_detected=True, start_s=started.at_s) if is_detected else self._item_up_to(ordinal)
        self._of[started.utterance_id] = item
        item.parts[started.utterance_id] = StableText(self.agreeing)
        if is_detected:
            self._speaking.add(started.utterance_id)
            yield {"type": f"{BUFFER}.speech_started", "audio_start_ms": _milliseconds(started.at_s), "item_id": item.item_id}

    def _item_up_to(self, ordinal: int) -> _Item:
        """The one that the client's next commit ends."""
        if ordinal not in self._by_ordinal:
            self._by_ordinal[ordinal] = _Item(self._new_id(), ordinal, is_detected=False)
        return self._by_ordinal[ordinal]

    def _ended(self, utterance_id: str, at_s: float, *, is_cut: bool = False) -> Iterator[Event]:
        item = self._of.get(utterance_id)
        if item is None or not item.is_detected or item.is_committed:
            return
        self._speaking.discard(utterance_id)
        self.quiet_since_s = at_s
        mark = self._marks.get(item.ordinal)
        if mark is not None:
            mark.has_cut = mark.has_cut or is_cut
        yield {"type": f"{BUFFER}.speech_stopped", "audio_end_ms": _milliseconds(at_s), "item_id": item.item_id}
        yield from self._commit(item, item.start_s, at_s)

    def _said(self, utterance: JoinedUtterance) -> Iterator[Event]:
        item = self._of.get(utterance.utterance_id)
        if item is not None:
            stable = item.parts[utterance.utterance_id]
            yield from self._tell(item, stable.end(utterance.text.split()))
            item.words.extend(_weighed(stable.told, utterance))
            item.languages[utterance.language] = None
            if self.has_segments:
                for segment in diarized_segments(utterance, self._letters, item.segments + 1):
                    item.segments += 1
                    yield segment | {"type": f"{TRANSCRIPTION}.segment", "item_id": item.item_id, "content_index": 0}
        yield from self._over(utterance.utterance_id)

    def _over(self, utterance_id: str) -> Iterator[Event]:
        item = self._of.pop(utterance_id, None)
        if item is not None:
            del item.parts[utterance_id]
            if item.is_detected:
                yield from self._complete(item)

    def _finalized(self, ordinal: int) -> Iterator[Event]:
        mark, item = self._marks.pop(ordinal, None), self._by_ordinal.pop(ordinal, None)
        if item is not None:
            yield from self._complete(item)
        elif mark is not None and mark.is_detected and not mark.is_clear and not mark.has_cut:
            item = _Item(self._new_id(), ordinal, is_detected=True)  # nobody spoke when it was committed
            yield from self._commit(item, mark.start_s, mark.end_s)
            yield from self._complete(item)

    # --- items ---------------------------------------------------------------------------------------------------------------

    def _commit(self, item: _Item, start_s: float, end_s: float) -> Iterator[Event]:
        item.start_s, item.end_s, item.is_committed = start_s, end_s, True
        item.previous_item_id, self._last_item_id = self._last_item_id, item.item_id
        yield {"type": f"{BUFFER}.committed", "item_id": item.item_id, "previous_item_id": item.previous_item_id}
        yield _item_event("added", item, None, "in_progress")

    def _tell(self, item: _Item, words: Sequence[str]) -> Iterator[Event]:
        if words:
            item.told.append((" " if item.told else "") + " ".join(words))
            yield {"type": f"{TRANSCRIPTION}.delta", "item_id": item.item_id, "content_index": 0, "delta": item.told[-1]}

    def _complete(self, item: _Item) -> Iterator[Event]:
        completed = {
            "type": f"{TRANSCRIPTION}.completed",
            "item_id": item.item_id,
            "content_index": 0,
            "transcript": item.transcript,
            "usage": usage(item.end_s - item.start_s),
            "languages": [{"code": code} for code in item.languages if code],
        }
        yield completed | ({"logprobs": logprobs(item.words)} if self.has_logprobs else {})
        yield _item_event("done", item, item.transcript, "completed")


def _item_event(kind: str, item: _Item, transcript: str | None, status: str) -> Event:
    content = [{"type": "input_audio", "transcript": transcript}]
    message = {"id": item.item_id, "object": "realtime.item", "type": "message", "role": "user", "status": status, "content": content}
    return {"type": f"conversation.item.{kind}", "previous_item_id": item.previous_item_id, "item": message}


def _weighed(told: Sequence[str], utterance: JoinedUtterance) -> list[JoinedWord]:
    """The told words with the final's confidences. One that the final took back has the least there is."""
    heard = list(utterance.words) or [
        JoinedWord(text, utterance.start_s, utterance.end_s, utterance.confidence, utterance.speaker) for text in utterance.text.split()
    ]
    words = [JoinedWord(text, utterance.start_s, utterance.end_s, LEAST_CONFIDENCE, utterance.speaker) for text in told]
    for block in SequenceMatcher(None, told, [word.text for word in heard], autojunk=False).get_matching_blocks():
        words[block.a : block.a + block.size] = heard[block.b : block.b + block.size]
    return words


def _milliseconds(at_s: float) -> int:
    return round(at_s * 1000)
