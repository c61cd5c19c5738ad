"""What the bundled transcriber does besides what every one promises (test_every_engine.py), asked with real speech."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from services.transcribe.engine import Advance, Hypothesis, StreamOptions, Transcriber
from services.transcribe.engines.pocketsphinx import PocketsphinxTranscriber
from tests.contracts.transcribe.streaming import NOTHING, PLAIN, final, streamed
from voxrelay.audio import Float32Array
from voxrelay.errors import Unavailable


def test_words_are_right_ordered_and_within_the_utterance(transcriber: Transcriber, cards: Float32Array) -> None:
    hypothesis = final(transcriber, cards)
    assert {"eight", "of", "spades", "seven", "hearts"} <= set(hypothesis.text.split())
    assert hypothesis.text == " ".join(word.text for word in hypothesis.words)
    times = [time for word in hypothesis.words for time in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert times[0] >= 0.0
    assert times[-1] <= cards.size / 16_000
    assert all(0.0 <= word.confidence <= 1.0 for word in hypothesis.words)
    assert 0.3 < hypothesis.confidence <= 1.0
    assert (hypothesis.samples, hypothesis.language) == (cards.size, "en")
    assert not any(character in hypothesis.text for character in "<>[]()+=")


def test_more_streams_than_recognisers_lose_interims_but_no_final(transcriber: Transcriber, sentence: Float32Array) -> None:
    streams = [transcriber.open(PLAIN, wants_interims=True) for _ in range(4)]
    interims: list[list[Hypothesis]] = [[] for _ in streams]
    for start in range(0, sentence.size, 6_400):
        answers = transcriber.advance([Advance(stream, sentence[start : start + 6_400]) for stream in streams])
        for answer, heard in zip(answers, interims, strict=True):
            heard.extend([answer] if answer is not None else [])
    finals = transcriber.advance([Advance(stream, NOTHING, is_last=True) for stream in streams])
    assert finals == [final(transcriber, sentence)] * 4
    assert [bool(heard) for heard in interims] == [True, True, False, False]  # two workers, each follows one


def test_vocabulary_makes_an_unknown_name_right_in_its_stream_alone(transcriber: Transcriber, sherburn: Float32Array) -> None:
    before = final(transcriber, sherburn)
    asked = StreamOptions(vocabulary=("Sherburn", "of the"))
    with_name = final(transcriber, sherburn, asked)
    assert "sherburn" in with_name.text.split()
    assert "sherburn" not in before.text.split()
    for _ in range(2):  # other vocabularies and none in between, in the same recognisers
        final(transcriber, sherburn[:20_000], StreamOptions(vocabulary=("Helstone",)))
        assert final(transcriber, sherburn, asked) == with_name
        assert final(transcriber, sherburn) == before


@pytest.mark.parametrize("level", [0.001, 0.01, 0.05])
def test_stationary_noise_says_nothing(transcriber: Transcriber, level: float) -> None:
    random = np.random.default_rng(5)
    white = random.normal(size=64_000)
    spectrum = np.fft.rfft(white)
    pink = np.fft.irfft(spectrum / np.sqrt(np.maximum(1, np.arange(spectrum.size))), white.size)
    for noise in (white, pink / pink.std()):
        assert final(transcriber, (noise * level).astype(np.float32)).text == ""


def test_one_bad_sample_does_not_spoil_the_rest(transcriber: Transcriber, cards: Float32Array) -> None:
    bad = cards.copy()
    bad[5_000] = np.nan
    assert "hearts" in final(transcriber, bad).text


def test_discarded_streams_give_their_room_back(transcriber: Transcriber, sentence: Float32Array) -> None:
    for _ in range(5):
        stream = transcriber.open(PLAIN, wants_interims=True)
        transcriber.advance([Advance(stream, sentence[:20_000])])
        transcriber.discard(stream)
    transcriber.discard(stream)  # and once more does no harm
    assert streamed(transcriber, sentence, 3_200)[1]


def at_once(engine: Transcriber, samples: Float32Array, *, is_urgent: bool) -> Hypothesis | None:
    """The final of an utterance that was not followed."""
    (heard,) = engine.advance([Advance(engine.open(PLAIN, wants_interims=False, is_urgent=is_urgent), samples, is_last=True)])
    return heard


def test_files_have_recognisers_of_their_own(cards: Float32Array) -> None:
    """While one is at work on a file, as here for ever, people are heard."""
    engine = PocketsphinxTranscriber(workers=1)
    try:
        expected = at_once(engine, cards, is_urgent=False)
        _, of_files = engine.process_ids
        assert of_files is not None
        with ThreadPoolExecutor(1) as other:
            os.kill(of_files, signal.SIGSTOP)
            file = other.submit(at_once, engine, cards, is_urgent=False)
            try:
                assert at_once(engine, cards, is_urgent=True) == expected
                assert not file.done()
            finally:
                os.kill(of_files, signal.SIGCONT)
            assert file.result(60) == expected
    finally:
        engine.close()


def test_a_file_that_waits_for_people_ends_and_says_the_same(cards: Float32Array) -> None:
    engine = PocketsphinxTranscriber(workers=1)
    try:
        expected = at_once(engine, cards, is_urgent=False)
        with engine._people:  # for ever
            assert at_once(engine, cards, is_urgent=False) == expected
    finally:
        engine.close()


def test_people_are_counted_while_they_are_listened_to_also_when_that_fails(cards: Float32Array) -> None:
    engine = PocketsphinxTranscriber(workers=1)
    try:
        (of_people,) = engine.process_ids
        assert of_people is not None
        os.kill(of_people, signal.SIGSTOP)
        with ThreadPoolExecutor(1) as other:
            heard = other.submit(at_once, engine, cards, is_urgent=True)
            try:
                deadline = time.monotonic() + 60
                while not engine._people.count.value and time.monotonic() < deadline:
                    time.sleep(0.01)
                assert engine._people.count.value == 1
            finally:
                os.kill(of_people, signal.SIGKILL)
            assert isinstance(heard.exception(60), Unavailable)
        assert engine._people.count.value == 0
        at_once(engine, cards, is_urgent=False)  # waits for nobody
        assert engine._people.count.value == 0
    finally:
        engine.close()


def test_a_closed_engine_starts_no_process_for_a_file(cards: Float32Array) -> None:
    engine = PocketsphinxTranscriber(workers=1)
    engine.close()
    with pytest.raises(Unavailable):
        at_once(engine, cards, is_urgent=False)
    assert engine.process_ids == [None] * len(engine.process_ids)


def test_a_killed_worker_is_unavailable_and_the_next_try_gives_the_same(sentence: Float32Array, cards: Float32Array) -> None:
    engine = PocketsphinxTranscriber(workers=1)
    try:
        expected = [final(engine, sentence), final(engine, cards)]
        followed = engine.open(PLAIN, wants_interims=True)
        engine.advance([Advance(followed, sentence[:32_000])])
        of_people, of_files = engine.process_ids
        assert of_people is not None
        assert of_files is not None
        for worker in (of_people, of_files):
            os.kill(worker, signal.SIGKILL)
        for is_urgent in (True, False):
            with pytest.raises(Unavailable):
                at_once(engine, cards, is_urgent=is_urgent)
            with pytest.raises(Unavailable):
                engine.check()
            assert at_once(engine, cards, is_urgent=is_urgent) == expected[1]
            engine.check()
        # the utterance that was followed is decoded anew from its start
        assert engine.advance([Advance(followed, sentence[32_000:])]) == [None]
        assert engine.advance([Advance(followed, NOTHING, is_last=True)]) == [expected[0]]
    finally:
        engine.close()
    with pytest.raises(Unavailable):
        final(engine, cards)


def test_it_says_what_it_is(transcriber: Transcriber) -> None:
    assert transcriber.languages == ("en",)
    assert transcriber.engine.name == "pocketsphinx"
    assert transcriber.engine.version.startswith("5.")
    assert transcriber.engine.model_digest.startswith("sha256:")
    transcriber.check()
