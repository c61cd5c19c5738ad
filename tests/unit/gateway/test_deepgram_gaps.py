"""When an utterance's end is told: after the gap, once, with the time of the last word, and not while words may still come."""

from __future__ import annotations

from services.gateway.protocols.deepgram.gaps import FINAL_WITHIN_S, QUIET_SETTLE_S, SPEECH_SETTLE_S, Gap


def _settled(gap: Gap, audio_s: float, now: float) -> float | None:
    """What is due when so much audio has come by ``now`` and results have had the time they may take."""
    assert gap.due(audio_s, now) is None
    return gap.due(audio_s, now + QUIET_SETTLE_S)


def _spoken() -> Gap:
    gap = Gap(1.0)
    gap.started("u1", 0.0)
    gap.ended("u1", 2.5)
    gap.heard("u1", (0.1, 2.0), 2.2, is_final=True)
    return gap


def test_it_is_told_once_and_only_when_the_gap_has_passed() -> None:
    gap = _spoken()
    assert _settled(gap, 3.0, 10.0) is None  # speech that began at 3.0 would not have been noticed yet
    assert _settled(gap, 3.5, 20.0) == 2.0
    assert gap.due(9.0, 100.0) is None
    assert gap.due_at_end(9.0) is None


def test_nothing_is_told_where_nothing_was_said() -> None:
    gap = Gap(1.0)
    gap.started("u1", 0.0)
    assert _settled(gap, 60.0, 0.0) is None
    assert gap.due_at_end(60.0) is None


def test_speech_that_goes_on_has_time_to_bring_words() -> None:
    gap = _spoken()
    gap.started("u2", 2.6)
    assert _settled(gap, 5.0, 10.0) is None
    gap.heard("u2", (2.8, 4.5), 4.8, is_final=False)
    assert _settled(gap, 5.0, 11.0) is None  # the gap begins anew
    gap = _spoken()
    gap.started("u2", 2.6)  # a noise: no word ever comes
    assert gap.due(5.0, 10.0) is None
    assert gap.due(8.0, 10.0 + SPEECH_SETTLE_S) == 2.0


def test_an_engine_that_has_listened_further_needs_no_waiting() -> None:
    gap = Gap(1.0)
    gap.started("u1", 0.0)
    gap.heard("u1", (0.1, 2.0), 2.1, is_final=False)
    gap.heard("u1", (0.1, 2.0), 3.4, is_final=False)
    assert _settled(gap, 4.0, 10.0) == 2.0


def test_words_that_were_shown_become_final_first() -> None:
    gap = Gap(1.0)
    gap.started("u1", 0.0)
    gap.heard("u1", (0.1, 2.0), 2.1, is_final=False)
    gap.ended("u1", 10.0)
    assert gap.due(9.0, 10.0) is None
    assert gap.due(9.0, 10.0 + SPEECH_SETTLE_S) is None
    assert gap.due(9.0, 10.0 + FINAL_WITHIN_S) == 2.0
    assert gap.heard("u1", (0.1, 2.1), 2.2, is_final=True) is None  # the same gap is not told again
    assert gap.due_at_end(9.0) is None


def test_new_words_behind_a_gap_tell_of_it_themselves() -> None:
    gap = _spoken()
    assert gap.heard("u2", (3.1, 4.0), 4.2, is_final=True) == 2.0
    assert gap.heard("u3", (4.5, 5.0), 5.2, is_final=True) is None
    assert gap.due_at_end(5.9) is None
    assert gap.due_at_end(6.0) == 5.0
