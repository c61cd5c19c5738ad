"""The same capability in one call: audio in, cleaned audio and utterances out, by the same stage and engines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc

from services.denoise.session import FrontEnd
from services.denoise.stage import DenoiseStage
from voxrelay import codec
from voxrelay.audio import SAMPLE_RATE_HZ
from voxrelay.calls import abort, pcm_of
from voxrelay.errors import Refused
from voxrelay.events import AudioDenoised, AudioReceived, Event, Payload, SessionConfig, SessionEnded, SessionOpened, UtteranceEnded
from voxrelay.v1 import services_pb2, services_pb2_grpc

SERVICE = "voxrelay.v1.Enhancement"
_SESSION = "rpc"


class EnhancementServicer(services_pb2_grpc.EnhancementServicer):
    """Thread-safe: each call runs a stage of its own on the shared engines, which keep nothing between calls."""

    def __init__(self, front_end: FrontEnd) -> None:
        self._front_end = front_end

    def Enhance(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802  # the name in services.proto
        """INVALID_ARGUMENT and RESOURCE_EXHAUSTED say in a sentence what is wrong with the request."""
        try:
            config, pcm = _checked(request)
        except Refused as refused:
            abort(context, refused)
        audio: list[bytes] = []
        utterances: list[UtteranceEnded] = []
        for payload in self._run(config, pcm):
            if isinstance(payload, AudioDenoised):
                audio.append(payload.pcm_s16le)
            elif isinstance(payload, UtteranceEnded):
                utterances.append(payload)
        return services_pb2.EnhanceResponse(
            audio=services_pb2.Audio(pcm_s16le=b"".join(audio), sample_rate_hz=SAMPLE_RATE_HZ),
            utterances=[codec.to_message(utterance) for utterance in utterances],
            engine=codec.to_message(self._front_end.suppressors.identity),
        )

    def _run(self, config: SessionConfig, pcm: bytes) -> Sequence[Payload]:
        stage = DenoiseStage(self._front_end)
        payloads = (SessionOpened(config), AudioReceived(0, pcm), SessionEnded())
        try:
            return [event.payload for event in stage.process([Event(_SESSION, payload) for payload in payloads])]
        finally:
            stage.forget(_SESSION)


def _checked(request: Any) -> tuple[SessionConfig, bytes]:
    pcm, rate_hz = pcm_of(request.audio)
    strength = request.noise_suppression if request.HasField("noise_suppression") else -1.0
    if request.HasField("noise_suppression") and not 0.0 <= strength <= 1.0:
        raise Refused("INVALID_ARGUMENT", "noise_suppression must be 0 to 1; leave it out for as much as helps.")
    return SessionConfig(sample_rate_hz=rate_hz, stages=("denoise",), noise_suppression=strength), pcm


def add(server: Any, front_end: FrontEnd) -> list[str]:
    """Registers the servicer; the full names of the services, for reflection."""
    services_pb2_grpc.add_EnhancementServicer_to_server(EnhancementServicer(front_end), server)  # type: ignore[no-untyped-call]  # generated
    return [SERVICE]
