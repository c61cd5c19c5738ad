"""What SpeechRecognition's messages ask for, and results as its messages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.gateway.requests import parameters
from services.gateway.requests.parameters import Asked
from services.gateway.settings import GatewaySettings
from services.gateway.wording.wording import Wording, WrittenWord, write
from voxrelay import codec
from voxrelay.errors import Refused
from voxrelay.events import SegmentTranscribed, SessionConfig, Word
from voxrelay.join import JoinedUtterance, JoinedWord
from voxrelay.v1 import services_pb2

_ENCODINGS = {
    services_pb2.ENCODING_UNSPECIFIED: "auto",
    services_pb2.LINEAR_PCM: "linear16",
    services_pb2.FLAC: "flac",
    services_pb2.MULAW: "mulaw",
    services_pb2.OGGOPUS: "ogg",
    services_pb2.ALAW: "alaw",
    services_pb2.FLOAT32: "float32",
    services_pb2.WEBMOPUS: "webm",
    services_pb2.MP3: "mp3",
}


class FieldRefused(Refused):
    """``field`` is the path in the message."""

    def __init__(self, field: str, code: str, message: str) -> None:
        super().__init__(code, message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Wishes:
    """A call's configuration: what the session is to do, and how results are written."""

    asked: Asked
    wording: Wording
    has_words: bool


def wishes_of(config: Any, interim_results: bool, settings: GatewaySettings) -> Wishes:
    """Raises ``Refused`` with the field that is wrong."""
    if config.enable_separate_recognition_per_channel:
        field = "enable_separate_recognition_per_channel"
        raise FieldRefused(field, "NOT_SUPPORTED", f"'{field}': channels are mixed to one; open a call for each channel.")
    if config.max_alternatives < 0:
        raise FieldRefused("max_alternatives", "INVALID_PARAMETER", "'max_alternatives' must be 0 or more; one alternative is given.")
    asked = Asked(SessionConfig(interim_results=interim_results))
    for field, name, value in _fields_of(config):
        asked = _applied(asked, field, name, value, settings)
    asked = configured(asked, config.custom_configuration, "custom_configuration", settings)
    wording = Wording(
        punctuate=config.enable_automatic_punctuation, profanity_filter=config.profanity_filter, numerals=not config.verbatim_transcripts
    )
    return Wishes(asked, wording, config.enable_word_time_offsets or config.diarization_config.enable_speaker_diarization)


def configured(asked: Asked, changes: Any, field: str, settings: GatewaySettings) -> Asked:
    """``asked`` with parameters of the native protocol in a map from name to value. Raises ``Refused`` as ``wishes_of``."""
    for name, value in changes.items():
        asked = _applied(asked, f"{field}[{name[:40]}]", name, value, settings)
    return asked


def _fields_of(config: Any) -> Iterator[tuple[str, str, Any]]:
    """The path of each field, the parameter it is, its value as that."""
    diarization, endpointing = config.diarization_config, config.endpointing_config
    yield "encoding", "encoding", _ENCODINGS.get(config.encoding, "unknown")
    if config.sample_rate_hertz:
        yield "sample_rate_hertz", "sample_rate", config.sample_rate_hertz
    if config.audio_channel_count:
        yield "audio_channel_count", "channels", config.audio_channel_count
    yield "language_code", "language", config.language_code
    yield "model", "model", config.model
    yield "speech_contexts", "custom_vocabulary", [*config.custom_vocabulary, *_phrases(config.speech_contexts)]
    yield "diarization_config.enable_speaker_diarization", "diarize", diarization.enable_speaker_diarization
    yield "diarization_config.max_speaker_count", "num_speakers", diarization.max_speaker_count
    yield "enable_attributes", "attributes", config.enable_attributes
    yield "disable_vad", "vad_enabled", not config.disable_vad
    if endpointing.HasField("stop_history"):
        yield "endpointing_config.stop_history", "pause_ms", endpointing.stop_history


