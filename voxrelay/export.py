"""A session as text: JSON, SRT, WebVTT, RTTM and plain. Pure functions on what the views give."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from voxrelay.join import JoinedUtterance, JoinedWord
from voxrelay.shapes import session_json
from voxrelay.storage.views import StoredSession

LONGEST_CUE_S = 6.0
LONGEST_CUE_CHARACTERS = 84  # two lines of 42, the usual limit of subtitles


@dataclass(frozen=True, slots=True)
class Cue:
    """A stretch of one speaker's words that fits a subtitle; times in seconds."""

    start_s: float
    end_s: float
    speaker: str
    text: str


def as_json(session: StoredSession) -> str:
    return json.dumps(session_json(session), ensure_ascii=False, indent=1) + "\n"


def srt(utterances: Iterable[JoinedUtterance]) -> str:
    """SubRip: the speaker, where one is known, stands before the text."""
    blocks = (
        f"{number}\n{_clock(cue.start_s, ',')} --> {_clock(cue.end_s, ',')}\n{_said(cue)}\n" for number, cue in enumerate(cues(utterances), start=1)
    )
    return "\n".join(blocks)


def vtt(utterances: Iterable[JoinedUtterance]) -> str:
    """WebVTT (W3C): the speaker, where one is known, is a voice span."""
    blocks = [f"{_clock(cue.start_s, '.')} --> {_clock(cue.end_s, '.')}\n{_voice(cue)}\n" for cue in cues(utterances)]
    return "\n".join(["WEBVTT\n", *blocks])


def as_srt(session: StoredSession) -> str:
    return srt(stored.joined for stored in session.utterances)


def as_vtt(session: StoredSession) -> str:
    return vtt(stored.joined for stored in session.utterances)


def as_rttm(session: StoredSession) -> str:
    """Rich Transcription Time Marked (NIST RT-09): a SPEAKER line for each segment."""
    name = session.summary.session_id
    segments = [segment for stored in session.utterances for segment in stored.joined.segments]
    return "".join(
        f"SPEAKER {name} 1 {segment.start_s:.3f} {segment.end_s - segment.start_s:.3f} <NA> <NA> {segment.speaker} {segment.confidence:.3f} <NA>\n"
        for segment in segments
    )


def as_txt(session: StoredSession) -> str:
    """One line a turn: ``[00:01.2] S1: …``."""
    lines = []
    for stored in session.utterances:
        for start_s, _, speaker, words in turns(stored.joined):
            said = " ".join(word.text for word in words) if words else stored.joined.text
            lines.append(f"[{_short_clock(start_s)}] {speaker + ': ' if speaker else ''}{said}\n")
    return "".join(lines)


FORMATS: dict[str, Callable[[StoredSession], str]] = {"json": as_json, "srt": as_srt, "vtt": as_vtt, "rttm": as_rttm, "txt": as_txt}


def turns(utterance: JoinedUtterance) -> Iterator[tuple[float, float, str, list[JoinedWord]]]:
    """Start, end, speaker and words of each speaker's stretch; nothing for an utterance without text."""
    if not utterance.text:
        return
    if not utterance.words:
        yield utterance.start_s, utterance.end_s, utterance.speaker, []
        return
    stretch: list[JoinedWord] = []
    for word in utterance.words:
        if stretch and stretch[-1].speaker != word.speaker:
            yield stretch[0].start_s, stretch[-1].end_s, stretch[0].speaker, stretch
            stretch = []
        stretch.append(word)
    yield stretch[0].start_s, stretch[-1].end_s, stretch[0].speaker, stretch


def cues(utterances: Iterable[JoinedUtterance]) -> Iterator[Cue]:
    for utterance in utterances:
        for start_s, end_s, speaker, words in turns(utterance):
            if not words:
                yield Cue(start_s, end_s, speaker, utterance.text)
                continue
            held: list[JoinedWord] = []
            for word in words:
                if held and (
                    word.end_s - held[0].start_s > LONGEST_CUE_S or sum(len(w.text) + 1 for w in held) + len(word.text) > LONGEST_CUE_CHARACTERS
                ):
                    yield _cue(held)
                    held = []
                held.append(word)
            yield _cue(held)


def _cue(words: list[JoinedWord]) -> Cue:
    return Cue(words[0].start_s, words[-1].end_s, words[0].speaker, " ".join(word.text for word in words))


def _said(cue: Cue) -> str:
    return f"{cue.speaker}: {cue.text}" if cue.speaker else cue.text


def _voice(cue: Cue) -> str:
    said = cue.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"<v {cue.speaker}>{said}" if cue.speaker else said


def _short_clock(at_s: float) -> str:
    """02:03.4, and 01:02:03.4 from the first hour on."""
    shown = _clock(at_s, ".")[:-2]
    return shown if at_s >= 3600 else shown[3:]


def _clock(at_s: float, point: str) -> str:
    """01:02:03.456"""
    milliseconds = round(at_s * 1000)
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{point}{milliseconds:03d}"
