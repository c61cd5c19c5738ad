"""gRPC SpeechRecognition: bidirectional streaming and unary, in the shape that users of Riva's riva_asr.proto know."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextvars import ContextVar, copy_context
from dataclasses import replace
from typing import Any

import grpc

from services.gateway import errors, parameters
from services.gateway.access.caller import ANYBODY, Caller
from services.gateway.access.credentials import presented_in_metadata
from services.gateway.access.gate import Gate
from services.gateway.file_run import pieces_of
from services.gateway.intake import Intake
from services.gateway.parameters import Asked
from services.gateway.sessions import LiveSession, SessionHub
from services.gateway.settings import GatewaySettings
from services.gateway.updates import Closed, Failed, Final, Interim
from voxrelay import codec
from voxrelay.calls import SEES
from voxrelay.errors import Refused
from voxrelay.events import SegmentTranscribed
from voxrelay.join import JoinedUtterance
from voxrelay.telemetry import REFUSALS
from voxrelay.v1 import services_pb2, services_pb2_grpc

EDGE = "grpc"
SERVICE = "voxrelay.v1.SpeechRecognition"
_CALLER: ContextVar[Caller] = ContextVar("caller", default=ANYBODY)  # set by the interceptor, in the task that then runs the call
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


def _asked(config: Any, interim_results: bool, settings: GatewaySettings) -> Asked:
    if config.encoding not in _ENCODINGS:
        raise Refused("UNSUPPORTED_ENCODING", "This encoding is not known here.")
    values: dict[str, Any] = {
        "encoding": _ENCODINGS[config.encoding],
        "channels": config.audio_channel_count or 1,
        "language": config.language_code,
        "model": config.model,
        "custom_vocabulary": list(config.custom_vocabulary),
        "diarize": config.enable_speaker_diarization,
        "num_speakers": config.diarization_speaker_count,
        "attributes": config.enable_attributes,
        "vad_enabled": not config.disable_vad,
        "interim_results": interim_results,
    }
    if config.sample_rate_hertz:
        values["sample_rate"] = config.sample_rate_hertz
    return parameters.apply(Asked(), values, settings)


def _speaker_tag(speaker: str) -> int:
    digits = speaker.removeprefix("S")
    return int(digits) if digits.isdigit() else 0


def final_result(utterance: JoinedUtterance) -> Any:
    words = [
        services_pb2.WordInfo(
            word=w.text, start_time=w.start_s, end_time=w.end_s, confidence=w.confidence, speaker_tag=_speaker_tag(w.speaker), speaker=w.speaker
        )
        for w in utterance.words
    ]
    best = services_pb2.SpeechRecognitionAlternative(transcript=utterance.text, confidence=utterance.confidence, words=words)
    return services_pb2.StreamingRecognitionResult(
        alternatives=[best],
        is_final=True,
        stability=1.0,
        audio_processed=utterance.end_s,
        language_code=utterance.language,
        utterance_id=utterance.utterance_id,
        attributes=[codec.to_message(attribute) for attribute in utterance.attributes],
    )


def interim_result(result: SegmentTranscribed) -> Any:
    best = services_pb2.SpeechRecognitionAlternative(transcript=result.text, confidence=result.confidence)
    return services_pb2.StreamingRecognitionResult(
        alternatives=[best],
        stability=result.confidence,
        audio_processed=result.end_s,
        language_code=result.language,
        utterance_id=result.utterance_id,
    )


async def _abort(context: Any, refused: Refused) -> None:
    REFUSALS.labels(EDGE, refused.code).inc()
    status = getattr(grpc.StatusCode, errors.CODES[refused.code].grpc)
    metadata = [("voxrelay-error-code", refused.code)]
    if refused.retry_after_s:
        metadata.append(("retry-after", str(refused.retry_after_s)))
    await context.abort(status, refused.message, trailing_metadata=tuple(metadata))


class KeyCheck(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stubs alone
    """Asks for a key on every call of ours on this port, the other services' too; health and reflection are open."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith("/grpc."):
            return handler
        try:
            caller = await self._gate.admit_credential(presented_in_metadata(handler_call_details.invocation_metadata))
        except Refused as refused:
            return _refusing(handler, refused)
        _CALLER.set(caller)
        SEES.set(caller.sees)
        return _in_this_context(handler)


def _in_this_context(handler: Any) -> Any:
    """A plain function runs on a thread, which would not know what was set here."""
    answer = handler.unary_unary
    if answer is None or asyncio.iscoroutinefunction(answer):
        return handler
    context = copy_context()
    return grpc.unary_unary_rpc_method_handler(lambda *asked: context.run(answer, *asked), handler.request_deserializer, handler.response_serializer)


