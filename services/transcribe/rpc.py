"""The same capability in one call: audio in, words out, by the same stage and engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import grpc

from services.transcribe.engine import Transcriber
from services.transcribe.stage import TranscribeStage
from voxrelay import codec
from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array, pcm_s16le_from_float32
from voxrelay.calls import abort, samples_of, utterances_of
from voxrelay.errors import Refused, Unavailable
from voxrelay.events import AudioDenoised, Event, Payload, SegmentTranscribed, SessionConfig, SessionOpened, UtteranceEnded, UtteranceStarted
from voxrelay.models.slot import EngineSlot
from voxrelay.v1 import services_pb2, services_pb2_grpc

MAX_TERMS = 1000
SERVICE = "voxrelay.v1.Transcription"
_SESSION = "rpc"


class TranscriptionServicer(services_pb2_grpc.TranscriptionServicer):
    """Thread-safe: each call runs a stage of its own on the shared engine."""

    def __init__(self, slot: EngineSlot[Transcriber]) -> None:
        self._slot = slot

    def Transcribe(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802  # the name in services.proto
        """One segment an utterance; without ``utterances`` in the request the audio is cut where it is quietest.

        INVALID_ARGUMENT and RESOURCE_EXHAUSTED say in a sentence what is wrong, UNAVAILABLE that trying again may help.
        """
        try:
            samples, utterances = self._checked(request)
        except Refused as refused:
            abort(context, refused)
        config = SessionConfig(
            language=request.language, custom_vocabulary=tuple(request.custom_vocabulary), stages=("transcribe",), interim_results=False
        )
        try:
            results = list(self._run(config, samples, utterances))
        except Unavailable as error:
            context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        return services_pb2.TranscribeResponse(segments=[codec.to_message(result) for result in results])

    def _checked(self, request: Any) -> tuple[Float32Array, list[UtteranceEnded]]:
        samples = samples_of(request.audio)
        if len(request.custom_vocabulary) > MAX_TERMS:
            raise Refused("RESOURCE_EXHAUSTED", f"At most {MAX_TERMS} terms in custom_vocabulary.")
        language = request.language.lower().split("-")[0]
        if language and language not in self._slot.current.languages:
            raise Refused("INVALID_ARGUMENT", f"This engine transcribes {', '.join(self._slot.current.languages)}; leave language empty or say so.")
        if not request.utterances:
            return samples, list(quietest_cuts(samples))
        return samples, utterances_of(request.utterances, samples.size)

    def _run(self, config: SessionConfig, samples: Float32Array, utterances: Sequence[UtteranceEnded]) -> Iterator[SegmentTranscribed]:
        stage = TranscribeStage(self._slot)
        payloads: list[Payload] = [SessionOpened(config)]
        position = 0
        for utterance in utterances:
            between = pcm_s16le_from_float32(samples[position : utterance.start_sample])  # a session's audio has no gaps
            payloads.append(AudioDenoised(position, between))
            payloads.append(UtteranceStarted(utterance.utterance_id, utterance.start_sample))
            pcm = pcm_s16le_from_float32(samples[utterance.start_sample : utterance.end_sample])
            payloads.append(AudioDenoised(utterance.start_sample, pcm, utterance.utterance_id, 1.0))
            payloads.append(utterance)
            position = utterance.end_sample
        try:
            for event in stage.process([Event(_SESSION, payload) for payload in payloads]):
                if isinstance(event.payload, SegmentTranscribed) and event.payload.is_final:
                    yield event.payload
        finally:
            stage.forget(_SESSION)


CUT_SECONDS = (10, 20)  # pieces are so long at least and at most
_HOP_SAMPLES = SAMPLE_RATE_HZ // 10


def quietest_cuts(samples: Float32Array) -> Iterator[UtteranceEnded]:
    """Pieces of 10 to 20 seconds, cut in the middle of the quietest tenth of a second; a recording up to 20 seconds is one piece."""
    shortest, longest = (seconds * SAMPLE_RATE_HZ for seconds in CUT_SECONDS)
    start, number = 0, 1
    while start < samples.size:
        end = samples.size
        if end - start > longest:
            window = samples[start + shortest : start + longest].reshape(-1, _HOP_SAMPLES)
            end = start + shortest + int((window * window).sum(axis=1).argmin()) * _HOP_SAMPLES + _HOP_SAMPLES // 2
        yield UtteranceEnded(f"u{number}", start, end, "length")
        start, number = end, number + 1


def add(server: Any, slot: EngineSlot[Transcriber]) -> list[str]:
    """Registers the servicer; the full names of the services, for reflection."""
    services_pb2_grpc.add_TranscriptionServicer_to_server(TranscriptionServicer(slot), server)  # type: ignore[no-untyped-call]  # generated
    return [SERVICE]
