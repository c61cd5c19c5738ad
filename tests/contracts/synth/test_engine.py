"""What espeak-ng does beyond the suite of every engine, and the calls over gRPC, with the real library."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import grpc
import pytest

from services.synth.engine import ENGINES, Sentence, Synthesizer
from services.synth.rpc import SERVICE, add
from services.synth.stage import SynthStage
from voxrelay.engines import load
from voxrelay.errors import Unavailable
from voxrelay.events import Event, SynthesisProduced, SynthesisRequested
from voxrelay.models.slot import EngineSlot
from voxrelay.rpc import RpcServer
from voxrelay.v1 import services_pb2, services_pb2_grpc


@pytest.fixture(scope="module", params=["espeak"])
def synthesizer(request: pytest.FixtureRequest) -> Iterator[Synthesizer]:
    pytest.importorskip("espeakng_loader", reason="the library of the engine 'espeak' is not installed")
    engine: Synthesizer = load("synth", ENGINES, request.param, workers=2)
    yield engine
    engine.close()


def _said(synthesizer: Synthesizer, text: str, voice: str = "en-us", speed: float = 1.0) -> bytes:
    return synthesizer.speak([Sentence(text, voice, speed)])[0].pcm_s16le


def test_the_same_sentence_gives_the_same_samples_whatever_came_before(synthesizer: Synthesizer) -> None:
    first = _said(synthesizer, "Hello world, how are you?")
    assert len(first) > synthesizer.sample_rate_hz
    _said(synthesizer, "Guten Tag!", "de", 1.6)
    assert [_said(synthesizer, "Hello world, how are you?") for _ in range(4)] == [first] * 4
    several = synthesizer.speak([Sentence("One.", "en-us"), Sentence("Hello world, how are you?", "en-us"), Sentence("Zwei.", "de")])
    assert several[1].pcm_s16le == first


def test_words_come_in_order_within_the_audio(synthesizer: Synthesizer) -> None:
    spoken = synthesizer.speak([Sentence("The quick brown fox jumps.", "en-us")])[0]
    assert [mark.text for mark in spoken.marks] == ["The", "quick", "brown", "fox", "jumps"]
    starts = [mark.start_sample for mark in spoken.marks]
    assert starts == sorted(starts)
    assert starts[-1] < len(spoken.pcm_s16le) // 2


def test_words_of_other_scripts(synthesizer: Synthesizer) -> None:
    spoken = synthesizer.speak([Sentence("Grüße aus Köln", "de")])[0]
    assert [mark.text for mark in spoken.marks] == ["Grüße", "aus", "Köln"]


def test_what_is_written_together_is_one_word_without_its_punctuation(synthesizer: Synthesizer) -> None:
    spoken = synthesizer.speak([Sentence("It cost $1,234.50 (twenty-three) — at the café, ok?", "en-us")])[0]
    assert [mark.text for mark in spoken.marks] == ["It", "cost", "1,234.50", "twenty-three", "at", "the", "café", "ok"]
    starts = [mark.start_sample for mark in spoken.marks]
    assert starts == sorted(set(starts))


def test_all_words_of_a_text_come_with_rising_times_over_its_sentences(synthesizer: Synthesizer) -> None:
    said = "One two three. Four, five: six! Seven eight? Nine ten."
    pieces = [
        event.payload for event in SynthStage(EngineSlot("synth", synthesizer)).process([Event("s", SynthesisRequested(said, sample_rate_hz=16_000))])
    ]
    words = [word for piece in pieces if isinstance(piece, SynthesisProduced) for word in piece.words]
    assert [word.text for word in words] == said.translate(str.maketrans("", "", ".,:!?")).split()
    assert [word.start_s for word in words] == sorted({word.start_s for word in words})


def test_characters_that_cannot_be_spoken_do_not_end_the_text(synthesizer: Synthesizer) -> None:
    spoken = synthesizer.speak([Sentence("One\0two \ud800 three", "en-us")])[0]
    assert [mark.text for mark in spoken.marks][:2] == ["One", "two"]
    assert spoken.marks[-1].text == "three"


def test_another_process_gives_the_same_samples(synthesizer: Synthesizer) -> None:
    """Breath is drawn from random numbers, so a whispering voice tells. Left alone, the library takes the second of its start for a seed."""
    time.sleep(1.1)
    other: Synthesizer = load("synth", ENGINES, "espeak", workers=1)
    try:
        for voice in ("en-us", "en-us+f5", "en-us+whisper"):
            assert _said(other, "Six fish sizzle, this says shh!", voice) == _said(synthesizer, "Six fish sizzle, this says shh!", voice)
        assert other.engine == synthesizer.engine
        assert other.engine.model_digest.startswith("sha256:")
    finally:
        other.close()


def test_every_voice_speaks_and_misses_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """The library says on standard error when a voice's pronunciations are missing; its process must be born while that is caught."""
    pytest.importorskip("espeakng_loader", reason="the library of the engine 'espeak' is not installed")
    engine: Synthesizer = load("synth", ENGINES, "espeak", workers=2)
    try:
        voices = engine.voices()
        spoken = engine.speak([Sentence("12", voice.name) for voice in voices])
    finally:
        engine.close()
    silent = [voice.name for voice, speech in zip(voices, spoken, strict=True) if len(speech.pcm_s16le) < engine.sample_rate_hz // 2]
    assert silent == []
    assert "dictionary" not in capfd.readouterr().err


def test_a_language_alone_is_its_usual_variety(synthesizer: Synthesizer) -> None:
    for language, usual in (("en", "en-us"), ("fr", "fr-fr"), ("zh", "cmn")):
        assert _said(synthesizer, "12", language) == _said(synthesizer, "12", usual)


def test_speed_goes_up_to_four(synthesizer: Synthesizer) -> None:
    lengths = [len(_said(synthesizer, "This sentence takes a while to say.", speed=speed)) for speed in (0.5, 1.0, 2.0, 3.0, 4.0)]
    assert lengths == sorted(set(lengths), reverse=True)
    assert lengths[-1] < 0.3 * lengths[1]


def test_speed_and_voice_matter(synthesizer: Synthesizer) -> None:
    usual = _said(synthesizer, "This sentence takes a while to say.")
    assert len(_said(synthesizer, "This sentence takes a while to say.", speed=2.0)) < 0.7 * len(usual)
    assert len(_said(synthesizer, "This sentence takes a while to say.", speed=0.5)) > 1.4 * len(usual)
    other = synthesizer.find("en-gb+F3")
    assert other is not None
    assert _said(synthesizer, "This sentence takes a while to say.", other.name) != usual
    assert other.gender == "female"


def test_voices_are_listed_and_found(synthesizer: Synthesizer) -> None:
    names = {voice.name for voice in synthesizer.voices()}
    assert {"en-us", "en-gb", "de"} <= names
    assert all(synthesizer.find(name) is not None for name in names)
    for wrong in ("", "nobody", "en-us+nobody", "../../etc/passwd", "en-us+", "+f3"):
        assert synthesizer.find(wrong) is None


def test_signs_alone_are_no_speech_and_no_error(synthesizer: Synthesizer) -> None:
    for text in ("…", "!!!", "\u200b", "<speak>&amp;</speak>", "a" * 300):
        assert isinstance(_said(synthesizer, text), bytes)


def test_a_killed_process_is_replaced(synthesizer: Synthesizer) -> None:
    expected = _said(synthesizer, "Still here.")
    for process_id in synthesizer._workers.process_ids:  # type: ignore[attr-defined]  # the one engine there is
        os.kill(process_id, signal.SIGKILL)
    with pytest.raises(Unavailable):
        synthesizer.speak([Sentence("Still here.", "en-us")])
    answers = []
    for _ in range(6):
        try:
            answers.append(_said(synthesizer, "Still here."))
        except Unavailable:
            answers.append(b"")
    assert answers[-2:] == [expected, expected]
    synthesizer.check()


def test_the_check_notices_a_dead_process_and_has_it_replaced(synthesizer: Synthesizer) -> None:
    expected = _said(synthesizer, "Still here.")
    synthesizer.check()
    os.kill(synthesizer._workers.process_ids[1], signal.SIGKILL)  # type: ignore[attr-defined]  # the one engine there is
    with pytest.raises(Unavailable):
        synthesizer.check()
    synthesizer.check()
    assert [_said(synthesizer, "Still here.") for _ in range(2)] == [expected, expected]


def test_the_first_piece_comes_before_the_whole_is_spoken(synthesizer: Synthesizer) -> None:
    calls = []

    class Counted:
        def __getattr__(self, name: str) -> object:
            return getattr(synthesizer, name)

        def speak(self, sentences: list[Sentence]) -> object:
            calls.append(len(sentences))
            return synthesizer.speak(sentences)

    stage = SynthStage(EngineSlot("synth", Counted()))  # type: ignore[arg-type]
    events = iter(stage.process([Event("s", SynthesisRequested("One sentence. " * 20))]))
    first = next(events).payload
    assert isinstance(first, SynthesisProduced)
    assert first.pcm_s16le
    assert len(calls) == 1


@pytest.fixture(scope="module")
def stub(synthesizer: Synthesizer) -> Iterator[services_pb2_grpc.SynthesisStub]:
    server = RpcServer("127.0.0.1", 0, [lambda grpc_server: add(grpc_server, EngineSlot("synth", synthesizer))])
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield services_pb2_grpc.SynthesisStub(channel)
    server.close()


def test_synthesize_over_grpc(stub: services_pb2_grpc.SynthesisStub) -> None:
    request = services_pb2.SynthesizeRequest(text="Hello there. How are you?", sample_rate_hz=16_000)
    answers = list(stub.Synthesize(request, timeout=20))
    assert len(answers) > 3
    assert {answer.sample_rate_hz for answer in answers} == {16_000}
    assert [word.text for answer in answers for word in answer.words][:2] == ["Hello", "there"]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (services_pb2.SynthesizeRequest(text=" "), grpc.StatusCode.INVALID_ARGUMENT),
        (services_pb2.SynthesizeRequest(text="Hi.", voice="nobody"), grpc.StatusCode.INVALID_ARGUMENT),
        (services_pb2.SynthesizeRequest(text="x" * 30_000), grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
def test_what_grpc_refuses(stub: services_pb2_grpc.SynthesisStub, request_: services_pb2.SynthesizeRequest, status: grpc.StatusCode) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        list(stub.Synthesize(request_, timeout=20))
    assert refused.value.code() is status


def test_list_voices_of_a_language(stub: services_pb2_grpc.SynthesisStub) -> None:
    answer = stub.ListVoices(services_pb2.ListVoicesRequest(language="en"), timeout=10)
    assert {"en-us", "en-gb"} <= {voice.name for voice in answer.voices}
    assert all(voice.language.startswith("en") for voice in answer.voices)
    assert SERVICE == "voxrelay.v1.Synthesis"
