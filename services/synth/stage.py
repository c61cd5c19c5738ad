"""synthesis.requested in, synthesis.produced out: the audio in pieces while it is made."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from services.synth.casting import Line, lines
from services.synth.engine import Synthesizer
from services.synth.packing import Packer
from voxrelay.errors import Poison, Refused
from voxrelay.events import Event, SynthesisProduced, SynthesisRequested
from voxrelay.telemetry import ENGINE_SECONDS
from voxrelay.topology import SYNTH


class SynthStage:
    """A request is one event, so nothing is remembered between batches: every snapshot is empty.

    The requests of a batch advance sentence by sentence in turn: a short one does not wait for a long one.
    """

    def __init__(self, synthesizer: Synthesizer, *, piece_ms: int = 200, max_characters: int = 100_000) -> None:
        self._synthesizer, self._piece_ms, self._max_characters = synthesizer, piece_ms, max_characters
        self._voices = synthesizer.voices()
        self._seconds = ENGINE_SECONDS.labels(SYNTH.name)

    def process(self, batch: Sequence[Event]) -> Iterable[Event]:
        """Yields each piece as soon as it is there. What cannot be spoken as asked is ``Poison``, before anything of the batch is spoken."""
        waiting: deque[tuple[str, Iterator[list[SynthesisProduced]]]] = deque()
        for event in batch:
            if isinstance(event.payload, SynthesisRequested):
                try:
                    waiting.append((event.session_id, self.speak(event.payload)))
                except Refused as refused:
                    raise Poison(refused.message, event.id) from refused
        while waiting:
            session_id, request = waiting.popleft()
            pieces = next(request, None)
            if pieces is not None:
                waiting.append((session_id, request))
                for piece in pieces:
                    yield Event(session_id, piece)

    def speak(self, request: SynthesisRequested) -> Iterator[list[SynthesisProduced]]:
        """The pieces as they become complete, the last of the last list with ``is_last``; a list may be empty.

        Raises ``Refused`` at once for what can never be spoken as asked, ``Unavailable`` on the way.
        """
        script = lines(request, self._voices, self._max_characters)
        rate_hz = request.sample_rate_hz or self._synthesizer.sample_rate_hz
        packer = Packer(self._synthesizer.engine, self._synthesizer.sample_rate_hz, rate_hz, self._piece_ms)
        return self._spoken(script, request.speed, packer)

    def _spoken(self, script: Sequence[Line], speed: float, packer: Packer) -> Iterator[list[SynthesisProduced]]:
        for line in script:
            packer.begin_sentence()
            speech = self._synthesizer.speak(line.text, line.voice, speed)
            while True:
                with self._seconds.time():
                    piece = next(speech, None)
                if piece is None:
                    break
                yield list(packer.push(piece))
        yield list(packer.finish())

    def snapshot(self, session_id: str) -> bytes | None:  # noqa: ARG002  # the same for all sessions: nothing is kept
        return b""

    def restore(self, session_id: str, state: bytes) -> None:
        """There is nothing to restore."""

    def forget(self, session_id: str) -> None:
        """There is nothing to forget."""
