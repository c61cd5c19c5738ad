"""Search in a file's words, and the words as utterances and paragraphs."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.wording.grouping import paragraphs, sentences, utterances
from services.gateway.wording.search import MOST_HITS, hits
from services.gateway.wording.words import WrittenWord


def words(text: str, speaker: str = "S1", from_s: float = 0.0) -> list[WrittenWord]:
    return [
        WrittenWord(one.lower().strip(".?!"), one, from_s + place * 0.5, from_s + place * 0.5 + 0.4, 0.9, speaker)
        for place, one in enumerate(text.split())
    ]


def test_what_was_said_is_found_with_its_times() -> None:
    (hit,) = hits(words("the quick brown fox jumps over a lazy dog"), "Brown fox")
    assert (hit.confidence, hit.start_s, hit.end_s, hit.snippet) == (1.0, 1.0, 1.9, "brown fox")


def test_what_was_heard_a_little_differently_is_found_too_best_first() -> None:
    found = hits(words("call ben kenobi now or ben kanobi later"), "ben kenobi")
    assert [hit.snippet for hit in found] == ["ben kenobi", "ben kanobi"]
    assert found[0].confidence == 1.0
    assert 0.8 < found[1].confidence < 1.0


def test_one_word_heard_as_two_is_found() -> None:
    assert hits(words("on the black board is"), "blackboard")[0].snippet == "black board"


def test_nothing_is_like_it() -> None:
    assert hits(words("the quick brown fox"), "xylophone") == []
    assert hits([], "fox") == []
    assert hits(words("the fox"), " ?! ") == []


@given(st.lists(st.sampled_from(["a", "ab", "abc", "b", "bc", "c"]), max_size=40), st.sampled_from(["a", "ab c", "abc abc abc"]))
def test_hits_are_apart_bounded_and_sorted(texts: list[str], query: str) -> None:
    found = hits(words(" ".join(texts)), query)
    assert len(found) <= MOST_HITS
    assert [hit.confidence for hit in found] == sorted((hit.confidence for hit in found), reverse=True)
    spans = sorted((hit.start_s, hit.end_s) for hit in found)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_utterances_are_cut_at_pauses_and_speakers() -> None:
    spoken = [*words("one two"), *words("three", from_s=2.0), *words("four five", "S2", from_s=2.5)]
    assert [group.text for group in utterances(spoken)] == ["one two", "three", "four five"]
    assert [group.text for group in utterances(spoken, pause_s=5.0)] == ["one two three", "four five"]
    assert utterances([]) == []


def test_sentences_and_paragraphs() -> None:
    spoken = [*words("Yes. It is."), *words("Is it?", "S2", from_s=2.0), *words("Really. Late.", "S2", from_s=8.0)]
    assert [sentence.text for sentence in sentences(spoken)] == ["Yes.", "It is.", "Is it?", "Really.", "Late."]
    found = paragraphs(spoken)
    assert [[sentence.text for sentence in paragraph.sentences] for paragraph in found] == [["Yes.", "It is."], ["Is it?"], ["Really.", "Late."]]
    assert len(found[0].words) == 3


def test_a_paragraph_has_five_sentences_at_most() -> None:
    assert [len(paragraph.sentences) for paragraph in paragraphs(words("A. B. C. D. E. F."))] == [5, 1]


@given(st.lists(st.tuples(st.sampled_from(["a", "b.", "c?"]), st.sampled_from(["S1", "S2"]), st.floats(0, 3)), max_size=30))
def test_no_word_is_lost_or_moved(spoken: list[tuple[str, str, float]]) -> None:
    at, given_words = 0.0, []
    for text, speaker, pause_s in spoken:
        given_words.append(WrittenWord(text, text, at + pause_s, at + pause_s + 0.3, 0.5, speaker))
        at += pause_s + 0.3
    for grouped in (utterances(given_words), sentences(given_words), paragraphs(given_words)):
        assert [word for group in grouped for word in group.words] == given_words
        assert all(len({word.speaker for word in group.words}) == 1 for group in grouped)
