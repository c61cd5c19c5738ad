"""One utterance's words, speakers and attributes put together: the same pure function for live results and for stored ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from voxrelay.events import Attribute, SegmentClassified, SegmentDiarized, SegmentTranscribed, SpeakerSegment, Word


@dataclass(frozen=True, slots=True)
class JoinedWord:
    text: str
    start_s: float
    end_s: float
    confidence: float
    speaker: str  # empty while unknown


@dataclass(frozen=True, slots=True)
class JoinedUtterance:
    """Times in seconds from the session's start. ``speaker`` is who speaks most of it; empty while unknown."""

    utterance_id: str
    start_s: float
    end_s: float
    text: str
    confidence: float
    language: str
    speaker: str
    words: tuple[JoinedWord, ...]
    segments: tuple[SpeakerSegment, ...]
    attributes: tuple[Attribute, ...]


def join(transcribed: SegmentTranscribed | None, diarized: SegmentDiarized | None, classified: Iterable[SegmentClassified] = ()) -> JoinedUtterance:
    """What is known of one utterance. Each argument is the newest revision of its kind; at least one must be there.

    A word belongs to the speaker whose segments cover most of it; a word that none covers, to the nearest segment.
    Attributes are ordered by name. Raises ``ValueError`` when nothing is known at all.
    """
    classified = tuple(classified)
    known: list[SegmentTranscribed | SegmentDiarized | SegmentClassified] = [part for part in (transcribed, diarized) if part is not None]
    known.extend(classified)
    if not known:
        raise ValueError("nothing is known of this utterance")
    segments = diarized.segments if diarized is not None else ()
    words = tuple(
        JoinedWord(word.text, word.start_s, word.end_s, word.confidence, _speaker_of(word, segments))
        for word in (transcribed.words if transcribed is not None else ())
    )
    attributes = tuple(sorted((a for part in classified for a in part.attributes), key=lambda attribute: attribute.name))
    return JoinedUtterance(
        utterance_id=known[0].utterance_id,
        start_s=known[0].start_s,
        end_s=known[0].end_s,
        text=transcribed.text if transcribed is not None else "",
        confidence=transcribed.confidence if transcribed is not None else 0.0,
        language=transcribed.language if transcribed is not None else "",
        speaker=_main_speaker(words, segments),
        words=words,
        segments=segments,
        attributes=attributes,
    )


def _overlap_s(word: Word, segment: SpeakerSegment) -> float:
    return min(word.end_s, segment.end_s) - max(word.start_s, segment.start_s)


def _speaker_of(word: Word, segments: tuple[SpeakerSegment, ...]) -> str:
    if not segments:
        return ""
    covered_s: dict[str, float] = defaultdict(float)
    for segment in segments:
        covered_s[segment.speaker] += max(0.0, _overlap_s(word, segment))
    speaker, most_s = max(covered_s.items(), key=lambda item: item[1])
    if most_s > 0.0:
        return speaker
    return max(segments, key=lambda segment: _overlap_s(word, segment)).speaker  # the least negative overlap: the nearest


def _main_speaker(words: tuple[JoinedWord, ...], segments: tuple[SpeakerSegment, ...]) -> str:
    spoken_s: dict[str, float] = defaultdict(float)
    if words:
        for word in words:
            spoken_s[word.speaker] += word.end_s - word.start_s
    else:
        for segment in segments:
            spoken_s[segment.speaker] += segment.end_s - segment.start_s
    return max(spoken_s.items(), key=lambda item: item[1])[0] if spoken_s else ""
