"""The same capability in one call: audio in, speakers out, by the same stage and engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc

from services.diarize.clustering import ClusterRules
from services.diarize.engine import SpeakerEmbedder
from services.diarize.speakers import Memory
from services.diarize.stage import DiarizeStage
from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array, float32_from_pcm_s16le, pcm_s16le_from_float32
from voxrelay.errors import Refused
from voxrelay.events import AudioDenoised, Event, Payload, SegmentDiarized, SessionConfig, SessionOpened, UtteranceEnded, UtteranceStarted
from voxrelay.resampling import resample
from voxrelay.v1 import events_pb2, services_pb2, services_pb2_grpc

MAX_SECONDS = 600
MAX_UTTERANCE_SECONDS = 60
MAX_UTTERANCES = 3000
MAX_SPEAKERS = 100
RATES_HZ = (8_000, 48_000)
PIECE_SECONDS = 30  # what is said to be speech everywhere is handed to the stage so
MEMORY = Memory(windows=1000, utterances=MAX_UTTERANCES)  # all of ten minutes is thought over, but for overlong lists of short utterances
SERVICE = "voxrelay.v1.Diarization"
_SESSION = "rpc"


class DiarizationServicer(services_pb2_grpc.DiarizationServicer):
    """Thread-safe: each call runs a stage of its own on the shared engine."""

    def __init__(self, embedder: SpeakerEmbedder, rules: ClusterRules) -> None:
        self._embedder, self._rules = embedder, rules

    def Diarize(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802  # the name in services.proto
        """The segments of all utterances in order, as they stand after the last; without ``utterances`` all audio is speech.

        INVALID_ARGUMENT and RESOURCE_EXHAUSTED say in a sentence what is wrong.
        """
        try:
            samples, utterances = _checked(request)
        except Refused as refused:
            context.abort(grpc.StatusCode[refused.code], refused.message)
        config = SessionConfig(num_speakers=request.num_speakers, stages=("diarize",), interim_results=False)
        results = self._run(config, samples, utterances)
        segments = [segment for utterance in utterances for segment in results[utterance.utterance_id].segments]
        engine = self._embedder.engine
        return services_pb2.DiarizeResponse(
            segments=[
                events_pb2.SpeakerSegment(speaker=one.speaker, start_s=one.start_s, end_s=one.end_s, confidence=one.confidence) for one in segments
            ],
            engine=events_pb2.Engine(name=engine.name, version=engine.version, model_digest=engine.model_digest),
        )

    def _run(self, config: SessionConfig, samples: Float32Array, utterances: Sequence[UtteranceEnded]) -> dict[str, SegmentDiarized]:
        """The last revision of each utterance."""
        stage = DiarizeStage(self._embedder, rules=self._rules, memory=MEMORY)
        payloads: list[Payload] = [SessionOpened(config)]
        for utterance in utterances:
            pcm = pcm_s16le_from_float32(samples[utterance.start_sample : utterance.end_sample])
            payloads.append(UtteranceStarted(utterance.utterance_id, utterance.start_sample))
            payloads.append(AudioDenoised(utterance.start_sample, pcm, utterance.utterance_id, 1.0))
            payloads.append(utterance)
        results = {}
        for event in stage.process([Event(_SESSION, payload) for payload in payloads]):
            if isinstance(event.payload, SegmentDiarized):
                results[event.payload.utterance_id] = event.payload
        return results


def _checked(request: Any) -> tuple[Float32Array, list[UtteranceEnded]]:
    rate_hz, pcm = request.audio.sample_rate_hz, request.audio.pcm_s16le
    if not RATES_HZ[0] <= rate_hz <= RATES_HZ[1]:
        raise Refused("INVALID_ARGUMENT", f"audio.sample_rate_hz must be {RATES_HZ[0]} to {RATES_HZ[1]}.")
    if not pcm or len(pcm) % 2:
        raise Refused("INVALID_ARGUMENT", "audio.pcm_s16le must hold a whole number of 16-bit samples, at least one.")
    if len(pcm) / 2 / rate_hz > MAX_SECONDS:
        raise Refused("RESOURCE_EXHAUSTED", f"At most {MAX_SECONDS // 60} minutes of audio in one call; cut it or send it as a session.")
    if len(request.utterances) > MAX_UTTERANCES:
        raise Refused("RESOURCE_EXHAUSTED", f"At most {MAX_UTTERANCES} utterances in one call.")
    if request.num_speakers > MAX_SPEAKERS:
        raise Refused("INVALID_ARGUMENT", f"num_speakers may be {MAX_SPEAKERS} at most; 0 means unknown.")
    samples = resample(float32_from_pcm_s16le(pcm), rate_hz, SAMPLE_RATE_HZ)
    return samples, _given(request.utterances, samples.size) if request.utterances else _pieces(samples.size)


def _given(asked: Sequence[Any], samples: int) -> list[UtteranceEnded]:
    """The caller's utterances, checked: in order, apart from each other, within the audio. They are numbered anew."""
    utterances = []
    last = 0
    for number, one in enumerate(asked, start=1):
        if not last <= one.start_sample < one.end_sample <= samples:
            raise Refused("INVALID_ARGUMENT", "utterances must be in order, not overlap and lie within the audio, in samples at 16 kHz.")
        if one.end_sample - one.start_sample > MAX_UTTERANCE_SECONDS * SAMPLE_RATE_HZ:
            raise Refused("INVALID_ARGUMENT", f"An utterance may last {MAX_UTTERANCE_SECONDS} seconds at most.")
        last = one.end_sample
        utterances.append(UtteranceEnded(f"u{number}", one.start_sample, one.end_sample))
    return utterances


def _pieces(samples: int) -> list[UtteranceEnded]:
    step = PIECE_SECONDS * SAMPLE_RATE_HZ
    return [
        UtteranceEnded(f"u{number}", start, min(start + step, samples), "length") for number, start in enumerate(range(0, samples, step), start=1)
    ]


def add(server: Any, embedder: SpeakerEmbedder, rules: ClusterRules) -> list[str]:
    """Registers the servicer; the full names of the services, for reflection."""
    services_pb2_grpc.add_DiarizationServicer_to_server(DiarizationServicer(embedder, rules), server)  # type: ignore[no-untyped-call]  # generated
    return [SERVICE]
