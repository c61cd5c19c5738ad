"""How words are written, rule by rule."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.wording import redaction
from services.gateway.wording.wording import Wording, WrittenWord, text_of, write
from voxrelay.join import JoinedWord


def spoken(text: str, speaker: str = "S1") -> list[JoinedWord]:
    """A word every half second, each a little less certain than the one before."""
    return [JoinedWord(word, place * 0.5, place * 0.5 + 0.4, 1.0 - place / 100, speaker) for place, word in enumerate(text.split(" "))]


def written(text: str, **wording: object) -> str:
    return text_of(write(spoken(text), Wording(**wording)))  # type: ignore[arg-type]


def test_nothing_asked_nothing_done() -> None:
    words = spoken("Hello, i have twenty dollars")
    result = write(words, Wording())
    assert [word.written for word in result] == [word.text for word in words]
    assert result[0] == WrittenWord("hello", "Hello,", 0.0, 0.4, 1.0, "S1")
    assert write([], Wording(punctuate=True, smart_format=True, dictation=True, redact=("true",))) == ()


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        ("hello world", "Hello world."),
        ("yes i'm sure i can", "Yes I'm sure I can."),
        ("do you know him", "Do you know him?"),
        ("where is the station", "Where is the station?"),
        ("what's your name", "What's your name?"),
        ("how many are there", "How many are there?"),
        ("when i was young", "When I was young."),
        ("what a day", "What a day."),
        ("how are you", "How are you?"),
        ("Already done.", "Already done."),
        ("Is this it!", "Is this it!"),
        ("and then,", "And then,"),
        ("it ends. and begins", "It ends. And begins."),
        ("she left. is it late", "She left. Is it late?"),
    ],
)
def test_punctuation(heard: str, expected: str) -> None:
    assert written(heard, punctuate=True) == expected


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        ("i have twenty three apples", "i have 23 apples"),
        ("two hundred and five people", "205 people"),
        ("three point one four", "3.14"),
        ("one of them came", "one of them came"),
        ("no one has two", "no one has 2"),
        ("give me a second", "give me a second"),
        ("the twenty first time", "the 21st time"),
        ("one two three", "1 2 3"),
        ("it cost 20 euros", "it cost 20 euros"),
        ("twenty, thirty", "20, 30"),
    ],
)
def test_numerals(heard: str, expected: str) -> None:
    assert written(heard, numerals=True) == expected


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        ("it is five dollars and fifty cents", "It is $5.50."),
        ("two hundred fifty thousand dollars", "$250,000."),
        ("twenty euros please", "€20 please."),
        ("five pounds", "5 pounds."),
        ("about twenty five percent", "About 25%."),
        ("thirty per cent off", "30% off."),
        ("three point five million dollars", "$3.5 million."),
        ("three point five million people", "3.5 million people."),
        ("meet at ten thirty a m", "Meet at 10:30 AM."),
        ("at nine oh five pm", "At 9:05 PM."),
        ("at seven p.m. sharp", "At 7 PM sharp."),
        ("ten thirty", "10 30."),
        ("born in nineteen eighty four", "Born in 1984."),
        ("since nineteen oh five", "Since 1905."),
        ("in twenty twenty six it", "In 2026 it."),
        ("march twenty first twenty twenty", "March 21st 2020."),
        ("the first of may", "The 1st of May."),
        ("you may go first", "You may go first."),
        ("in january we", "In January we."),
        ("call four one five five five five oh one two three", "Call 415-555-0123."),
        ("room one zero one", "Room 101."),
        ("a hundred and five percent", "105%."),
        ("half a million dollars", "Half a million dollars."),
        ("ages twenty one twenty two", "Ages 21 22."),
        ("code five five oh", "Code 5 5 oh."),
    ],
)
def test_smart_format(heard: str, expected: str) -> None:
    assert written(heard, smart_format=True) == expected


def test_a_number_keeps_its_times_and_the_least_confidence() -> None:
    (word,) = write(spoken("two hundred and five"), Wording(numerals=True))
    assert word == WrittenWord("205", "205", 0.0, 1.9, 0.97, "S1")


def test_a_number_ends_where_the_speaker_changes_or_is_silent() -> None:
    first, second = spoken("twenty five")
    other = JoinedWord("five", second.start_s, second.end_s, 0.9, "S2")
    assert [word.written for word in write([first, other], Wording(numerals=True))] == ["20", "5"]
    late = JoinedWord("five", second.start_s + 3, second.end_s + 3, 0.9, "S1")
    assert [word.written for word in write([first, late], Wording(numerals=True))] == ["20", "5"]


def test_measurements() -> None:
    assert written("five kilometers in twenty minutes", measurements=True) == "5 km in twenty minutes"
    assert written("five kilometers in twenty minutes", measurements=True, numerals=True) == "5 km in 20 minutes"


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        ("hello comma world full stop", "hello, world."),
        ("are you there question mark new line yes exclamation point", "are you there?\nyes!"),
        ("one new paragraph two semicolon three colon", "one\n\ntwo; three:"),
        ("comma yes", ", yes"),
        ("the comma", "the,"),
    ],
)
def test_dictation(heard: str, expected: str) -> None:
    assert written(heard, dictation=True) == expected


def test_dictation_and_punctuation_together() -> None:
    heard = "hello full stop how are you question mark new line i am fine"
    assert written(heard, dictation=True, punctuate=True) == "Hello. How are you?\nI am fine."


def test_profanity_is_masked_in_both_forms() -> None:
    words = write(spoken("that is Shitty, mate"), Wording(profanity_filter=True))
    assert [word.written for word in words] == ["that", "is", "S*****,", "mate"]
    assert words[2].heard == "s*****"
    assert written("the shitake grass in scunthorpe", profanity_filter=True) == "the shitake grass in scunthorpe"


CARD = "four one one one one one one one one one one one one one one one"


@pytest.mark.parametrize(
    ("kinds", "heard", "expected"),
    [
        (("pci",), f"my card is {CARD} okay", "my card is [REDACTED] okay"),
        (("pci",), "it is 4111 1111 1111 1111 thanks", "it is [REDACTED] thanks"),
        (("pci",), "four one one one dash one one one one uh one one one one one one one one", "[REDACTED]"),
        (("pci",), "the security code is one two three", "the security code is [REDACTED]"),
        (("pci",), "it expires oh five twenty eight", "it expires oh [REDACTED]"),
        (("pci",), "call four one five five five five zero one two three", "call four one five five five five zero one two three"),
        (("ssn",), "my number is one two three four five six seven eight nine", "my number is [REDACTED]"),
        (("ssn",), "123-45-6789 it is", "[REDACTED] it is"),
        (("ssn",), f"card {CARD}", f"card {CARD}"),
        (("numbers",), "room one zero one and two people", "room [REDACTED] and two people"),
        (("true",), "room one zero one and two people", "room [REDACTED] and two people"),
        (("numbers",), "two apples", "two apples"),
        (("aggressive_numbers",), "two apples and forty pears", "[REDACTED] apples and [REDACTED] pears"),
        (("numbers",), "double five oh seven", "double [REDACTED]"),
    ],
)
def test_redaction(kinds: tuple[str, ...], heard: str, expected: str) -> None:
    words = write(spoken(heard), Wording(redact=kinds))
    assert text_of(words) == expected
    assert all(word.heard == "[REDACTED]" for word in words if word.written == "[REDACTED]")


def test_redaction_goes_before_numerals() -> None:
    assert written(f"{CARD} costs five dollars", redact=("pci",), smart_format=True) == "[REDACTED] costs $5."


def test_replacement() -> None:
    replace = (("kelly", "Kelley"), ("new york", "NYC"), ("umm", ""), ("new york city", "The City"))
    assert written("kelly, from new york umm not new york city", replace=replace) == "Kelley, from NYC not The City"
    words = write(spoken("in new york now"), Wording(replace=replace))
    assert (words[1].start_s, words[1].end_s, words[1].confidence) == (0.5, 1.4, 0.98)


def test_fillers_go_only_where_asked() -> None:
    assert written("uh i um know") == "uh i um know"
    assert written("uh i um know", filler_words=False) == "i know"


def test_other_languages_are_left_alone() -> None:
    wording = Wording(smart_format=True, numerals=True, replace=(("hallo", "Hallo"),))
    assert text_of(write(spoken("hallo one two"), wording, "de")) == "Hallo one two"
    assert text_of(write(spoken("twenty"), wording, "en-GB")) == "20."


# --- what holds for any words and any wishes -------------------------------------------------------------------------------

NUMBERS = [
    "one",
    "two",
    "three",
    "ten",
    "twenty",
    "hundred",
    "thousand",
    "oh",
    "point",
    "and",
    "dollars",
    "cents",
    "percent",
    "first",
    "may",
    "march",
    "a",
    "m",
    "pm",
    "o",
]
VOCABULARY = st.sampled_from(
    [
        *NUMBERS,
        *[
            "i",
            "comma",
            "full",
            "stop",
            "new",
            "line",
            "fucking",
            "card",
            "security",
            "code",
            "hello",
            "World.",
            "what",
            "is",
            "you",
            "4111",
            "12",
            "km",
            "1,000",
        ],
    ]
)
ANYTHING = st.one_of(VOCABULARY, st.text(string.printable, min_size=0, max_size=8), st.text(max_size=5))
WISHES = st.builds(
    Wording,
    *(st.booleans() for _ in range(7)),
    st.lists(st.sampled_from(redaction.KINDS), max_size=2).map(tuple),
    st.lists(st.tuples(ANYTHING, ANYTHING), max_size=2).map(tuple),
)


@given(st.lists(ANYTHING, max_size=12), WISHES)
def test_times_stay_in_order_and_within_and_nothing_is_added(texts: list[str], wording: Wording) -> None:
    words = [JoinedWord(text, place * 0.5, place * 0.5 + 0.4, 0.9 - place / 100, "S1") for place, text in enumerate(texts)]
    result = write(words, wording)
    assert len(result) <= len(words)
    edges = [edge for word in result for edge in (word.start_s, word.end_s)]
    assert edges == sorted(edges)
    assert {word.start_s for word in result} <= {word.start_s for word in words}
    assert {word.end_s for word in result} <= {word.end_s for word in words}
    for word in result:
        covered = [one.confidence for one in words if word.start_s <= one.start_s and one.end_s <= word.end_s]
        assert word.confidence == min(covered)


@given(st.lists(st.sampled_from([*NUMBERS, "hello", "4111", "1,000", "3.5"]), max_size=12))
def test_aggressive_redaction_leaves_no_digit_and_no_number(texts: list[str]) -> None:
    result = write(spoken(" ".join(texts)), Wording(redact=("aggressive_numbers",), smart_format=True))
    assert not any(letter.isdigit() for word in result for letter in word.written + word.heard)


@given(st.lists(VOCABULARY, max_size=10))
def test_punctuation_changes_no_letter_and_is_stable(texts: list[str]) -> None:
    once = write(spoken(" ".join(texts)), Wording(punctuate=True))
    assert [word.written.lower().rstrip(".?") for word in once] == [text.lower().rstrip(".?") for text in " ".join(texts).split(" ")]
    again = write([JoinedWord(word.written, word.start_s, word.end_s, word.confidence, word.speaker) for word in once], Wording(punctuate=True))
    assert [word.written for word in again] == [word.written for word in once]
