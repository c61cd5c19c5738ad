"""What every synthesizer promises, and the calls over gRPC, with the real library."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import grpc
import pytest

from services.synth.engine import ENGINES, Sentence, Synthesizer
from services.synth.rpc import SERVICE, add
from services.synth.stage import SynthStage
from voxrelay.engines import load
from voxrelay.errors import Unavailable
from voxrelay.events import Event, SynthesisProduced, SynthesisRequested
from voxrelay.rpc import RpcServer
from voxrelay.v1 import services_pb2, services_pb2_grpc


@pytest.fixture(scope="module", params=sorted(ENGINES))
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
    answers = []
    for _ in range(6):
        try:
            answers.append(_said(synthesizer, "Still here."))
        except Unavailable:
            answers.append(b"")
    assert answers[-2:] == [expected, expected]
    synthesizer.check()


def test_the_first_piece_comes_before_the_whole_is_spoken(synthesizer: Synthesizer) -> None:
    calls = []

    class Counted:
        def __getattr__(self, name: str) -> object:
            return getattr(synthesizer, name)

        def speak(self, sentences: list[Sentence]) -> object:
            calls.append(len(sentences))
            return synthesizer.speak(sentences)

    stage = SynthStage(Counted())  # type: ignore[arg-type]
    events = iter(stage.process([Event("s", SynthesisRequested("One sentence. " * 20))]))
    first = next(events).payload
    assert isinstance(first, SynthesisProduced)
    assert first.pcm_s16le
    assert len(calls) == 1


@pytest.fixture(scope="module")
def stub(synthesizer: Synthesizer) -> Iterator[services_pb2_grpc.SynthesisStub]:
    server = RpcServer("127.0.0.1", 0, [lambda grpc_server: add(grpc_server, synthesizer)])
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
