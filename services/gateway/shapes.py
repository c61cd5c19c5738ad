"""Live results as the native protocol's messages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from voxrelay.events import SegmentTranscribed
from voxrelay.join import JoinedUtterance
from voxrelay.shapes import utterance_json


def rfc3339(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
