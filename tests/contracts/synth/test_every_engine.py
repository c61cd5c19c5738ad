"""What every synthesizer promises, whichever library it is: one suite over all of them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.synth.engine import ENGINES, Sentence, Synthesizer
from voxrelay.engines import load
from voxrelay.errors import Unavailable

FOX = "The quick brown fox jumps over the lazy dog."


@pytest.fixture(scope="module", params=sorted(ENGINES))
def synthesizer(request: pytest.FixtureRequest) -> Iterator[Synthesizer]:
    pytest.importorskip("espeakng_loader", reason="espeak-ng is not installed")
    options: dict[str, object] = {"weights": request.getfixturevalue("tiny_piper")} if request.param == "piper" else {}
    engine: Synthesizer = load("synth", ENGINES, request.param, workers=2, **options)
    yield engine
    engine.close()
    with pytest.raises(Unavailable):
        engine.speak([Sentence(FOX, "en-us")])


def _said(synthesizer: Synthesizer, text: str, speed: float = 1.0) -> bytes:
    return synthesizer.speak([Sentence(text, "en-us", speed)])[0].pcm_s16le


def test_the_same_sentence_gives_the_same_samples_alone_together_and_at_once(synthesizer: Synthesizer) -> None:
    texts = [FOX, "One.", "Well, then: six fish sizzle!", FOX, "Two three."]
    alone = [_said(synthesizer, text) for text in texts]
    assert alone[0] == alone[3]
    assert all(len(pcm) % 2 == 0 and len(pcm) > 0.2 * synthesizer.sample_rate_hz for pcm in alone)
    assert [spoken.pcm_s16le for spoken in synthesizer.speak([Sentence(text, "en-us") for text in texts])] == alone
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda text: _said(synthesizer, text), texts)) == alone


def test_words_come_in_order_within_the_audio(synthesizer: Synthesizer) -> None:
    (spoken,) = synthesizer.speak([Sentence("It cost, (twenty-three) at the café, ok?", "en-us")])
    assert [mark.text for mark in spoken.marks] == ["It", "cost", "twenty-three", "at", "the", "café", "ok"]
    starts = [mark.start_sample for mark in spoken.marks]
    assert starts == sorted(set(starts))
    assert 0 <= starts[0] <= starts[-1] < len(spoken.pcm_s16le) // 2


@pytest.mark.parametrize("text", ["", "…", "!!!", "\u200b", " \n", "One\0two \ud800 three", "a" * 300, "12 34 " * 200])
def test_no_text_is_an_error(synthesizer: Synthesizer, text: str) -> None:
    (spoken,) = synthesizer.speak([Sentence(text, "en-us")])
    assert len(spoken.pcm_s16le) % 2 == 0
    assert len(spoken.pcm_s16le) > 0 or not any(character.isalnum() for character in text)


def test_faster_is_shorter(synthesizer: Synthesizer) -> None:
    lengths = [len(_said(synthesizer, FOX, speed)) for speed in (0.5, 1.0, 2.0)]
    assert lengths[0] > 1.4 * lengths[1] > 1.8 * lengths[2]


def test_voices_are_listed_and_found_and_others_are_not(synthesizer: Synthesizer) -> None:
    for voice in synthesizer.voices():
        assert synthesizer.find(voice.name) == voice
    usual = synthesizer.find("en-us")
    assert usual is not None
    assert usual.language == "en-us"
    assert synthesizer.find("en-us+f3") is not None  # the speakers of a text without voices of its own
    for wrong in ("", "nobody", "en-us+nobody", "../../etc/passwd", "en-us+", "+f3"):
        assert synthesizer.find(wrong) is None


def test_it_says_what_it_is(synthesizer: Synthesizer) -> None:
    assert synthesizer.engine.name
    assert synthesizer.engine.version
    assert synthesizer.at_once == 2
    assert synthesizer.sample_rate_hz >= 16_000
    synthesizer.check()