def _phrases(contexts: Sequence[Any]) -> Iterator[str]:
    for number, context in enumerate(contexts):
        if not context.boost >= 0:  # a NaN compares false
            field = f"speech_contexts[{number}].boost"
            raise FieldRefused(field, "NOT_SUPPORTED", f"'{field}' must be 0 or more: phrases can be preferred, not avoided.")
        yield from context.phrases


def _applied(asked: Asked, field: str, name: str, value: Any, settings: GatewaySettings) -> Asked:
    try:
        return parameters.apply(asked, {name: value}, settings)
    except Refused as refused:
        raise FieldRefused(field, refused.code, refused.message.replace(f"'{name}'", f"'{field}'")) from None


# --- results ---------------------------------------------------------------------------------------------------------


def final_result(utterance: JoinedUtterance, wishes: Wishes) -> Any:
    return services_pb2.StreamingRecognitionResult(
        alternatives=[_alternative(utterance, wishes)],
        is_final=True,
        stability=1.0,
        channel_tag=1,
        audio_processed=utterance.end_s,
        utterance_id=utterance.utterance_id,
        attributes=[codec.to_message(attribute) for attribute in utterance.attributes],
    )


def file_result(utterance: JoinedUtterance, wishes: Wishes) -> Any:
    return services_pb2.SpeechRecognitionResult(
        alternatives=[_alternative(utterance, wishes)],
        channel_tag=1,
        audio_processed=utterance.end_s,
        utterance_id=utterance.utterance_id,
        attributes=[codec.to_message(attribute) for attribute in utterance.attributes],
    )


def interim_result(result: SegmentTranscribed, wishes: Wishes) -> Any:
    words = tuple(_without_speaker(word) for word in result.words)
    text = " ".join(word.written for word in write(words, wishes.wording, result.language)) if words else result.text
    best = services_pb2.SpeechRecognitionAlternative(transcript=text, confidence=result.confidence, language_code=_languages(result.language))
    return services_pb2.StreamingRecognitionResult(
        alternatives=[best], stability=result.confidence, channel_tag=1, audio_processed=result.end_s, utterance_id=result.utterance_id
    )


def _alternative(utterance: JoinedUtterance, wishes: Wishes) -> Any:
    written = write(utterance.words, wishes.wording, utterance.language)
    return services_pb2.SpeechRecognitionAlternative(
        transcript=" ".join(word.written for word in written) if written else utterance.text,
        confidence=utterance.confidence,
        words=[_word(word, utterance.language) for word in written] if wishes.has_words else [],
        language_code=_languages(utterance.language),
    )


def _word(word: WrittenWord, language: str) -> Any:
    return services_pb2.WordInfo(
        start_time=round(word.start_s * 1000),
        end_time=round(word.end_s * 1000),
        word=word.written,
        confidence=word.confidence,
        speaker_tag=_speaker_tag(word.speaker),
        language_code=language,
        speaker=word.speaker,
    )


def _without_speaker(word: Word) -> JoinedWord:
    return JoinedWord(word.text, word.start_s, word.end_s, word.confidence, "")


def _speaker_tag(speaker: str) -> int:
    digits = speaker.removeprefix("S")
    return int(digits) if digits.isdigit() else 0


def _languages(language: str) -> list[str]:
    return [language] if language else []


def settled(before: Asked, after: Asked) -> Asked:
    """``after``, where it changes nothing that the first audio has fixed. Raises ``Refused`` where it does."""
    fixed = replace(after.config, sample_rate_hz=before.config.sample_rate_hz, channels=before.config.channels, stages=before.config.stages)
    if after.config != fixed or after.encoding != before.encoding:
        raise FieldRefused(
            "runtime_config", "INVALID_PARAMETER", "encoding, sample_rate, channels, diarize and attributes can only be set in streaming_config."
        )
    return after
