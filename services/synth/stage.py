"""synthesis.requested in, synthesis.produced out: the audio in pieces while it is made, or one refusal."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from services.synth.engine import Sentence, Synthesizer
from services.synth.speech import Cutter, plan
from voxrelay.errors import Refused
from voxrelay.events import Event, SynthesisRefused, SynthesisRequested
from voxrelay.models.slot import EngineSlot, Loaded, answers
from voxrelay.telemetry import ENGINE_SECONDS
from voxrelay.topology import SYNTH


@dataclass(slots=True)
class _Request:
    session_id: str
    loaded: Loaded[Synthesizer]
    sentences: deque[Sentence]
    cutter: Cutter


class SynthStage:
    """Several requests advance sentence by sentence, in turn: a short one is not kept waiting by a long one.

    Each request is one event, so nothing is remembered between batches. One model speaks it from its first word to its last.
    """

    def __init__(self, slot: EngineSlot[Synthesizer], *, piece_ms: int = 200, max_characters: int = 100_000) -> None:
        self._slot, self._piece_ms, self._max_characters = slot, piece_ms, max_characters
        self._seconds = ENGINE_SECONDS.labels(SYNTH.name)

    def process(self, batch: Sequence[Event]) -> Iterable[Event]:
        """Yields each piece as soon as it is there."""
        waiting: deque[_Request] = deque()
        held: list[Loaded[Synthesizer]] = []
        try:
            for event in batch:
                if isinstance(event.payload, SynthesisRequested):
                    held.append(self._slot.take(event.session_id))
                    try:
                        waiting.append(self._request(event.session_id, event.payload, held[-1]))
                    except Refused as refused:
                        yield Event(event.session_id, SynthesisRefused(refused.code, refused.message))
            while waiting:
                yield from self._turn(waiting)
        finally:
            for loaded in held:
                self._slot.leave(loaded)

    def _request(self, session_id: str, asked: SynthesisRequested, loaded: Loaded[Synthesizer]) -> _Request:
        sentences = plan(asked, loaded.engine, self._max_characters)
        cutter = Cutter(loaded.identity, loaded.engine.sample_rate_hz, asked.sample_rate_hz, self._piece_ms)
        return _Request(session_id, loaded, deque(sentences), cutter)

    def _turn(self, waiting: deque[_Request]) -> Iterator[Event]:
        """A sentence of each request that has its turn; those with more to say go to the end of the queue."""
        turn = [waiting.popleft() for _ in range(min(len(waiting), waiting[0].loaded.engine.at_once))]
        speaking = [request for request in turn if request.sentences]
        with self._seconds.time():
            sentences = [(request.loaded, request.sentences.popleft()) for request in speaking]
            spoken = answers(sentences, lambda synthesizer, several: synthesizer.speak(several))
        for request, sentence in zip(speaking, spoken, strict=True):
            for piece in request.cutter.cut(sentence):
                yield Event(request.session_id, piece)
        for request in turn:
            if request.sentences:
                waiting.append(request)
            else:
                for piece in request.cutter.last():
                    yield Event(request.session_id, piece)

    def snapshot(self, session_id: str) -> bytes | None:  # noqa: ARG002  # nothing is kept
        return b""

    def restore(self, session_id: str, state: bytes) -> None:
        """There is nothing to restore."""

    def forget(self, session_id: str) -> None:
        """There is nothing to forget."""
