"""The same capability in one call: audio, words or both in, attributes out, by the same stages and engines."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from typing import Any

import grpc

from services.classify.engine import AcousticClassifier, TextClassifier
from services.classify.stage import LONGEST_SAMPLES, AcousticStage, TextStage
from voxrelay import codec
from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array, pcm_s16le_from_float32
from voxrelay.calls import abort, pcm_of, samples_of
from voxrelay.errors import Refused
from voxrelay.events import (
    AudioDenoised,
    Event,
    Payload,
    SegmentClassified,
    SegmentTranscribed,
    SessionConfig,
    SessionOpened,
    UtteranceEnded,
    UtteranceStarted,
    Word,
)
from voxrelay.models.slot import EngineSlot
from voxrelay.stage import Stage
from voxrelay.v1 import services_pb2, services_pb2_grpc

MAX_TEXT_CHARACTERS = 20_000
MAX_WORDS = 5_000
SERVICE = "voxrelay.v1.Classification"
_SESSION = "rpc"
_UTTERANCE = "u1"


class ClassificationServicer(services_pb2_grpc.ClassificationServicer):
    """Thread-safe: each call runs stages of its own on the shared engines."""

    def __init__(self, acoustic: EngineSlot[AcousticClassifier], text: EngineSlot[TextClassifier]) -> None:
        self._acoustic, self._text = acoustic, text

    def Classify(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802  # the name in services.proto
        """The audio is taken for one utterance; ``words`` without ``text`` are joined to one.

        INVALID_ARGUMENT and RESOURCE_EXHAUSTED say in a sentence what is wrong.
        """
        try:
            samples, transcribed = _checked(request)
        except Refused as refused:
            abort(context, refused)
        results = []
        if samples is not None:
            results += _results(AcousticStage(self._acoustic), _heard(samples))
        if transcribed is not None:
            results += _results(TextStage(self._text), [transcribed])
        return services_pb2.ClassifyResponse(
            attributes=[codec.to_message(attribute) for result in results for attribute in result.attributes],
            engines=[codec.to_message(result.engine) for result in results],
        )


def _checked(request: Any) -> tuple[Float32Array | None, SegmentTranscribed | None]:
    pcm, rate_hz = request.audio.pcm_s16le, request.audio.sample_rate_hz
    samples = None
    if pcm:
        pcm_of(request.audio)
        if len(pcm) / 2 / rate_hz > LONGEST_SAMPLES / SAMPLE_RATE_HZ:
            longest_s = LONGEST_SAMPLES // SAMPLE_RATE_HZ
            raise Refused("INVALID_ARGUMENT", f"The audio is taken for one utterance, at most {longest_s} s long; cut it or send it as a session.")
        samples = samples_of(request.audio)
    if len(request.text) > MAX_TEXT_CHARACTERS or len(request.words) > MAX_WORDS:
        raise Refused("RESOURCE_EXHAUSTED", f"At most {MAX_TEXT_CHARACTERS} characters of text and {MAX_WORDS} words in one call.")
    words = tuple(Word(word.text, word.start_s, word.end_s, word.confidence) for word in request.words)
    last_s = 0.0
    for word in words:
        if not (isfinite(word.end_s) and isfinite(word.confidence) and last_s <= word.start_s <= word.end_s and 0.0 <= word.confidence <= 1.0):
            raise Refused("INVALID_ARGUMENT", "words must be in order of start_s, end after they start and have confidences from 0 to 1.")
        last_s = word.start_s
    text = request.text or " ".join(word.text for word in words)
    if samples is None and not text.strip():
        raise Refused("INVALID_ARGUMENT", "Send audio, text or both.")
    if not text.strip():
        return samples, None
    return samples, SegmentTranscribed(_UTTERANCE, 1, True, 0.0, words[-1].end_s if words else 0.0, text, 1.0, words)


def _heard(samples: Float32Array) -> list[Payload]:
    """A session of one utterance, of all samples."""
    second = SAMPLE_RATE_HZ
    return [
        SessionOpened(SessionConfig(interim_results=False, stages=("classify",))),
        UtteranceStarted(_UTTERANCE, 0),
        *(AudioDenoised(at, pcm_s16le_from_float32(samples[at : at + second]), _UTTERANCE, 1.0) for at in range(0, samples.size, second)),
        UtteranceEnded(_UTTERANCE, 0, samples.size, "end"),
    ]


def _results(stage: Stage, payloads: Iterable[Payload]) -> list[SegmentClassified]:
    try:
        events = stage.process([Event(_SESSION, payload) for payload in payloads])
        return [event.payload for event in events if isinstance(event.payload, SegmentClassified) and event.payload.is_final]
    finally:
        stage.forget(_SESSION)


def add(server: Any, acoustic: EngineSlot[AcousticClassifier], text: EngineSlot[TextClassifier]) -> list[str]:
    """Registers the servicer; the full names of the services, for reflection."""
    servicer = ClassificationServicer(acoustic, text)
    services_pb2_grpc.add_ClassificationServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]  # generated
    return [SERVICE]
