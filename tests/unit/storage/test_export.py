"""A session as SRT, WebVTT, RTTM, text and JSON."""

from __future__ import annotations

import json

from voxrelay.events import SpeakerSegment
from voxrelay.export import FORMATS, as_json, as_rttm, as_srt, as_txt, as_vtt, cues
from voxrelay.join import JoinedUtterance, JoinedWord
from voxrelay.storage.views import SessionSummary, StoredSession, StoredUtterance


def _utterance(name: str, start_s: float, *spoken: tuple[str, str]) -> StoredUtterance:
    words = tuple(JoinedWord(text, start_s + n, start_s + n + 0.5, 0.9, speaker) for n, (speaker, text) in enumerate(spoken))
    segments = tuple(SpeakerSegment(word.speaker, word.start_s, word.end_s, 0.75) for word in words if word.speaker)
    text = " ".join(word.text for word in words)
    speaker = spoken[0][0] if spoken else ""
    return StoredUtterance(JoinedUtterance(name, start_s, start_s + len(words), text, 0.9, "en", speaker, words, segments, ()), "pause", 20.0, "")


def _session(*utterances: StoredUtterance) -> StoredSession:
    return StoredSession(SessionSummary("call", 0.0, 3700.0, len(utterances), ("S1", "S2"), "en", True), utterances)


SESSION = _session(
    _utterance("u1", 0.25, ("S1", "hello"), ("S1", "<there>"), ("S2", "yes")),
    _utterance("u2", 10.0),
    _utterance("u3", 3661.5, ("", "late")),
)


def test_srt() -> None:
    assert as_srt(SESSION) == (
        "1\n00:00:00,250 --> 00:00:01,750\nS1: hello <there>\n\n2\n00:00:02,250 --> 00:00:02,750\nS2: yes\n\n3\n01:01:01,500 --> 01:01:02,000\nlate\n"
    )


def test_vtt_escapes_what_would_be_markup() -> None:
    assert as_vtt(SESSION).startswith("WEBVTT\n\n00:00:00.250 --> 00:00:01.750\n<v S1>hello &lt;there&gt;\n\n")


def test_rttm() -> None:
    assert as_rttm(SESSION).splitlines()[0] == "SPEAKER call 1 0.250 0.500 <NA> <NA> S1 0.750 <NA>"
    assert len(as_rttm(SESSION).splitlines()) == 3


def test_txt() -> None:
    assert as_txt(SESSION) == "[00:00.2] S1: hello <there>\n[00:02.2] S2: yes\n[01:01:01.5] late\n"


def test_json_holds_everything() -> None:
    parsed = json.loads(as_json(SESSION))
    assert [utterance["utterance_id"] for utterance in parsed["utterances"]] == ["u1", "u2", "u3"]
    assert parsed["session"]["session_id"] == "call"


def test_long_speech_is_cut_into_readable_cues() -> None:
    said = [("S1", f"word{n}") for n in range(40)]
    found = list(cues([_utterance("u1", 0.0, *said).joined]))
    assert len(found) > 5
    assert all(cue.end_s - cue.start_s <= 6.0 and len(cue.text) <= 84 for cue in found)
    assert " ".join(cue.text for cue in found) == " ".join(text for _, text in said)


def test_an_empty_session_exports() -> None:
    for export in FORMATS.values():
        assert isinstance(export(_session()), str)
