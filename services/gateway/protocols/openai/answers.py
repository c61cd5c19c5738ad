"""Finished utterances in OpenAI's formats. Pure."""

from __future__ import annotations

import json
import math
import string
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from services.gateway.files.run import FileResult
from services.gateway.protocols.openai.form import Wishes
from services.gateway.protocols.openai.languages import name_of
from voxrelay.export import srt, turns, vtt
from voxrelay.join import JoinedUtterance, JoinedWord

LEAST_CONFIDENCE = 0.0005  # confidences have three digits: this is what 0 may have been
MEDIA_TYPES = {"text": "text/plain", "srt": "application/x-subrip", "vtt": "text/vtt"}


def text_of(utterances: Iterable[JoinedUtterance]) -> str:
    return " ".join(utterance.text for utterance in utterances)


def usage(audio_seconds: float) -> dict[str, Any]:
    return {"type": "duration", "seconds": round(audio_seconds, 3)}


def logprobs(words: Sequence[JoinedWord], *, is_first: bool = True) -> list[dict[str, Any]]:
    """A token is a word here, with the blank before it: its log probability is that of the engine's confidence in the word."""
    found = []
    for index, word in enumerate(words):
        token = word.text if is_first and index == 0 else f" {word.text}"
        found.append({"token": token, "bytes": list(token.encode()), "logprob": _log(word.confidence)})
    return found


def _log(confidence: float) -> float:
    return round(math.log(min(1.0, max(confidence, LEAST_CONFIDENCE))), 4)


UNKNOWN = "unknown"


class Letters:
    """Speakers as A, B, …, Z, AA, … in the order they are first heard; ``unknown`` where nobody was told apart."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}

    def of(self, speaker: str) -> str:
        return self._given.setdefault(speaker, self._letter(len(self._given))) if speaker else UNKNOWN

    def _letter(self, index: int) -> str:
        letters = string.ascii_uppercase
        return letters[index] if index < len(letters) else self._letter(index // len(letters) - 1) + letters[index % len(letters)]


def diarized_segments(utterance: JoinedUtterance, letters: Letters, first: int) -> Iterator[dict[str, Any]]:
    """One for each speaker's stretch of the utterance; numbered from ``first``."""
    for number, (start_s, end_s, speaker, words) in enumerate(turns(utterance), start=first):
        yield {
            "type": "transcript.text.segment",
            "id": f"seg_{number}",
            "start": round(start_s, 3),
            "end": round(end_s, 3),
            "text": " ".join(word.text for word in words) if words else utterance.text,
            "speaker": letters.of(speaker),
        }


def languages(utterances: Iterable[JoinedUtterance]) -> list[dict[str, str]]:
    return [{"code": code} for code in dict.fromkeys(utterance.language for utterance in utterances) if code]


def body(result: FileResult, wishes: Wishes) -> str:
    """The whole answer in the format asked for."""
    utterances, text = result.utterances, text_of(result.utterances)
    match wishes.response_format:
        case "text":
            return text + "\n"
        case "srt":
            return srt(utterances)
        case "vtt":
            return vtt(utterances)
        case "verbose_json":
            return json.dumps(_verbose(result, text, wishes), ensure_ascii=False)
        case "diarized_json":
            return json.dumps(_diarized(result, text), ensure_ascii=False)
    answer: dict[str, Any] = {"text": text, "languages": languages(utterances), "usage": usage(result.audio_seconds)}
    if wishes.wants_logprobs:
        answer["logprobs"] = logprobs([word for utterance in utterances for word in utterance.words])
    return json.dumps(answer, ensure_ascii=False)


def _verbose(result: FileResult, text: str, wishes: Wishes) -> dict[str, Any]:
    spoken_s: dict[str, float] = defaultdict(float)
    for utterance in result.utterances:
        spoken_s[utterance.language] += utterance.end_s - utterance.start_s
    language = max(spoken_s, key=lambda tag: spoken_s[tag], default=wishes.asked.config.language)
    answer: dict[str, Any] = {"task": "transcribe", "language": name_of(language), "duration": round(result.audio_seconds, 3), "text": text}
    if "segment" in wishes.granularities:
        answer["segments"] = [_segment(index, utterance) for index, utterance in enumerate(result.utterances)]
    if "word" in wishes.granularities:
        words = [word for utterance in result.utterances for word in utterance.words]
        answer["words"] = [{"word": word.text, "start": round(word.start_s, 3), "end": round(word.end_s, 3)} for word in words]
    return answer | {"usage": usage(result.audio_seconds)}


def _segment(index: int, utterance: JoinedUtterance) -> dict[str, Any]:
    """An utterance. What only Whisper has is at its neutral value: no tokens, temperature 0, no speech unlikely since words were heard."""
    confidences = [word.confidence for word in utterance.words] or [utterance.confidence]
    data = utterance.text.encode()
    return {
        "id": index,
        "seek": round(utterance.start_s * 100),
        "start": round(utterance.start_s, 3),
        "end": round(utterance.end_s, 3),
        "text": utterance.text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": round(sum(_log(confidence) for confidence in confidences) / len(confidences), 4),
        "compression_ratio": round(len(data) / len(zlib.compress(data)), 4),
        "no_speech_prob": 0.0,
    }


def _diarized(result: FileResult, text: str) -> dict[str, Any]:
    letters = Letters()
    segments: list[dict[str, Any]] = []
    for utterance in result.utterances:
        segments.extend(diarized_segments(utterance, letters, len(segments) + 1))
    return {
        "task": "transcribe",
        "duration": round(result.audio_seconds, 3),
        "text": text,
        "segments": segments,
        "usage": usage(result.audio_seconds),
    }


class StreamedText:
    """The events of a stream, utterance by utterance: the deltas together are the text of ``done``."""

    def __init__(self, wishes: Wishes) -> None:
        self._wishes = wishes
        self._letters = Letters()
        self._segments = 0
        self._parts: list[str] = []
        self._logprobs: list[dict[str, Any]] = []

    def take(self, utterance: JoinedUtterance) -> Iterator[dict[str, Any]]:
        if self._wishes.response_format != "diarized_json":
            yield self._delta(utterance.text, utterance.words)
            return
        for segment in diarized_segments(utterance, self._letters, self._segments + 1):
            self._segments += 1
            yield self._delta(segment["text"]) | {"segment_id": segment["id"]}
            yield segment

    def done(self) -> dict[str, Any]:
        """Without usage: the only form it has here counts tokens, and there are none."""
        event: dict[str, Any] = {"type": "transcript.text.done", "text": "".join(self._parts)}
        return event | ({"logprobs": self._logprobs} if self._wishes.wants_logprobs else {})

    def _delta(self, text: str, words: Sequence[JoinedWord] = ()) -> dict[str, Any]:
        is_first = not self._parts
        self._parts.append(text if is_first else f" {text}")
        event: dict[str, Any] = {"type": "transcript.text.delta", "delta": self._parts[-1]}
        if self._wishes.wants_logprobs:
            event["logprobs"] = logprobs(words, is_first=is_first)
            self._logprobs += event["logprobs"]
        return event
