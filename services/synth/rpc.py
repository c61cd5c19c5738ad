"""The same capability in one call: text in, audio out while it is made, by the same stage and engine; and which voices there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc

from services.synth.engine import Synthesizer
from services.synth.stage import SynthStage
from voxrelay.errors import Refused, Unavailable
from voxrelay.events import SynthesisProduced, SynthesisRequested
from voxrelay.v1 import events_pb2, services_pb2, services_pb2_grpc

MAX_CHARACTERS = 20_000
SERVICE = "voxrelay.v1.Synthesis"


class SynthesisServicer(services_pb2_grpc.SynthesisServicer):
    """Thread-safe: each call has its own state on the shared engine."""

    def __init__(self, synthesizer: Synthesizer) -> None:
        self._synthesizer = synthesizer
        self._stage = SynthStage(synthesizer, max_characters=MAX_CHARACTERS)

    def Synthesize(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: N802  # the name in services.proto
        """Gapless pieces of at most 200 ms. A caller that goes away stops it at the next sentence.

        INVALID_ARGUMENT and RESOURCE_EXHAUSTED say in a sentence what is wrong, UNAVAILABLE that trying again may help.
        """
        asked = SynthesisRequested(request.text, request.voice, request.language or "en", request.speed or 1.0, request.sample_rate_hz)
        try:
            for pieces in self._stage.speak(asked):
                if not context.is_active():
                    return
                yield from map(_message, pieces)
        except Refused as refused:
            is_too_long = refused.code == "TEXT_TOO_LONG"
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED if is_too_long else grpc.StatusCode.INVALID_ARGUMENT, refused.message)
        except Unavailable as error:
            context.abort(grpc.StatusCode.UNAVAILABLE, str(error))

    def ListVoices(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802, ARG002  # the name in services.proto
        """All voices, or those of a language and its varieties ("en": also "en-gb"). ``name`` is what ``Synthesize`` takes."""
        wanted = request.language.replace("_", "-").lower()
        return services_pb2.ListVoicesResponse(
            voices=[
                services_pb2.Voice(name=voice.id, language=voice.language, gender=voice.gender)
                for voice in self._synthesizer.voices()
                if not wanted or f"{voice.language}-".startswith(f"{wanted}-")
            ]
        )


def _message(piece: SynthesisProduced) -> Any:
    words = [events_pb2.WordSpoken(text=word.text, start_s=word.start_s) for word in piece.words]
    return services_pb2.SynthesizeResponse(pcm_s16le=piece.pcm_s16le, sample_rate_hz=piece.sample_rate_hz, words=words)


def add(server: Any, synthesizer: Synthesizer) -> list[str]:
    """Registers the servicer; the full names of the services, for reflection."""
    services_pb2_grpc.add_SynthesisServicer_to_server(SynthesisServicer(synthesizer), server)  # type: ignore[no-untyped-call]  # generated
    return [SERVICE]
