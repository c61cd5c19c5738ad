"""The same capability in one call: text in, audio streamed out, from the same engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc

from services.synth.engine import Synthesizer
from services.synth.stage import SynthStage
from voxrelay import codec
from voxrelay.errors import Unavailable
from voxrelay.events import Event, SynthesisProduced, SynthesisRefused, SynthesisRequested
from voxrelay.models.slot import EngineSlot
from voxrelay.v1 import services_pb2, services_pb2_grpc

MAX_CHARACTERS = 20_000
SERVICE = "voxrelay.v1.Synthesis"
_SESSION = "rpc"
_STATUSES = {"TEXT_TOO_LONG": grpc.StatusCode.RESOURCE_EXHAUSTED}


class SynthesisServicer(services_pb2_grpc.SynthesisServicer):
    """Thread-safe: each call runs a stage of its own on the shared engine."""

    def __init__(self, slot: EngineSlot[Synthesizer]) -> None:
        self._slot = slot

    def Synthesize(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: N802  # the name in services.proto
        """INVALID_ARGUMENT and RESOURCE_EXHAUSTED say in a sentence what is wrong, UNAVAILABLE that trying again may help."""
        if not request.text.strip():
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "text must say something.")
        asked = SynthesisRequested(request.text, request.voice, request.language or "en", request.speed or 1.0, request.sample_rate_hz)
        try:
            for event in SynthStage(self._slot, max_characters=MAX_CHARACTERS).process([Event(_SESSION, asked)]):
                if isinstance(event.payload, SynthesisRefused):
                    context.abort(_STATUSES.get(event.payload.code, grpc.StatusCode.INVALID_ARGUMENT), event.payload.message)
                elif isinstance(event.payload, SynthesisProduced) and event.payload.pcm_s16le:
                    yield _message(event.payload)
        except Unavailable as error:
            context.abort(grpc.StatusCode.UNAVAILABLE, str(error))

    def ListVoices(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802, ARG002  # as generated
        """All voices, or those of a language."""
        wanted = request.language.lower()
        voices = [voice for voice in self._slot.current.voices() if voice.language == wanted or voice.language.startswith(f"{wanted}-") or not wanted]
        return services_pb2.ListVoicesResponse(
            voices=[services_pb2.Voice(name=voice.name, language=voice.language, gender=voice.gender) for voice in voices]
        )


def _message(piece: SynthesisProduced) -> Any:
    words = [codec.to_message(word) for word in piece.words]
    return services_pb2.SynthesizeResponse(pcm_s16le=piece.pcm_s16le, sample_rate_hz=piece.sample_rate_hz, words=words)


def add(server: Any, slot: EngineSlot[Synthesizer]) -> list[str]:
    """Registers the servicer; the full names of the services, for reflection."""
    services_pb2_grpc.add_SynthesisServicer_to_server(SynthesisServicer(slot), server)  # type: ignore[no-untyped-call]  # generated
    return [SERVICE]
