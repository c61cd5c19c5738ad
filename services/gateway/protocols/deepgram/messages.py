"""The JSON that live and pre-recorded answers share: words, alternatives, the engine behind them, speakers as numbers."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from services.gateway.shapes import rfc3339
from services.gateway.wording.search import Hit, hits
from services.gateway.wording.wording import Wording, WrittenWord, text_of
from voxrelay.events import Attribute, Engine
from voxrelay.shapes import attributes_json

NAMESPACE = uuid.UUID("6f3d0e0a-5b0b-5f7e-9a57-3a2f6f2f6c11")  # of model ids: an engine has the same everywhere
NO_ENGINE = Engine("voxrelay", version("voxrelay"))  # until one has answered


def model_uuid(engine: Engine) -> str:
    return str(uuid.uuid5(NAMESPACE, f"{engine.name}/{engine.version}/{engine.model_digest}"))


def model_info(engine: Engine) -> dict[str, str]:
    """What really worked, whatever model was asked for."""
    return {"name": engine.name, "version": engine.version, "arch": engine.name}


def speaker_number(speaker: str) -> int | None:
    """``S1`` is 0; None while unknown."""
    digits = speaker.removeprefix("S")
    return int(digits) - 1 if digits.isdigit() else None


def word_json(word: WrittenWord, wording: Wording, *, with_speaker: bool, language: str = "") -> dict[str, Any]:
    """``punctuated_word`` where punctuation was asked for; ``language`` where one is given."""
    fields: dict[str, Any] = {
        "word": word.heard,
        "start": round(word.start_s, 3),
        "end": round(word.end_s, 3),
        "confidence": round(word.confidence, 3),
    }
    if wording.punctuate or wording.smart_format:
        fields["punctuated_word"] = word.written
    number = speaker_number(word.speaker)
    if with_speaker and number is not None:
        fields["speaker"] = number
    if language:
        fields["language"] = language
    return fields


def search_json(words: Sequence[WrittenWord], queries: Sequence[str]) -> list[dict[str, Any]]:
    """Where each query was said in these words, best first."""
    return [{"query": query, "hits": [_hit(hit) for hit in hits(words, query)]} for query in queries]


def _hit(hit: Hit) -> dict[str, Any]:
    return {"confidence": hit.confidence, "start": round(hit.start_s, 3), "end": round(hit.end_s, 3), "snippet": hit.snippet}


def results_json(
    words: Sequence[WrittenWord],
    wording: Wording,
    confidence: float,
    language: str,
    *,
    is_timed: bool,
    with_speaker: bool,
    attributes: tuple[Attribute, ...] | None,
) -> dict[str, Any]:
    """The ``channel`` of a Results message. ``language`` where languages are told; ``attributes`` where the voice is."""
    alternative: dict[str, Any] = {
        "transcript": text_of(words),
        "confidence": round(confidence, 3),
        "words": [word_json(word, wording, with_speaker=with_speaker, language=language) for word in words] if is_timed else [],
    }
    if language:
        alternative["languages"] = [language]
    if attributes is not None:
        alternative["voice"] = attributes_json(attributes)
    return {"alternatives": [alternative]} | ({"search": search_json(words, wording.search)} if wording.search else {})


def metadata_json(
    request_id: str,
    sha256: str,
    created_at: float,
    duration_s: float,
    channels: int,
    engine: Engine,
    tags: Sequence[str],
    extra: dict[str, str],
) -> dict[str, Any]:
    """The Metadata message, last before the end. ``tags`` and ``extra`` where the client gave some."""
    model = model_uuid(engine)
    message = {
        "type": "Metadata",
        "transaction_key": "deprecated",
        "request_id": request_id,
        "sha256": sha256,
        "created": rfc3339(created_at),
        "duration": round(duration_s, 3),
        "channels": channels,
        "models": [model],
        "model_info": {model: model_info(engine)},
    }
    return message | ({"tags": list(tags)} if tags else {}) | ({"extra": extra} if extra else {})
