"""The answer to a file: metadata, channels, words, paragraphs, utterances, search, sentiment. Pure, and slow for a long file: call it on a thread."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from services.gateway.files.run import FileResult
from services.gateway.protocols.deepgram.file_parameters import Recorded
from services.gateway.protocols.deepgram.messages import model_info, model_uuid, speaker_number, word_json
from services.gateway.shapes import rfc3339
from services.gateway.wording.grouping import Group, Paragraph, paragraphs, utterances
from services.gateway.wording.search import Hit, hits
from services.gateway.wording.wording import WrittenWord, text_of, write
from voxrelay.events import Engine
from voxrelay.join import JoinedUtterance
from voxrelay.shapes import attributes_json

NEUTRAL = 1 / 3  # a sentiment score within this of zero is called neutral, as their answers do


def answer(results: Sequence[FileResult], wanted: Recorded, request_id: str, sha256: str, created_at: float, fallback: Engine) -> dict[str, Any]:
    """``results`` are one a channel. ``fallback`` is the engine in use, named where nothing was said in the whole file."""
    engine = next((result.engine for result in results if result.engine.name), fallback)
    written = [[_written(utterance, wanted) for utterance in result.utterances] for result in results]
    model = model_uuid(engine)
    metadata: dict[str, Any] = {
        "transaction_key": "deprecated",
        "request_id": request_id,
        "sha256": sha256,
        "created": rfc3339(created_at),
        "duration": round(max(result.audio_seconds for result in results), 3),
        "channels": len(results),
        "models": [model],
        "model_info": {model: model_info(engine)},
    }
    channels = [_channel(result, words, wanted) for result, words in zip(results, written, strict=True)]
    answered: dict[str, Any] = {"channels": channels}
    if wanted.utterance_pause_s is not None:
        answered["utterances"] = _utterances(written, wanted, wanted.utterance_pause_s)
    if wanted.has_sentiment:
        answered["sentiments"] = _sentiments(results, written)
        metadata["sentiment_info"] = {"model_uuid": model, "input_tokens": 0, "output_tokens": 0}
    if wanted.tags:
        metadata["tags"] = list(wanted.tags)
    if wanted.extra:
        metadata["extra"] = wanted.extra
    return {"metadata": metadata, "results": answered}


def _written(utterance: JoinedUtterance, wanted: Recorded) -> tuple[WrittenWord, ...]:
    return write(utterance.words, wanted.wording, utterance.language)


def _channel(result: FileResult, by_utterance: Sequence[Sequence[WrittenWord]], wanted: Recorded) -> dict[str, Any]:
    words = [word for utterance in by_utterance for word in utterance]
    alternative: dict[str, Any] = {
        "transcript": text_of(words),
        "confidence": round(_mean([word.confidence for word in words]), 3),
        "words": _words(words, wanted, result.utterances),
    }
    if wanted.has_paragraphs:
        alternative["paragraphs"] = _paragraphs(paragraphs(words), wanted)
    if wanted.has_voice:
        alternative["voice"] = [
            {"start": round(utterance.start_s, 3), "end": round(utterance.end_s, 3), "attributes": attributes_json(utterance.attributes)}
            for utterance in result.utterances
        ]
    channel: dict[str, Any] = {"alternatives": [alternative]}
    if wanted.wording.search:
        channel["search"] = [{"query": query, "hits": [_hit(hit) for hit in hits(words, query)]} for query in wanted.wording.search]
    if wanted.has_language:
        channel |= _language(result.utterances)
    return channel


def _words(words: Sequence[WrittenWord], wanted: Recorded, heard: Sequence[JoinedUtterance]) -> list[dict[str, Any]]:
    """With diarization each word says how sure its speaker is: as sure as the segment it begins in."""
    shown = [word_json(word, wanted.wording, with_speaker=wanted.has_speakers) for word in words]
    if wanted.has_speakers:
        segments = [segment for utterance in heard for segment in utterance.segments]
        at = 0
        for word, fields in zip(words, shown, strict=True):
            while at + 1 < len(segments) and segments[at].end_s <= word.start_s:
                at += 1
            if "speaker" in fields and segments and segments[at].speaker == word.speaker:
                fields["speaker_confidence"] = round(segments[at].confidence, 3)
    return shown


def _paragraphs(found: Sequence[Paragraph], wanted: Recorded) -> dict[str, Any]:
    shown = []
    texts = []
    for paragraph in found:
        sentences = [{"text": one.text, "start": round(one.start_s, 3), "end": round(one.end_s, 3)} for one in paragraph.sentences]
        number = speaker_number(paragraph.words[0].speaker) if wanted.has_speakers else None
        speaker = {"speaker": number} if number is not None else {}
        times = {"start": sentences[0]["start"], "end": sentences[-1]["end"]}
        shown.append({"sentences": sentences} | speaker | {"num_words": len(paragraph.words)} | times)
        texts.append((f"Speaker {number}: " if number is not None else "") + text_of(paragraph.words))
    return {"transcript": "\n\n".join(texts), "paragraphs": shown}


def _utterances(written: Sequence[Sequence[Sequence[WrittenWord]]], wanted: Recorded, pause_s: float) -> list[dict[str, Any]]:
    """Of all channels, by when they begin."""
    found = [
        (group, channel)
        for channel, by_utterance in enumerate(written)
        for group in utterances([word for words in by_utterance for word in words], pause_s)
    ]
    return [_utterance(group, channel, wanted) for group, channel in sorted(found, key=lambda one: one[0].start_s)]


def _utterance(group: Group, channel: int, wanted: Recorded) -> dict[str, Any]:
    number = speaker_number(group.speaker) if wanted.has_speakers else None
    return {
        "start": round(group.start_s, 3),
        "end": round(group.end_s, 3),
        "confidence": round(group.confidence, 3),
        "channel": channel,
        "transcript": group.text,
        "words": [word_json(word, wanted.wording, with_speaker=wanted.has_speakers) for word in group.words],
        **({"speaker": number} if number is not None else {}),
        "id": str(uuid.uuid4()),
    }


def _hit(hit: Hit) -> dict[str, Any]:
    return {"confidence": hit.confidence, "start": round(hit.start_s, 3), "end": round(hit.end_s, 3), "snippet": hit.snippet}


def _language(heard: Sequence[JoinedUtterance]) -> dict[str, Any]:
    """The language of most words; how sure comes from the text's own attribute where there is one."""
    counts: dict[str, int] = {}
    for utterance in heard:
        counts[utterance.language] = counts.get(utterance.language, 0) + len(utterance.words)
    counts.pop("", None)
    if not counts:
        return {}
    language = max(counts, key=lambda tag: counts[tag])
    said = [a.confidence for utterance in heard for a in utterance.attributes if a.name == "language" and a.value == language]
    return {"detected_language": language} | ({"language_confidence": round(_mean(said), 3)} if said else {})


def _sentiments(results: Sequence[FileResult], written: Sequence[Sequence[Sequence[WrittenWord]]]) -> dict[str, Any]:
    """A segment for each utterance of which the classifier said something; words are counted within the channel."""
    segments = []
    scores: list[float] = []
    for result, by_utterance in zip(results, written, strict=True):
        at = 0
        for utterance, words in zip(result.utterances, by_utterance, strict=True):
            attributes = {attribute.name: attribute.value for attribute in utterance.attributes}
            if words and "sentiment" in attributes:
                score = float(attributes.get("sentiment_score", 0.0))
                scores.append(score)
                segments.append(
                    {
                        "text": text_of(words),
                        "start_word": at,
                        "end_word": at + len(words) - 1,
                        "sentiment": attributes["sentiment"],
                        "sentiment_score": round(score, 3),
                    }
                )
            at += len(words)
    average = _mean(scores)
    named = "neutral" if abs(average) < NEUTRAL else "positive" if average > 0 else "negative"
    return {"segments": segments, "average": {"sentiment": named, "sentiment_score": round(average, 3)}}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
