"""Scripts, pieces and refusals, with an engine that hums a note a word."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from services.synth.casting import voice_names
from services.synth.engine import Mark, Sentence, Spoken, Voice
from services.synth.stage import SynthStage
from voxrelay.audio import float32_from_pcm_s16le
from voxrelay.events import Engine, Event, SynthesisProduced, SynthesisRefused, SynthesisRequested
from voxrelay.models.slot import EngineSlot
from voxrelay.script import LONGEST_SENTENCE, Turn, sentences, turns

WORD = 4000  # samples


class Humming:
    """Each word is 4000 samples of 440 Hz; speaks two sentences at once."""

    engine = Engine("humming", "1")
    sample_rate_hz = 16_000
    at_once = 2

    def __init__(self) -> None:
        self.spoken: list[Sentence] = []

    def voices(self) -> Sequence[Voice]:
        return (Voice("en-us", "en-us", "male"), Voice("de", "de", "male"))

    def find(self, name: str) -> Voice | None:
        base = name.partition("+")[0]
        return Voice(name, base, "") if base in ("en-us", "de") else None

    def speak(self, sentences: Sequence[Sentence]) -> list[Spoken]:
        self.spoken += sentences
        return [self._hum(sentence) for sentence in sentences]

    def _hum(self, sentence: Sentence) -> Spoken:
        words = sentence.text.split()
        samples = np.sin(np.arange(len(words) * WORD) * 2 * np.pi * 440 / 16_000) * 8000
        return Spoken(samples.astype("<i2").tobytes(), tuple(Mark(word, n * WORD) for n, word in enumerate(words)))

    def check(self) -> None: ...

    def close(self) -> None: ...


def _run(*requests: SynthesisRequested, engine: Humming | None = None) -> list[Event]:
    stage = SynthStage(EngineSlot("synth", engine or Humming()))
    return list(stage.process([Event(f"s{n}", request) for n, request in enumerate(requests)]))


def _pieces(events: list[Event], session_id: str = "s0") -> list[SynthesisProduced]:
    return [event.payload for event in events if event.session_id == session_id and isinstance(event.payload, SynthesisProduced)]


# --- scripts ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("Just text.", [Turn(0, "Just text.")]),
        ("Speaker 1: Hi.\nSpeaker 2: Hello.\nAnd more.\nspeaker 1 : Bye.", [Turn(0, "Hi."), Turn(1, "Hello.\nAnd more."), Turn(0, "Bye.")]),
        ("Speaker 7: Only one.", [Turn(0, "Only one.")]),
        ("Once upon a time.\nSpeaker 1: Hi.\nSpeaker 2: Ho.", [Turn(0, "Once upon a time."), Turn(1, "Hi."), Turn(2, "Ho.")]),
        ("A loud speaker 1: no.", [Turn(0, "A loud speaker 1: no.")]),
        ("  \n ", []),
        ("Speaker 1:\nSpeaker 2: Yes.", [Turn(1, "Yes.")]),
    ],
)
def test_turns(script: str, expected: list[Turn]) -> None:
    assert turns(script) == expected


def test_sentences_are_cut_at_their_ends_and_long_ones_at_commas_or_blanks() -> None:
    assert list(sentences('One. "Two!" Three?\n\nFour 3.5 five')) == ["One.", '"Two!"', "Three?", "Four 3.5 five"]
    long = ", ".join(["a clause of some length"] * 40)
    cut = list(sentences(long))
    assert all(len(part) <= LONGEST_SENTENCE for part in cut)
    assert all(part.endswith(",") for part in cut[:-1])
    assert "".join(" ".join(cut).split()) == "".join(long.split())
    assert [len(part) for part in sentences("x" * 1000)] == [300, 300, 300, 100]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dr. Smith and J. R. Hartley met. They talked.", ["Dr. Smith and J. R. Hartley met.", "They talked."]),
        ("Bring fruit, e.g. apples. So do I. Good.", ["Bring fruit, e.g. apples.", "So do I.", "Good."]),
        ("Ask the Dr.\n\nHe knows.", ["Ask the Dr.", "He knows."]),
        ("你好。我是医生！“真的？”他说。", ["你好。", "我是医生！", "“真的？”", "他说。"]),
        ("Really?! Yes... no. 3.14 is pi", ["Really?!", "Yes...", "no.", "3.14 is pi"]),
    ],
)
def test_ends_of_sentences(text: str, expected: list[str]) -> None:
    assert list(sentences(text)) == expected


def test_voices_of_speakers() -> None:
    assert voice_names("", "en-us", ("f2", "m3"), 4) == ["en-us", "en-us+f2", "en-us+m3", "en-us"]
    assert voice_names("de", "en-us", ("f2",), 2) == ["de", "de+f2"]
    assert voice_names("de, en-us+f1", "en-us", (), 3) == ["de", "en-us+f1", "de"]


# --- pieces ----------------------------------------------------------------------------------------------------------------


def test_pieces_are_gapless_numbered_short_and_the_last_says_so() -> None:
    pieces = _pieces(_run(SynthesisRequested("One two three. Four five.")))
    assert [piece.index for piece in pieces] == list(range(len(pieces)))
    assert [piece.is_last for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    starts = np.cumsum([0] + [len(piece.pcm_s16le) // 2 for piece in pieces])
    assert [piece.start_sample for piece in pieces] == list(starts[:-1])
    assert max(len(piece.pcm_s16le) for piece in pieces) <= 16_000 * 2 // 5
    assert starts[-1] == 5 * WORD
    words = [(word.text, word.start_s) for piece in pieces for word in piece.words]
    assert words == [("One", 0.0), ("two", 0.25), ("three.", 0.5), ("Four", 0.75), ("five.", 1.0)]


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 44_100, 48_000])
def test_any_rate_is_the_same_tone_and_the_same_length(rate_hz: int) -> None:
    pieces = _pieces(_run(SynthesisRequested("one two three four", sample_rate_hz=rate_hz)))
    samples = float32_from_pcm_s16le(b"".join(piece.pcm_s16le for piece in pieces))
    assert {piece.sample_rate_hz for piece in pieces} == {rate_hz}
    assert abs(samples.size / rate_hz - 1.0) < 0.001
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
    assert abs(np.argmax(spectrum) * rate_hz / samples.size - 440) < 2


@pytest.mark.parametrize("rate_hz", [0, 8_000, 11_025, 48_000])
def test_sentences_meet_without_a_seam_and_only_the_last_piece_is_shorter(rate_hz: int) -> None:
    """The engine's tone starts anew with each sentence, at a whole number of periods: it must come out as one."""
    request = SynthesisRequested("one two. three four. " * 20, sample_rate_hz=rate_hz)
    pieces = _pieces(_run(request))
    rate_hz = rate_hz or 16_000
    samples = float32_from_pcm_s16le(b"".join(piece.pcm_s16le for piece in pieces))
    assert samples.size == 20 * 4 * WORD * rate_hz // 16_000
    tone = np.sin(np.arange(samples.size) * 2 * np.pi * 440 / rate_hz) * 8000 / 32768
    assert np.abs(samples - tone)[rate_hz // 50 : -rate_hz // 50].max() < 1e-3
    assert {len(piece.pcm_s16le) // 2 for piece in pieces[:-1]} == {rate_hz // 5}
    assert 0 < len(pieces[-1].pcm_s16le) // 2 <= rate_hz // 5
    for piece in pieces:
        end_s = (piece.start_sample + len(piece.pcm_s16le) // 2) / rate_hz
        assert all(piece.start_sample / rate_hz <= word.start_s < end_s for word in piece.words)
    assert sum(len(piece.words) for piece in pieces) == 80


def test_a_short_request_is_not_kept_waiting_by_a_long_one() -> None:
    long, short = SynthesisRequested("This goes on. " * 50), SynthesisRequested("Short.")
    events = _run(long, long, short)
    place = next(n for n, event in enumerate(events) if event.session_id == "s2" and event.payload.ends_session)
    assert place < len(events) / 5


def test_the_same_request_gives_the_same_events_alone_and_among_others() -> None:
    request = SynthesisRequested("Speaker 1: Same. And again.\nSpeaker 2: Yes.", sample_rate_hz=8_000)
    alone = _pieces(_run(request))
    among = _pieces(_run(request, SynthesisRequested("Another one."), SynthesisRequested("More. More.")))
    assert alone == among


def test_nothing_to_say_is_one_empty_last_piece() -> None:
    pieces = _pieces(_run(SynthesisRequested(" \n ")))
    assert [(piece.is_last, piece.pcm_s16le) for piece in pieces] == [(True, b"")]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (SynthesisRequested("Hi.", voice="nobody"), "UNKNOWN_VOICE"),
        (SynthesisRequested("Hi.", voice="en-us,nobody"), "UNKNOWN_VOICE"),
        (SynthesisRequested("Hi.", language="xx"), "UNSUPPORTED_LANGUAGE"),
        (SynthesisRequested("Hi.", sample_rate_hz=4000), "UNSUPPORTED_SAMPLE_RATE"),
        (SynthesisRequested("Hi.", speed=9.0), "INVALID_PARAMETER"),
        (SynthesisRequested("x" * 100_001), "TEXT_TOO_LONG"),
    ],
)
def test_what_cannot_be_spoken_is_refused_and_the_others_are_spoken(request_: SynthesisRequested, code: str) -> None:
    events = _run(request_, SynthesisRequested("Hello."))
    refused = [event.payload for event in events if event.session_id == "s0"]
    assert len(refused) == 1
    assert isinstance(refused[0], SynthesisRefused)
    assert refused[0].code == code
    assert refused[0].ends_session
    assert _pieces(events, "s1")[-1].is_last


def test_a_region_of_a_language_falls_back_to_the_language() -> None:
    engine = Humming()
    _run(SynthesisRequested("Guten Tag.", language="de-CH"), SynthesisRequested("Hi.", language="en"), engine=engine)
    assert {sentence.voice for sentence in engine.spoken} == {"de", "en-us"}
