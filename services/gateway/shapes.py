"""A joined utterance as the native protocol's JSON; files and stored sessions answer in the same shape."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from voxrelay.events import Attribute, SegmentTranscribed
from voxrelay.join import JoinedUtterance


def rfc3339(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def attributes_json(attributes: tuple[Attribute, ...]) -> dict[str, dict[str, Any]]:
    """By name: value, confidence and, for numbers, unit."""
    return {a.name: {"value": a.value, "confidence": round(a.confidence, 3)} | ({"unit": a.unit} if a.unit else {}) for a in attributes}


def utterance_json(utterance: JoinedUtterance) -> dict[str, Any]:
    words = [
        {"word": w.text, "start": round(w.start_s, 3), "end": round(w.end_s, 3), "confidence": round(w.confidence, 3), "speaker": w.speaker or None}
        for w in utterance.words
    ]
    return {
        "utterance_id": utterance.utterance_id,
        "transcript": utterance.text,
        "confidence": round(utterance.confidence, 3),
        "start": round(utterance.start_s, 3),
        "end": round(utterance.end_s, 3),
        "duration": round(utterance.end_s - utterance.start_s, 3),
        "words": words,
        "speaker": utterance.speaker or None,
        "language": utterance.language or None,
        "attributes": attributes_json(utterance.attributes),
    }


def interim_json(result: SegmentTranscribed, now: float) -> dict[str, Any]:
    return {
        "type": "interim",
        "utterance_id": result.utterance_id,
        "transcript": result.text,
        "confidence": round(result.confidence, 3),
        "start": round(result.start_s, 3),
        "duration": round(result.end_s - result.start_s, 3),
        "is_final": False,
        "timestamp": rfc3339(now),
    }


def final_json(utterance: JoinedUtterance, now: float) -> dict[str, Any]:
    return {"type": "final", "is_final": True, "timestamp": rfc3339(now)} | utterance_json(utterance)
