"""gRPC SpeechRecognition: bidirectional streaming and unary, in the messages of Riva's public ASR API, under our name and under Riva's."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import AsyncIterator, Coroutine
from contextvars import ContextVar, copy_context
from dataclasses import replace
from typing import Any

import grpc

from services.gateway.access.caller import ANYBODY, Caller
from services.gateway.access.credentials import presented_in_metadata
from services.gateway.access.gate import Gate
from services.gateway.files.run import FileResult, FileRun
from services.gateway.intake import Intake
from services.gateway.protocols.recognition_errors import abort
from services.gateway.protocols.recognition_messages import Wishes, configured, file_result, final_result, interim_result, settled, wishes_of
from services.gateway.sessions.hub import SessionHub
from services.gateway.sessions.session import LiveSession
from services.gateway.sessions.updates import Closed, Failed, Final, Interim, Update
from services.gateway.wire import whole
from voxrelay.calls import SEES
from voxrelay.errors import Refused
from voxrelay.events import EndReason
from voxrelay.telemetry import fields
from voxrelay.v1 import riva_pb2, riva_pb2_grpc, services_pb2, services_pb2_grpc

log = logging.getLogger(__name__)

EDGE = "grpc"
SERVICES = ("voxrelay.v1.SpeechRecognition", "nvidia.riva.asr.RivaSpeechRecognition")
MODEL = "voxrelay"  # what a client of Riva is told it can ask for
SEND_TIMEOUT_S = 10.0
LAST_WORDS_S = 5.0  # how long an error waits for the results of what was said before it
_CALLER: ContextVar[Caller] = ContextVar("caller", default=ANYBODY)  # set by the interceptor, in the task that then runs the call


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
        await abort(context, EDGE, refused)

    async def refuse_stream(_request: Any, context: Any) -> AsyncIterator[Any]:
        await abort(context, EDGE, refused)
        yield  # never: abort raises

    if handler.response_streaming:
        make = grpc.stream_stream_rpc_method_handler if handler.request_streaming else grpc.unary_stream_rpc_method_handler
        return make(refuse_stream, handler.request_deserializer, handler.response_serializer)
    make = grpc.stream_unary_rpc_method_handler if handler.request_streaming else grpc.unary_unary_rpc_method_handler
    return make(refuse, handler.request_deserializer, handler.response_serializer)


async def _within(seconds: float, operation: Coroutine[Any, Any, Any]) -> Any:
    """What an operation of the library gives; ``TimeoutError`` after so long. It is not cancelled: it ends with its call."""
    running = asyncio.ensure_future(operation)
    running.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be there to take it
    done, _ = await asyncio.wait((running,), timeout=seconds)
    if not done:
        raise TimeoutError
    return running.result()


class StreamingCall:
    """One StreamingRecognize. Reading and writing are two tasks; whichever fails ends both.

    Messages are asked for one by one, so a client that sends faster than the log takes is held up by HTTP/2's flow control. The task that runs
    this is cancelled by the library when the client cancels, goes away, or its deadline passes.
    """

    def __init__(self, hub: SessionHub, session: LiveSession, context: Any) -> None:
        self._hub, self._session, self._context = hub, session, context
        self._intake: Intake | None = None
        self._deadline = hub.clock() + hub.settings.session_lifetime_s
        self._reason: EndReason = "vanished"

    async def run(self) -> None:
        """Ends with the session. Raises ``Refused``."""
        tasks: list[asyncio.Task[None]] = []
        try:
            first = await self._next()
            if first is None or first.WhichOneof("streaming_request") != "streaming_config":
                raise Refused("INVALID_MESSAGE", "The first message must be streaming_config.")
            self._id = first.id if first.HasField("id") else None
            self._wishes = wishes_of(first.streaming_config.config, first.streaming_config.interim_results, self._hub.settings)
            self._intake = Intake(self._session, self._wishes.asked, self._hub.settings.session_lifetime_s)
            await self._configure(first)
            reading, writing = asyncio.create_task(self._read(self._intake)), asyncio.create_task(self._write())
            tasks = [reading, writing]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if not writing.done():
                await self._last_words(reading, writing)
            await writing
        finally:
            await asyncio.shield(asyncio.ensure_future(self._end(tasks)))  # a client that cancels now does not keep the session from ending

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        try:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._intake is not None:
                self._intake.abandon()
            await self._session.close(self._reason)
        finally:
            self._session.leave()

    async def _last_words(self, reading: asyncio.Task[None], writing: asyncio.Task[None]) -> None:
        """The results of what was said still come; before a refusal for a while only."""
        try:
            await reading
        except Refused:
            self._reason = "failed"
            await self._session.close(self._reason)
            await asyncio.wait((writing,), timeout=LAST_WORDS_S)
            raise
        await self._session.close()

    # --- in ---

    async def _next(self) -> Any:
        """The next request, None after the last. Raises ``Refused`` SESSION_IDLE, SESSION_LIFETIME."""
        settings, left_s = self._hub.settings, self._deadline - self._hub.clock()
        try:
            request = await _within(min(settings.idle_s, max(0.0, left_s)), self._context.read())
        except TimeoutError:
            if left_s <= settings.idle_s:
                raise Refused("SESSION_LIFETIME", f"A call lives {settings.session_lifetime_s:.0f} s at most; open a new one.") from None
            raise Refused("SESSION_IDLE", f"Nothing came for {settings.idle_s:.0f} s; send audio, or empty audio while there is none.") from None
        return None if request is grpc.aio.EOF else whole(request)  # type: ignore[attr-defined]  # missing in the stubs

    async def _read(self, intake: Intake) -> None:
        while (request := await self._next()) is not None:
            kind = request.WhichOneof("streaming_request")
            if kind == "streaming_config":
                raise Refused("INVALID_MESSAGE", "streaming_config can be sent once, as the first message; runtime_config changes what may change.")
            await self._configure(request)
            if kind == "audio_content":
                if len(request.audio_content) > self._hub.settings.max_frame_bytes:
                    most = self._hub.settings.max_frame_bytes
                    raise Refused("MESSAGE_TOO_LARGE", f"One message may have {most} bytes of audio; send chunks of 20 to 250 ms.")
                await intake.feed(request.audio_content)
            elif kind == "finalize" and request.finalize and self._session.has_begun:
                await self._session.finalize()
        await intake.finish()

    async def _configure(self, request: Any) -> None:
        if not request.runtime_config or self._intake is None:
            return
        before = self._intake.asked
        after = configured(before, request.runtime_config, "runtime_config", self._hub.settings)
        self._intake.asked = settled(before, after) if self._intake.is_settled else after
        if self._session.has_begun:
            opened = self._session.config
            await self._session.configure(replace(after.config, sample_rate_hz=opened.sample_rate_hz, channels=opened.channels))

    # --- out ---

    async def _write(self) -> None:
        async for update in self._session.updates():
            if isinstance(update, Failed):
                raise Refused(update.code, update.message)
            if (result := self._result(update)) is not None:
                await self._send(services_pb2.StreamingRecognizeResponse(results=[result], session_id=self._session.id, id=self._id))

    def _result(self, update: Update) -> Any:
        if isinstance(update, Interim) and self._session.config.interim_results:
            return interim_result(update.result, self._wishes)
        return final_result(update.utterance, self._wishes) if isinstance(update, Final) else None

    async def _send(self, response: Any) -> None:
        """Returns when the client's window has taken it. Raises ``Refused`` when it does not for too long."""
        try:
            await _within(SEND_TIMEOUT_S, self._context.write(response))
        except TimeoutError:
            log.info("A client did not read its results.", extra=fields(session=self._session.id))
            raise Refused("CLIENT_TOO_SLOW", "Results were not read fast enough; they are kept and can be fetched by the session's id.") from None


