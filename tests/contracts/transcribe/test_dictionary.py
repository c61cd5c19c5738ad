"""The bundled engine listens for frequent words, and knows how the others are spoken."""

from __future__ import annotations

import pytest

from services.transcribe.engine import StreamOptions
from tests.contracts.transcribe.streaming import final
from voxrelay.audio import Float32Array

pytest.importorskip("pocketsphinx", reason="the bundled engine is not installed: pip install 'voxrelay[transcribe]'")

from services.transcribe.engines.pocketsphinx import PocketsphinxTranscriber
from services.transcribe.engines.pocketsphinx_dictionary import make_decoder, pronunciation


def test_a_decoder_listens_for_the_most_frequent_words_in_all_their_pronunciations() -> None:
    few, more = make_decoder(100, loglevel="FATAL"), make_decoder(10_000, loglevel="FATAL")
    assert [few.lookup_word(word) for word in ("the", "the(2)")] == [pronunciation("the"), pronunciation("the(2)")]
    assert [decoder.lookup_word("question") is not None for decoder in (few, more)] == [False, True]
    assert [decoder.lookup_word("sherburn") for decoder in (few, more)] == [None, None]


def test_it_knows_how_words_it_does_not_listen_for_are_spoken() -> None:
    assert pronunciation("sherburn") == "SH ER B ER N"
    assert pronunciation("qwzx") is None


def test_how_many_words_is_a_setting(cards: Float32Array) -> None:
    engine = PocketsphinxTranscriber(workers=1, followed=1, words=1000)
    try:
        assert "spades" not in final(engine, cards).text.split()
        assert "spades" in final(engine, cards, StreamOptions(vocabulary=("spades",))).text.split()
    finally:
        engine.close()
