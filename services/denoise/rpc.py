"""The same capability in one call: audio in, cleaned audio and utterances out, by the same stage and engines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc

from services.denoise.resample import LEAST_RATE_HZ, MOST_RATE_HZ
from services.denoise.session import FrontEnd
from services.denoise.stage import DenoiseStage
from voxrelay.audio import SAMPLE_RATE_HZ
from voxrelay.errors import Refused
from voxrelay.events import AudioDenoised, AudioReceived, Event, Payload, SessionConfig, SessionEnded, SessionOpened, UtteranceEnded
from voxrelay.v1 import events_pb2, services_pb2, services_pb2_grpc

MAX_SECONDS = 600
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
            context.abort(grpc.StatusCode[refused.code], refused.message)
        audio: list[bytes] = []
        utterances: list[UtteranceEnded] = []
        for payload in self._run(config, pcm):
            if isinstance(payload, AudioDenoised):
                audio.append(payload.pcm_s16le)
            elif isinstance(payload, UtteranceEnded):
                utterances.append(payload)
        engine = self._front_end.suppressor.engine
        return services_pb2.EnhanceResponse(
            audio=services_pb2.Audio(pcm_s16le=b"".join(audio), sample_rate_hz=SAMPLE_RATE_HZ),
            utterances=[_message(utterance) for utterance in utterances],
            engine=events_pb2.Engine(name=engine.name, version=engine.version, model_digest=engine.model_digest),
        )

    def _run(self, config: SessionConfig, pcm: bytes) -> Sequence[Payload]:
        stage = DenoiseStage(self._front_end)
        payloads = (SessionOpened(config), AudioReceived(0, pcm), SessionEnded())
        return [event.payload for event in stage.process([Event(_SESSION, payload) for payload in payloads])]


def _checked(request: Any) -> tuple[SessionConfig, bytes]:
    rate_hz, pcm = request.audio.sample_rate_hz, request.audio.pcm_s16le
    if not LEAST_RATE_HZ <= rate_hz <= MOST_RATE_HZ:
        raise Refused("INVALID_ARGUMENT", f"audio.sample_rate_hz must be {LEAST_RATE_HZ} to {MOST_RATE_HZ}.")
    if not pcm or len(pcm) % 2:
        raise Refused("INVALID_ARGUMENT", "audio.pcm_s16le must hold a whole number of 16-bit samples, at least one.")
    if len(pcm) / 2 / rate_hz > MAX_SECONDS:
        raise Refused("RESOURCE_EXHAUSTED", f"At most {MAX_SECONDS // 60} minutes of audio in one call; cut it or send it as a session.")
    strength = request.noise_suppression if request.HasField("noise_suppression") else -1.0
    if request.HasField("noise_suppression") and not 0.0 <= strength <= 1.0:
        raise Refused("INVALID_ARGUMENT", "noise_suppression must be 0 to 1; leave it out for as much as helps.")
    return SessionConfig(sample_rate_hz=rate_hz, stages=("denoise",), noise_suppression=strength), pcm


def _message(utterance: UtteranceEnded) -> Any:
    return events_pb2.UtteranceEnded(
        utterance_id=utterance.utterance_id,
        start_sample=utterance.start_sample,
        end_sample=utterance.end_sample,
        reason=utterance.reason,
        snr_db=utterance.snr_db,
    )


def add(server: Any, front_end: FrontEnd) -> list[str]:
    """Registers the servicer; the full names of the services, for reflection."""
    services_pb2_grpc.add_EnhancementServicer_to_server(EnhancementServicer(front_end), server)  # type: ignore[no-untyped-call]  # generated
    return [SERVICE]
