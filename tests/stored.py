"""A small session as the services publish it, for tests of what is kept."""

from __future__ import annotations

from voxrelay.events import (
    Attribute,
    Engine,
    Event,
    Payload,
    SegmentClassified,
    SegmentDiarized,
    SegmentTranscribed,
    SessionConfig,
    SessionOpened,
    SpeakerSegment,
    StageFinished,
    UtteranceEnded,
    UtteranceStarted,
    Word,
)

ENGINE = Engine("scripted", "1.0", "sha256:00")


def transcribed(utterance_id: str, start_s: float, text: str, revision: int = 1, *, is_final: bool = True) -> SegmentTranscribed:
    words = tuple(Word(word, round(start_s + 0.5 * n, 3), round(start_s + 0.5 * n + 0.4, 3), 0.9) for n, word in enumerate(text.split()))
    return SegmentTranscribed(utterance_id, revision, is_final, start_s, start_s + 0.5 * max(1, len(words)), text, 0.9, words, "en", ENGINE)


def diarized(utterance_id: str, start_s: float, *speakers: str, revision: int = 1) -> SegmentDiarized:
    """Each speaker talks for a second."""
    segments = tuple(SpeakerSegment(speaker, start_s + n, start_s + n + 1.0, 0.8) for n, speaker in enumerate(speakers))
    return SegmentDiarized(utterance_id, revision, True, start_s, start_s + len(speakers), segments, ENGINE)


def classified(utterance_id: str, start_s: float, *attributes: Attribute, revision: int = 1) -> SegmentClassified:
    return SegmentClassified(utterance_id, revision, True, start_s, start_s + 1.0, attributes, ENGINE)


def session(session_id: str, opened_at: float = 1_700_000_000.0) -> list[Event]:
    """Two speakers, two utterances, all four stages, in the order one process would see it."""
    said: list[tuple[str, Payload]] = [
        ("denoise", SessionOpened(SessionConfig(language="en", owner="key1"), opened_at)),
        ("denoise", UtteranceStarted("u1", 8_000)),
        ("denoise", UtteranceEnded("u1", 8_000, 40_000, "pause", 21.5)),
        ("transcribe", transcribed("u1", 0.5, "hello there general kenobi", 3)),
        ("diarize", diarized("u1", 0.5, "S1", "S2", revision=2)),
        ("classify", classified("u1", 0.5, Attribute("pitch_hz", 120.5, 0.9, "Hz"), Attribute("gender", "male", 0.7))),
        ("classify.text", classified("u1", 0.5, Attribute("sentiment", "positive", 0.6))),
        ("denoise", UtteranceStarted("u2", 48_000)),
        ("denoise", UtteranceEnded("u2", 48_000, 80_000, "end", 20.0)),
        ("transcribe", transcribed("u2", 3.0, "you are a bold one", 3)),
        ("diarize", diarized("u2", 3.0, "S2")),
        ("classify", classified("u2", 3.0, Attribute("pitch_hz", 210.0, 0.9, "Hz"))),
        ("classify.text", classified("u2", 3.0)),
        ("denoise", StageFinished("denoise", 2, 5.5)),
        ("transcribe", StageFinished("transcribe", 2, 5.4)),
        ("diarize", StageFinished("diarize", 2, 5.4)),
        ("classify", StageFinished("classify", 2, 5.4)),
        ("classify.text", StageFinished("classify.text", 2, 5.4)),
    ]
    return [Event(session_id, payload, producer, number, f"{session_id}-{number}", opened_at) for number, (producer, payload) in enumerate(said, 1)]