class SpeechRecognition(services_pb2_grpc.SpeechRecognitionServicer):
    def __init__(self, hub: SessionHub) -> None:
        self._hub = hub

    async def _open(self, context: Any, lane: Any = "live") -> LiveSession:
        traceparent = dict(context.invocation_metadata() or ()).get("traceparent", "")
        return await self._hub.open(EDGE, _CALLER.get(), lane, str(traceparent))

    async def StreamingRecognize(self, _requests: Any, context: Any) -> None:  # noqa: N802  # the protocol's name
        session_id = ""
        try:
            session = await self._open(context)
            session_id = session.id
            await StreamingCall(self._hub, session, context).run()
        except Refused as refused:
            await abort(context, EDGE, refused, session_id)

    async def Recognize(self, request: Any, context: Any) -> Any:  # noqa: N802  # the protocol's name
        session_id = ""
        try:
            if not request.audio:
                raise Refused("EMPTY_AUDIO", "There is no audio in the request.")
            wishes = wishes_of(request.config, False, self._hub.settings)
            session = await self._open(context, "bulk")
            session_id = session.id
            heard = await self._hear(session, wishes, request.audio)
        except Refused as refused:
            return await abort(context, EDGE, refused, session_id)
        results = [file_result(utterance, wishes) for utterance in heard.utterances]
        request_id = request.id if request.HasField("id") else None
        return services_pb2.RecognizeResponse(results=results, session_id=session_id, audio_seconds=heard.audio_seconds, id=request_id)

    async def _hear(self, session: LiveSession, wishes: Wishes, audio: bytes) -> FileResult:
        """Whatever happens the session has ended and been left then. Raises ``Refused``."""
        if wishes.asked.encoding == "auto":
            return await FileRun(self._hub, session, wishes.asked).run(io.BytesIO(audio))
        intake = Intake(session, wishes.asked, self._hub.settings.max_audio_s)
        try:
            await intake.feed(audio)
            await intake.finish()
            await session.close()
            return await _collected(session)
        finally:
            intake.abandon()
            await session.close("vanished")
            session.leave()


async def _collected(session: LiveSession) -> FileResult:
    utterances, audio_seconds = [], 0.0
    async for update in session.updates():
        if isinstance(update, Final):
            utterances.append(update.utterance)
        elif isinstance(update, Failed):
            raise Refused(update.code, update.message)
        elif isinstance(update, Closed):
            audio_seconds = update.audio_seconds
    return FileResult(session.id, audio_seconds, tuple(utterances))


class RivaSpeechRecognition(SpeechRecognition):
    """The same under Riva's name, with the one call more that its clients know."""

    async def GetRivaSpeechRecognitionConfig(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002  # the protocol's name
        shown = self._hub.settings.languages if request.model_name in ("", MODEL) else ()
        configs = [
            riva_pb2.RivaSpeechRecognitionConfigResponse.Config(
                model_name=MODEL, parameters={"language_code": language, "type": "online", "streaming": "True", "sample_rate": "16000"}
            )
            for language in shown
        ]
        return riva_pb2.RivaSpeechRecognitionConfigResponse(model_config=configs)


def add(server: Any, hub: SessionHub) -> list[str]:
    """Registers recognition under both names; the full names, for health and reflection."""
    services_pb2_grpc.add_SpeechRecognitionServicer_to_server(SpeechRecognition(hub), server)  # type: ignore[no-untyped-call]  # generated
    riva_pb2_grpc.add_RivaSpeechRecognitionServicer_to_server(RivaSpeechRecognition(hub), server)  # type: ignore[no-untyped-call]  # generated
    return list(SERVICES)
