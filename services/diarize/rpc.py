"""The same capability in one call: audio in, speakers out, by the same engine and clustering."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
import numpy as np

from services.diarize.clustering import on_grid
from services.diarize.engine import SpeakerEmbedder
from services.diarize.speakers import Heard, Memory, RulesFor, Speakers
from services.diarize.turns import Span, all_starts, speech_spans, window_at
from voxrelay import codec
from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array, seconds
from voxrelay.calls import MAX_UTTERANCES, abort, samples_of, utterances_of
from voxrelay.errors import Refused
from voxrelay.events import SpeakerSegment
from voxrelay.models.slot import EngineSlot, Loaded
from voxrelay.v1 import services_pb2, services_pb2_grpc

MAX_SPEAKERS = 100
PIECE_SECONDS = 30  # what is speech everywhere is taken as utterances so long
MEMORY = Memory(windows=10_000, utterances=MAX_UTTERANCES)  # more than one call can hold: nothing is settled early
SERVICE = "voxrelay.v1.Diarization"
_SESSION = "rpc"


class DiarizationServicer(services_pb2_grpc.DiarizationServicer):
    """Thread-safe: each call has speakers of its own, on the shared engine."""

    def __init__(self, slot: EngineSlot[SpeakerEmbedder], rules: RulesFor) -> None:
        self._slot, self._rules = slot, rules

    def Diarize(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802  # the name in services.proto
        """The segments of all utterances in order, all evidence weighed at once; without ``utterances`` all audio is speech.

        INVALID_ARGUMENT and RESOURCE_EXHAUSTED say in a sentence what is wrong.
        """
        try:
            samples, utterances = _checked(request)
        except Refused as refused:
            abort(context, refused)
        loaded = self._slot.take(_SESSION)
        try:
            return self._answer(loaded, samples, utterances, request.num_speakers)
        finally:
            self._slot.leave(loaded)

    def _answer(self, loaded: Loaded[SpeakerEmbedder], samples: Float32Array, utterances: Sequence[Span], most: int) -> Any:
        heard = _heard(loaded.engine, samples, utterances)
        speakers = Speakers(self._rules(loaded.engine), MEMORY, loaded.engine.window_samples, loaded.engine.dimensions)
        speakers.hear(heard, most)
        segments = [(one, turn) for one in heard for turn in one.turns(loaded.engine.window_samples)]
        return services_pb2.DiarizeResponse(
            segments=[
                codec.to_message(
                    SpeakerSegment(f"S{turn.label}", seconds(one.start_sample + turn.start), seconds(one.start_sample + turn.end), turn.confidence)
                )
                for one, turn in segments
            ],
            engine=codec.to_message(loaded.identity),
        )


def _heard(embedder: SpeakerEmbedder, samples: Float32Array, utterances: Sequence[Span]) -> list[Heard]:
    """All utterances, with their windows embedded in one call."""
    window, step = embedder.window_samples, embedder.step_samples
    spoken = [samples[start:end] for start, end in utterances]
    starts = [all_starts(one.size, window, step) for one in spoken]
    windows = [window_at(one, start, window) for one, ones in zip(spoken, starts, strict=True) for start in ones]
    vectors = on_grid(embedder.embed(np.stack(windows)))
    heard, at = [], 0
    for number, ((start, end), one, ones) in enumerate(zip(utterances, spoken, starts, strict=True), start=1):
        heard.append(Heard(f"u{number}", start, end, 1, ones, vectors[at : at + len(ones)], speech_spans(one)))
        at += len(ones)
    return heard


def _checked(request: Any) -> tuple[Float32Array, list[Span]]:
    if request.num_speakers > MAX_SPEAKERS:
        raise Refused("INVALID_ARGUMENT", f"num_speakers may be {MAX_SPEAKERS} at most; 0 means unknown.")
    samples = samples_of(request.audio)
    if not request.utterances:
        return samples, _pieces(samples.size)
    return samples, [(one.start_sample, one.end_sample) for one in utterances_of(request.utterances, samples.size)]


def _pieces(samples: int) -> list[Span]:
    step = PIECE_SECONDS * SAMPLE_RATE_HZ
    return [(start, min(start + step, samples)) for start in range(0, samples, step)]


def add(server: Any, slot: EngineSlot[SpeakerEmbedder], rules: RulesFor) -> list[str]:
    """Registers the servicer; the full names of the services, for reflection."""
    services_pb2_grpc.add_DiarizationServicer_to_server(DiarizationServicer(slot, rules), server)  # type: ignore[no-untyped-call]  # generated
    return [SERVICE]
