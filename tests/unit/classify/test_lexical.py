"""What words tell."""

from __future__ import annotations

import pytest

from services.classify.engine import TranscribedText
from services.classify.engines.keywords import keywords, tokens
from voxrelay.events import Attribute, Word

pytest.importorskip("vaderSentiment", reason="the bundled engine is not installed: pip install 'voxrelay[classify]'")
pytest.importorskip("py3langid", reason="the bundled engine is not installed: pip install 'voxrelay[classify]'")

from services.classify.engines.lexical import LexicalClassifier


@pytest.fixture(scope="module")
def classifier() -> LexicalClassifier:
    return LexicalClassifier()


def told(classifier: LexicalClassifier, text: str, words: tuple[Word, ...] = (), language: str = "") -> dict[str, Attribute]:
    (attributes,) = classifier.classify([TranscribedText(text, words, language)])
    return {attribute.name: attribute for attribute in attributes}


@pytest.mark.parametrize(
    ("text", "mood"),
    [
        ("i love this wonderful service", "positive"),
        ("thank you so much that was very kind", "positive"),
        ("the invoice was wrong and your support is terrible", "negative"),
        ("i am angry and disappointed", "negative"),
        ("the train to london leaves from platform nine", "neutral"),
    ],
)
def test_sentiment(classifier: LexicalClassifier, text: str, mood: str) -> None:
    found = told(classifier, text, language="en")
    assert found["sentiment"].value == mood
    score = found["sentiment_score"].value
    assert isinstance(score, float)
    assert {"positive": score >= 0.05, "negative": score <= -0.05, "neutral": abs(score) < 0.05}[mood]


def test_a_stronger_mood_is_surer(classifier: LexicalClassifier) -> None:
    weak, strong = told(classifier, "the food was fine", language="en"), told(classifier, "i love this wonderful perfect happy day", language="en")
    assert weak["sentiment"].confidence < strong["sentiment"].confidence


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("we should meet tomorrow afternoon in the office", "en"),
        ("Der Lappen liegt auf dem Eisschrank.", "de"),
        ("nous irons à la plage demain matin avec les enfants", "fr"),
        ("mañana por la mañana vamos a la playa con los niños", "es"),
    ],
)
def test_language_of_the_text(classifier: LexicalClassifier, text: str, language: str) -> None:
    found = told(classifier, text)
    assert found["language"].value == language
    assert ("sentiment" in found) == (language == "en")
    assert ("keywords" in found) == (language == "en")


def test_a_word_or_two_have_no_language_and_so_no_mood(classifier: LexicalClassifier) -> None:
    assert told(classifier, "hello there") == {}
    assert "sentiment" in told(classifier, "hello there", language="en-GB")
    assert "sentiment" not in told(classifier, "hello there", language="de")


@pytest.mark.parametrize("text", ["", "  ", "12 34", "?!"])
def test_a_text_without_words_has_no_attributes(classifier: LexicalClassifier, text: str) -> None:
    assert told(classifier, text, language="en") == {}


def test_pace_from_the_times_of_words(classifier: LexicalClassifier) -> None:
    words = (Word("hello", 1.0, 1.4, 0.9), Word("big", 2.5, 2.7, 0.8), Word("world", 2.7, 3.0, 0.7))
    pace = told(classifier, "hello big world", words, "en")["words_per_minute"]
    assert (pace.value, pace.unit) == (90.0, "words/min")
    assert pace.confidence == pytest.approx(0.8 * 3 / 5)
    assert "words_per_minute" not in told(classifier, "hello", words[:1], "en")
    assert "words_per_minute" not in told(classifier, "hello big world", (), "en")


def test_keywords_are_runs_of_content_words_the_longest_first() -> None:
    text = "we should schedule the quarterly budget review, and call the marketing department"
    assert keywords(text) == ["quarterly budget review", "marketing department", "schedule", "call"]


def test_a_word_that_stands_in_longer_phrases_weighs_more() -> None:
    assert keywords("budget. budget review of budget. lunch")[0] == "budget review"
    assert keywords("invoice number, invoice and lunch")[:2] == ["invoice number", "invoice"]


def test_a_pause_ends_a_phrase_where_times_are_known() -> None:
    together = (Word("blue", 0.0, 0.4, 1.0), Word("whale", 0.45, 0.9, 1.0))
    apart = (Word("blue", 0.0, 0.4, 1.0), Word("whale", 1.2, 1.6, 1.0))
    assert keywords("blue whale", together) == ["blue whale"]
    assert keywords("blue whale", apart) == ["blue", "whale"]


def test_at_most_five_phrases_of_at_most_three_words() -> None:
    found = keywords("red green blue black white grey pink brown. apple. pear. plum. cherry")
    assert len(found) == 5
    assert max(len(phrase.split()) for phrase in found) == 3


def test_tokens_are_words_without_numbers_and_punctuation() -> None:
    assert tokens("It’s 5 o'clock, Zoë!") == ["it's", "o'clock", "zoë"]


def test_the_engine_says_what_it_is_made_of(classifier: LexicalClassifier) -> None:
    assert classifier.engine.name == "lexical"
    assert "vader-" in classifier.engine.version
    assert classifier.engine.model_digest.startswith("sha256:")
