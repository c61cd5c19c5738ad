"""Scripts that arrive in pieces are read as they are when they are whole."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from voxrelay.script import LONGEST_SENTENCE, ScriptReader, Turn, sentences, turns

PARTS = st.sampled_from(["Speaker 1:", "Speaker 22: ", "speaker 3 :", "\n", " ", "Hello", "Dr.", "3.14", "Yes!", "Why?", "“So.”", "。", "你好", ","])


def _words(said: list[Turn]) -> list[tuple[int, str]]:
    return [(turn.speaker, word) for turn in said for word in turn.text.split()]


@given(st.lists(PARTS, max_size=40).map("".join), st.integers(1, 9))
@example("。Dr.\nHello", 1)  # an abbreviation right behind an end without a blank
def test_the_same_words_by_the_same_speakers_wherever_it_is_cut(script: str, step: int) -> None:
    reader = ScriptReader()
    said = [turn for start in range(0, len(script), step) for turn in reader.add(script[start : start + step])] + reader.flush()
    whole = [Turn(turn.speaker, sentence) for turn in turns(script) for sentence in sentences(turn.text)]
    assert "".join(turn.text.replace(" ", "") for turn in said) == "".join(turn.text.replace(" ", "") for turn in whole)
    assert {speaker for speaker, _ in _words(said)} == {speaker for speaker, _ in _words(whole)}


def test_a_sentence_comes_as_soon_as_it_is_whole() -> None:
    reader = ScriptReader()
    assert reader.add("Mr. Fox costs 3.") == []
    assert reader.add("50 pounds.") == []
    assert reader.add(" Next") == [Turn(0, "Mr. Fox costs 3.50 pounds.")]
    assert reader.flush() == [Turn(0, "Next")]
    assert reader.flush() == []


def test_speakers_in_the_order_of_their_first_lines() -> None:
    reader = ScriptReader()
    said = [
        turn
        for piece in ("Spea", "ker 7", ": Hi the", "re\nSpeaker 2: No. Speaker 3: is", " a name\n", "Speaker 7:Yes")
        for turn in reader.add(piece)
    ]
    assert [*said, *reader.flush()] == [Turn(0, "Hi there"), Turn(1, "No."), Turn(1, "Speaker 3: is a name"), Turn(0, "Yes")]


def test_no_sentence_is_too_long_and_little_is_kept() -> None:
    reader = ScriptReader()
    said = [turn for _ in range(200) for turn in reader.add("word, ")] + reader.flush()
    assert max(len(turn.text) for turn in said) <= LONGEST_SENTENCE
    assert " ".join(turn.text for turn in said) == " ".join(["word,"] * 200)


def test_what_is_cleared_is_forgotten_and_who_speaks_is_not() -> None:
    reader = ScriptReader()
    reader.add("Speaker 1: A. Speaker x")
    assert reader.add("\nSpeaker 2: half of ") == [Turn(0, "Speaker x")]
    reader.clear()
    assert reader.add("Speaker 1: Again. ") == [Turn(0, "Again.")]