def _refusing(handler: Any, refused: Refused) -> Any:
    """A handler of the same kind that only refuses."""

    async def refuse(_request: Any, context: Any) -> None:
        await _abort(context, refused)

    async def refuse_stream(_request: Any, context: Any) -> AsyncIterator[Any]:
        await _abort(context, refused)
        yield  # never: abort raises

    if handler.response_streaming:
        make = grpc.stream_stream_rpc_method_handler if handler.request_streaming else grpc.unary_stream_rpc_method_handler
        return make(refuse_stream, handler.request_deserializer, handler.response_serializer)
    make = grpc.stream_unary_rpc_method_handler if handler.request_streaming else grpc.unary_unary_rpc_method_handler
    return make(refuse, handler.request_deserializer, handler.response_serializer)


class SpeechRecognition(services_pb2_grpc.SpeechRecognitionServicer):
    def __init__(self, hub: SessionHub) -> None:
        self._hub = hub

    async def _open(self, context: Any, lane: Any = "live") -> LiveSession:
        traceparent = dict(context.invocation_metadata() or ()).get("traceparent", "")
        return await self._hub.open(EDGE, _CALLER.get(), lane, str(traceparent))

    async def StreamingRecognize(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802  # the protocol's name
        session: LiveSession | None = None
        reading: asyncio.Task[None] | None = None
        intake: Intake | None = None
        try:
            session = await self._open(context)
            first = await anext(aiter(request_iterator), None)
            if first is None or first.WhichOneof("streaming_request") != "streaming_config":
                raise Refused("INVALID_MESSAGE", "The first message must be streaming_config.")
            asked = _asked(first.streaming_config.config, first.streaming_config.interim_results, self._hub.settings)
            intake = Intake(session, asked, self._hub.settings.session_lifetime_s)
            reading = asyncio.create_task(self._read(request_iterator, intake, session))
            async for answer in self._answers(session, reading):
                yield answer
        except Refused as refused:
            await _abort(context, refused)
        finally:
            if reading is not None:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
            if intake is not None:
                intake.abandon()
            if session is not None:
                await session.close("vanished")
                session.leave()

    async def _read(self, requests: Any, intake: Intake, session: LiveSession) -> None:
        async for request in requests:
            kind = request.WhichOneof("streaming_request")
            if kind == "audio_content":
                await intake.feed(request.audio_content)
            elif kind == "finalize" and session.has_begun:
                await session.finalize()
            elif kind == "streaming_config":
                raise Refused("INVALID_MESSAGE", "streaming_config can be sent once, as the first message.")
        await intake.finish()
        await session.close()

    async def _answers(self, session: LiveSession, reading: asyncio.Task[None]) -> AsyncIterator[Any]:
        """Results while the client sends; its mistake ends them with what was wrong."""
        reading.add_done_callback(lambda task: session.leave() if not task.cancelled() and task.exception() is not None else None)
        async for update in session.updates():
            if isinstance(update, Interim) and session.config.interim_results:
                yield services_pb2.StreamingRecognizeResponse(results=[interim_result(update.result)], session_id=session.id)
            elif isinstance(update, Final):
                yield services_pb2.StreamingRecognizeResponse(results=[final_result(update.utterance)], session_id=session.id)
            elif isinstance(update, Failed):
                raise Refused(update.code, update.message)
        if reading.done():
            reading.result()

    async def Recognize(self, request: Any, context: Any) -> Any:  # noqa: N802  # the protocol's name
        session: LiveSession | None = None
        try:
            session = await self._open(context, "bulk")
            asked = _asked(request.config, False, self._hub.settings)
            if not request.audio:
                raise Refused("EMPTY_AUDIO", "There is no audio in the request.")
            await self._feed(session, asked, request.audio)
            results, audio_seconds = [], 0.0
            async for update in session.updates():
                if isinstance(update, Final):
                    results.append(final_result(update.utterance))
                elif isinstance(update, Failed):
                    raise Refused(update.code, update.message)
                elif isinstance(update, Closed):
                    audio_seconds = update.audio_seconds
            return services_pb2.RecognizeResponse(results=results, session_id=session.id, audio_seconds=audio_seconds)
        except Refused as refused:
            await _abort(context, refused)
        finally:
            if session is not None:
                await session.close("vanished")
                session.leave()

    async def _feed(self, session: LiveSession, asked: Asked, audio: bytes) -> None:
        if asked.encoding == "auto":
            decoding = await asyncio.to_thread(lambda: list(pieces_of(io.BytesIO(audio), self._hub.settings.max_audio_s)))
            await session.begin(replace(asked.config, sample_rate_hz=decoding[0][0], channels=1, interim_results=False))
            for _, pcm in decoding:
                await session.send_audio(pcm)
        else:
            intake = Intake(session, asked, self._hub.settings.max_audio_s)
            await intake.feed(audio)
            await intake.finish()
        await session.close()


def add(server: Any, hub: SessionHub) -> list[str]:
    services_pb2_grpc.add_SpeechRecognitionServicer_to_server(SpeechRecognition(hub), server)  # type: ignore[no-untyped-call]  # generated
    return [SERVICE]
