"""When nobody has said a word for long enough: what ``UtteranceEnd`` tells. Pure: time is passed in."""

from __future__ import annotations

from dataclasses import dataclass

QUIET_LATENESS_S = 0.2  # speech is noticed so much audio after it began
SPEECH_LATENESS_S = 1.0  # its first words are known so much audio after they were said
QUIET_SETTLE_S = 0.5  # wall clock within which new speech is told of
SPEECH_SETTLE_S = 3.0  # and new words of speech that goes on: engines fall behind when there is much to do
FINAL_WITHIN_S = 5.0  # words already shown become final before their end is told, if that does not take too long


@dataclass(slots=True)
class _Utterance:
    start_s: float
    has_words: bool = False
    ended_at: float | None = None


class Gap:
    """One channel. Told what is heard, it says once a gap where the last word before it ended."""

    def __init__(self, gap_s: float) -> None:
        self._gap_s = gap_s
        self._open: dict[str, _Utterance] = {}
        self._last_word_end_s: float | None = None
        self._told_until_s = -1.0  # words that end before this belong to a gap that has been told
        self._covered_s = 0.0  # results have told all words up to here
        self._reached_at: float | None = None

    def started(self, utterance_id: str, at_s: float) -> None:
        self._open[utterance_id] = _Utterance(at_s)

    def ended(self, utterance_id: str, now: float) -> None:
        if utterance_id in self._open:
            self._open[utterance_id].ended_at = now

    def heard(self, utterance_id: str, words_s: tuple[float, float], covered_s: float, *, is_final: bool) -> float | None:
        """Words of this utterance, from the start of the first to the end of the last; the engine has listened up to ``covered_s``.

        Returns where the last word before them ended, if the gap between was long enough and has not been told.
        """
        told, (first_start_s, last_end_s) = None, words_s
        if self._last_word_end_s is not None and first_start_s >= self._last_word_end_s + self._gap_s:
            told = self._tell(self._last_word_end_s + self._gap_s)
        self._covered_s = max(self._covered_s, covered_s)
        if is_final:  # finals come in order: nothing is to be expected of those before it
            start_s = self._open[utterance_id].start_s if utterance_id in self._open else 0.0
            self._open = {key: utterance for key, utterance in self._open.items() if utterance.start_s > start_s}
        elif utterance_id in self._open:
            self._open[utterance_id].has_words = True
        if last_end_s > self._told_until_s:
            self._last_word_end_s, self._reached_at = last_end_s, None
        return told

    def due(self, audio_s: float, now: float) -> float | None:
        """Where the last word ended, once the gap behind it has passed: so much audio has come by ``now``."""
        if self._last_word_end_s is None:
            return None
        until_s = self._last_word_end_s + self._gap_s
        is_speech_open = any(utterance.start_s < until_s for utterance in self._open.values()) and self._covered_s < until_s
        if audio_s < until_s + (SPEECH_LATENESS_S if is_speech_open else QUIET_LATENESS_S):
            return None
        if self._reached_at is None:
            self._reached_at = now
        settle_s = SPEECH_SETTLE_S if is_speech_open else QUIET_SETTLE_S
        if now < self._reached_at + settle_s or any(self._will_be_final(utterance, now) for utterance in self._open.values()):
            return None
        return self._tell(until_s)

    def due_at_end(self, audio_s: float) -> float | None:
        """The same when everything has been heard."""
        if self._last_word_end_s is None or audio_s < self._last_word_end_s + self._gap_s:
            return None
        return self._tell(self._last_word_end_s + self._gap_s)

    def _tell(self, until_s: float) -> float | None:
        told, self._last_word_end_s, self._told_until_s, self._reached_at = self._last_word_end_s, None, until_s, None
        return told

    def _will_be_final(self, utterance: _Utterance, now: float) -> bool:
        return utterance.has_words and utterance.ended_at is not None and now < utterance.ended_at + FINAL_WITHIN_S
