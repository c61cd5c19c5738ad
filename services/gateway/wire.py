"""gRPC messages that are none: the client's mistake, answered as that. Without this they are a server's failure with a trace in its logs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc

from services.gateway.protocols.recognition_errors import abort
from voxrelay.errors import Refused

EDGE = "grpc"
BROKEN = object()  # what is read instead of a message


def whole(request: Any) -> Any:
    """The request. Raises ``Refused`` INVALID_MESSAGE where there was none."""
    if request is BROKEN:
        raise Refused("INVALID_MESSAGE", "This message is not of the call's type; is it made from another version of the .proto?")
    return request


class WireCheck(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stubs alone
    """Calls of one message are refused here; those of ``streaming_services``, which read many, ask ``whole`` of each."""

    def __init__(self, streaming_services: Sequence[str]) -> None:
        self._prefixes = tuple(f"/{name}/" for name in streaming_services)

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_deserializer is None:
            return handler
        reading = _marking(handler.request_deserializer)
        if handler.unary_unary is not None:
            return handler._replace(request_deserializer=reading, unary_unary=_refusing(handler.unary_unary))
        if handler.request_streaming and handler_call_details.method.startswith(self._prefixes):
            return handler._replace(request_deserializer=reading)
        return handler


def _marking(read: Any) -> Any:
    def read_or_mark(data: bytes) -> Any:
        try:
            return read(data)
        except Exception:  # the parser's own errors, which only the codec may know
            return BROKEN

    return read_or_mark


def _refusing(call: Any) -> Any:
    """The same call, on the loop or on a thread as it was, for whole requests."""
    if not asyncio.iscoroutinefunction(call):

        def check_on_thread(request: Any, context: Any) -> Any:
            try:
                return call(whole(request), context)
            except Refused as refused:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, refused.message)

        return check_on_thread

    async def check(request: Any, context: Any) -> Any:
        try:
            whole(request)
        except Refused as refused:
            await abort(context, EDGE, refused)
        return await call(request, context)

    return check
