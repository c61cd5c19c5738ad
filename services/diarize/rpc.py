"""The same capability in one call: audio in, speakers out, by the same engine and clustering."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
import numpy as np

from services.diarize.clustering import ClusterRules, on_grid
from services.diarize.engine import SpeakerEmbedder
from services.diarize.speakers import Heard, Memory, Speakers
from services.diarize.turns import Span, all_starts, speech_spans, window_at
from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array, float32_from_pcm_s16le, seconds
from voxrelay.errors import Refused
from voxrelay.resampling import resample
from voxrelay.v1 import events_pb2, services_pb2, services_pb2_grpc

MAX_SECONDS = 600
MAX_UTTERANCE_SECONDS = 60
MAX_UTTERANCES = 1000
MAX_SPEAKERS = 100
RATES_HZ = (8_000, 48_000)
PIECE_SECONDS = 30  # what is speech everywhere is taken as utterances so long
MEMORY = Memory(windows=10_000, utterances=MAX_UTTERANCES)  # more than one call can hold: nothing is settled early
SERVICE = "voxrelay.v1.Diarization"


class DiarizationServicer(services_pb2_grpc.DiarizationServicer):
    """Thread-safe: each call has speakers of its own, on the shared engine."""

    def __init__(self, embedder: SpeakerEmbedder, rules: ClusterRules) -> None:
        self._embedder, self._rules = embedder, rules

    def Diarize(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802  # the name in services.proto
        """The segments of all utterances in order, all evidence weighed at once; without ``utterances`` all audio is speech.

        INVALID_ARGUMENT and RESOURCE_EXHAUSTED say in a sentence what is wrong.
        """
        try:
            samples, utterances = _checked(request)
        except Refused as refused:
            context.abort(grpc.StatusCode[refused.code], refused.message)
        heard = self._heard(samples, utterances)
        speakers = Speakers(self._rules, MEMORY, self._embedder.window_samples, self._embedder.dimensions)
        speakers.hear(heard, request.num_speakers)
        segments = [(one, turn) for one in heard for turn in one.turns(self._embedder.window_samples)]
        engine = self._embedder.engine
        return services_pb2.DiarizeResponse(
            segments=[
                events_pb2.SpeakerSegment(
                    speaker=f"S{turn.label}",
                    start_s=seconds(one.start_sample + turn.start),
                    end_s=seconds(one.start_sample + turn.end),
                    confidence=turn.confidence,
                )
                for one, turn in segments
            ],
            engine=events_pb2.Engine(name=engine.name, version=engine.version, model_digest=engine.model_digest),
        )

    def _heard(self, samples: Float32Array, utterances: Sequence[Span]) -> list[Heard]:
        """All utterances, with their windows embedded in one call."""
        window, step = self._embedder.window_samples, self._embedder.step_samples
        spoken = [samples[start:end] for start, end in utterances]
        starts = [all_starts(one.size, window, step) for one in spoken]
        windows = [window_at(one, start, window) for one, ones in zip(spoken, starts, strict=True) for start in ones]
        vectors = on_grid(self._embedder.embed(np.stack(windows)))
        heard, at = [], 0
        for number, ((start, end), one, ones) in enumerate(zip(utterances, spoken, starts, strict=True), start=1):
            heard.append(Heard(f"u{number}", start, end, 1, ones, vectors[at : at + len(ones)], speech_spans(one)))
            at += len(ones)
        return heard


def _checked(request: Any) -> tuple[Float32Array, list[Span]]:
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


def _given(asked: Sequence[Any], samples: int) -> list[Span]:
    """The caller's utterances, checked: in order, apart from each other, within the audio."""
    utterances = []
    last = 0
    for one in asked:
        if not last <= one.start_sample < one.end_sample <= samples:
            raise Refused("INVALID_ARGUMENT", "utterances must be in order, not overlap and lie within the audio, in samples at 16 kHz.")
        if one.end_sample - one.start_sample > MAX_UTTERANCE_SECONDS * SAMPLE_RATE_HZ:
            raise Refused("INVALID_ARGUMENT", f"An utterance may last {MAX_UTTERANCE_SECONDS} seconds at most.")
        last = one.end_sample
        utterances.append((one.start_sample, one.end_sample))
    return utterances


def _pieces(samples: int) -> list[Span]:
    step = PIECE_SECONDS * SAMPLE_RATE_HZ
    return [(start, min(start + step, samples)) for start in range(0, samples, step)]


def add(server: Any, embedder: SpeakerEmbedder, rules: ClusterRules) -> list[str]:
    """Registers the servicer; the full names of the services, for reflection."""
    services_pb2_grpc.add_DiarizationServicer_to_server(DiarizationServicer(embedder, rules), server)  # type: ignore[no-untyped-call]  # generated
    return [SERVICE]
