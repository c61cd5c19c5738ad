"""Where utterances begin and end, decided once for the whole platform, from the speech probabilities of frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from services.denoise.engine import FRAME_SAMPLES
from voxrelay.audio import SAMPLE_RATE_HZ
from voxrelay.events import UtteranceEnded, UtteranceEndReason, UtteranceStarted

LOOK_BACK_FRAMES = 16  # a cut for length looks back 0.5 s: a start may be announced 1 s late at most, and chunks may add 0.4 s
LOOK_BACK_SAMPLES = LOOK_BACK_FRAMES * FRAME_SAMPLES
NO_SPEECH = -1

Boundary = UtteranceStarted | UtteranceEnded


@dataclass(frozen=True, slots=True)
class BoundaryRules:
    """Probabilities in [0, 1], lengths in samples at 16 kHz.

    Speech sets in with a frame from ``onset`` and lasts while frames reach ``offset``. An utterance begins ``before`` ahead of the first of
    ``shortest_speech`` of unbroken speech and ends ``after`` behind the last, once ``pause`` has passed without any. From ``soft_length`` on the
    pause asked for shrinks, down to one frame at ``longest``, so that long speech is cut between words; where even that
    does not come, it is cut at the least speech-like moment of the last 0.5 s.
    """

    onset: float = 0.5
    offset: float = 0.35
    shortest_speech: int = 3 * FRAME_SAMPLES
    before: int = SAMPLE_RATE_HZ * 3 // 10
    after: int = SAMPLE_RATE_HZ * 2 // 10
    soft_length: int = 20 * SAMPLE_RATE_HZ
    longest: int = 30 * SAMPLE_RATE_HZ

    def pause_at(self, length: int, pause: int) -> int:
        """The pause that ends an utterance which has lasted ``length`` so far."""
        if length <= self.soft_length:
            return pause
        left = max(0, self.longest - length) / (self.longest - self.soft_length)
        return max(FRAME_SAMPLES, int(pause * left))


class Boundaries:
    """The utterances of one session. Feed frames in order; what comes out is in order, disjoint and never longer than ``rules.longest``.

    ``is_gated`` false (no voice activity wanted) makes everything utterances.
    """

    def __init__(self, rules: BoundaryRules, *, pause: int, is_gated: bool) -> None:
        self._rules = rules
        self._pause = pause
        self._is_gated = is_gated
        self._heard = 0  # end of the newest frame
        self.utterances = 0  # ended so far
        self._open_from = NO_SPEECH
        self._last_end = 0
        self._is_speech = False
        self._speech_from = NO_SPEECH  # of the unbroken speech that may become an utterance
        self._speech_until = 0  # end of the newest speech frame in the open utterance
        self._recent: deque[tuple[int, float]] = deque(maxlen=LOOK_BACK_FRAMES)  # the open utterance's newest frames: start, probability

    @property
    def open_id(self) -> str:
        return f"u{self.utterances + 1}" if self._open_from != NO_SPEECH else ""

    def configure(self, *, pause: int, is_gated: bool) -> None:
        """For the frames that follow. What was an utterance because everything was stays one up to here."""
        if is_gated and not self._is_gated:
            self._speech_until = self._heard
        self._pause, self._is_gated = pause, is_gated

    def hear(self, start: int, end: int, probability: float, snr_db: float) -> Iterator[Boundary]:
        """The next frame [start, end); all before it is decided."""
        self._heard = end
        self._is_speech = probability >= (self._rules.offset if self._is_speech else self._rules.onset)
        if self._open_from == NO_SPEECH:
            yield from self._wait(start, end)
        if self._open_from != NO_SPEECH:
            self._recent.append((start, probability))
            if self._is_speech:
                self._speech_until = end
            yield from self._end_if_due(end, snr_db)

    def finish(self, reason: UtteranceEndReason, position: int, snr_db: float) -> Iterator[Boundary]:
        """Everything up to ``position`` is final now."""
        if self._open_from == NO_SPEECH:
            return
        end = position
        if self._is_gated and not self._is_speech:
            end = min(position, self._speech_until + self._rules.after)
        yield self._end(max(end, self._open_from), reason, snr_db)

    def _wait(self, start: int, end: int) -> Iterator[Boundary]:
        if not self._is_gated:
            yield self._begin(start, start)
        elif not self._is_speech:
            self._speech_from = NO_SPEECH
        else:
            if self._speech_from == NO_SPEECH:
                self._speech_from = start
            if end - self._speech_from >= self._rules.shortest_speech:
                yield self._begin(self._speech_from - self._rules.before, start)

    def _begin(self, wanted: int, now: int) -> UtteranceStarted:
        self._open_from = max(self._last_end, wanted, now - LOOK_BACK_SAMPLES, 0)
        self._speech_until = now
        self._recent.clear()
        return UtteranceStarted(self.open_id, self._open_from)

    def _end_if_due(self, now: int, snr_db: float) -> Iterator[Boundary]:
        length, silence = now - self._open_from, now - self._speech_until
        if silence >= self._rules.pause_at(length, self._pause):
            is_cut = not self._is_gated or silence < self._pause
            if self._is_gated:
                yield self._end(min(now, self._speech_until + self._rules.after), "length" if is_cut else "pause", snr_db)
            elif length > self._rules.soft_length:
                yield from self._split(max(now - silence // 2, now - LOOK_BACK_SAMPLES), now, snr_db)
        elif length + FRAME_SAMPLES > self._rules.longest:
            start, _ = min(self._recent, key=lambda frame: (frame[1], -frame[0]))
            yield from self._split(max(start + FRAME_SAMPLES // 2, self._open_from + 1), now, snr_db)

    def _split(self, at: int, now: int, snr_db: float) -> Iterator[Boundary]:
        """Ends the utterance and goes on with the next at the same sample."""
        heard = self._speech_until
        yield self._end(min(at, now), "length", snr_db)
        yield self._begin(self._last_end, now)
        self._open_from = self._last_end
        self._speech_until = max(heard, self._last_end)

    def _end(self, end: int, reason: UtteranceEndReason, snr_db: float) -> UtteranceEnded:
        ended = UtteranceEnded(self.open_id, self._open_from, end, reason, snr_db)
        self.utterances += 1
        self._open_from, self._last_end, self._speech_from = NO_SPEECH, end, NO_SPEECH
        self._recent.clear()
        return ended

    def dump(self) -> dict[str, Any]:
        return {
            "pause": self._pause,
            "is_gated": self._is_gated,
            "heard": self._heard,
            "utterances": self.utterances,
            "open_from": self._open_from,
            "last_end": self._last_end,
            "is_speech": self._is_speech,
            "speech_from": self._speech_from,
            "speech_until": self._speech_until,
            "recent": list(self._recent),
        }

    @classmethod
    def load(cls, rules: BoundaryRules, saved: dict[str, Any]) -> Boundaries:
        restored = cls(rules, pause=saved["pause"], is_gated=saved["is_gated"])
        restored._heard, restored.utterances = saved["heard"], saved["utterances"]
        restored._open_from, restored._last_end = saved["open_from"], saved["last_end"]
        restored._is_speech, restored._speech_from, restored._speech_until = saved["is_speech"], saved["speech_from"], saved["speech_until"]
        restored._recent.extend((start, probability) for start, probability in saved["recent"])
        return restored
