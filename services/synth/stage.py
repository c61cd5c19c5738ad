"""synthesis.requested in, synthesis.produced out: the audio in pieces while it is made, or one refusal."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.synth.engine import Sentence, Synthesizer
from services.synth.speech import Cutter, plan
from voxrelay.errors import Refused
from voxrelay.events import Event, SynthesisRefused, SynthesisRequested
from voxrelay.telemetry import ENGINE_SECONDS
from voxrelay.topology import SYNTH


@dataclass(slots=True)
class _Request:
    session_id: str
    sentences: deque[Sentence]
    cutter: Cutter


class SynthStage:
    """Several requests advance sentence by sentence, in turn: a short one is not kept waiting by a long one.

    Each request is one event, so nothing is remembered between batches.
    """

    def __init__(self, synthesizer: Synthesizer, *, piece_ms: int = 200, max_characters: int = 100_000) -> None:
        self._synthesizer, self._piece_ms, self._max_characters = synthesizer, piece_ms, max_characters
        self._seconds = ENGINE_SECONDS.labels(SYNTH.name)

    def process(self, batch: Sequence[Event]) -> Iterable[Event]:
        """Yields each piece as soon as it is there."""
        waiting: deque[_Request] = deque()
        for event in batch:
            if not isinstance(event.payload, SynthesisRequested):
                continue
            try:
                sentences = plan(event.payload, self._synthesizer, self._max_characters)
            except Refused as refused:
                yield Event(event.session_id, SynthesisRefused(refused.code, refused.message))
                continue
            cutter = Cutter(self._synthesizer, event.payload.sample_rate_hz, self._piece_ms)
            waiting.append(_Request(event.session_id, deque(sentences), cutter))
        while waiting:
            turn = [waiting.popleft() for _ in range(min(len(waiting), self._synthesizer.at_once))]
            speaking = [request for request in turn if request.sentences]
            with self._seconds.time():
                spoken = self._synthesizer.speak([request.sentences.popleft() for request in speaking])
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
