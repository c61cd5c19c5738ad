"""Interims by local agreement: whatever an engine changes its mind about, nothing said is taken back."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.transcribe.engines.agreement import LocalAgreement
from voxrelay.events import Word


def _words(text: str) -> tuple[Word, ...]:
    return tuple(Word(one, 0.3 * number, 0.3 * number + 0.2, 0.9) for number, one in enumerate(text.split()))


def _said(*hypotheses: str) -> list[str]:
    agreement = LocalAgreement()
    return [" ".join(word.text for word in agreement.hear(_words(text))) for text in hypotheses]


def test_what_two_hypotheses_in_a_row_agree_on_is_said() -> None:
    assert _said("the", "the cat", "the cat sat", "the cat sat down") == ["", "the", "the cat", "the cat sat"]


def test_a_word_that_changes_waits_until_it_holds_still() -> None:
    assert _said("the cab", "the cat", "the cat", "a cat sat", "a cat sat") == ["", "the", "the cat", "the cat", "the cat sat"]


def test_case_and_punctuation_do_not_count() -> None:
    assert _said("Hello", "hello, World", "hello world.") == ["", "hello,", "hello, world."]


@given(st.lists(st.lists(st.sampled_from(["a", "b", "c,", "C"]), max_size=6).map(" ".join), max_size=12))
def test_nothing_said_is_ever_taken_back(hypotheses: list[str]) -> None:
    agreement = LocalAgreement()
    answers = [agreement.hear(_words(text)) for text in hypotheses]
    for earlier, later in pairwise(answers):
        assert later[: len(earlier)] == earlier
    for words in answers:
        times = [time for word in words for time in (word.start_s, word.end_s)]
        assert times == sorted(times)
