"""Results as JSON: one shape for live results, files, stored sessions and exports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from voxrelay.events import Attribute
from voxrelay.join import JoinedUtterance, JoinedWord

if TYPE_CHECKING:
    from voxrelay.storage.usage import UsageOfDay
    from voxrelay.storage.views import Hit, SessionSummary, SpeakerTotal, StoredSession, StoredUtterance


def attributes_json(attributes: tuple[Attribute, ...]) -> dict[str, dict[str, Any]]:
    """By name: value, confidence and, for numbers, unit."""
    return {a.name: {"value": a.value, "confidence": round(a.confidence, 3)} | ({"unit": a.unit} if a.unit else {}) for a in attributes}


def word_json(word: JoinedWord) -> dict[str, Any]:
    return {
        "word": word.text,
        "start": round(word.start_s, 3),
        "end": round(word.end_s, 3),
        "confidence": round(word.confidence, 3),
        "speaker": word.speaker or None,
    }


def utterance_json(utterance: JoinedUtterance) -> dict[str, Any]:
    return {
        "utterance_id": utterance.utterance_id,
        "transcript": utterance.text,
        "confidence": round(utterance.confidence, 3),
        "start": round(utterance.start_s, 3),
        "end": round(utterance.end_s, 3),
        "duration": round(utterance.end_s - utterance.start_s, 3),
        "words": [word_json(word) for word in utterance.words],
        "speaker": utterance.speaker or None,
        "language": utterance.language or None,
        "attributes": attributes_json(utterance.attributes),
    }


def summary_json(summary: SessionSummary) -> dict[str, Any]:
    return {
        "session_id": summary.session_id,
        "opened_at": summary.opened_at,
        "audio_seconds": summary.audio_seconds,
        "utterances": summary.utterances,
        "speakers": list(summary.speakers),
        "language": summary.language or None,
        "is_complete": summary.is_complete,
    }


def stored_json(stored: StoredUtterance) -> dict[str, Any]:
    return utterance_json(stored.joined) | {"end_reason": stored.end_reason, "snr_db": stored.snr_db, "recording": stored.recording or None}


def session_json(session: StoredSession) -> dict[str, Any]:
    return {"session": summary_json(session.summary), "utterances": [stored_json(stored) for stored in session.utterances]}


def speaker_json(total: SpeakerTotal) -> dict[str, Any]:
    return {"speaker": total.speaker, "spoken_seconds": total.spoken_s, "utterances": total.utterances, "words": total.words}


def usage_json(usage: UsageOfDay) -> dict[str, Any]:
    return {
        "key": usage.owner or None,
        "day": usage.day.isoformat(),
        "sessions": usage.sessions,
        "audio_seconds": round(usage.audio_seconds, 3),
        "syntheses": usage.syntheses,
        "characters": usage.characters,
    }


def hit_json(hit: Hit) -> dict[str, Any]:
    return {"session_id": hit.session_id, "utterance": stored_json(hit.utterance)}
