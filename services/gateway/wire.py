"""gRPC messages that are none: the client's mistake, answered as that. Without this they are a server's failure with a trace in its logs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from services.gateway.protocols.recognition_errors import abort
from voxrelay.errors import Refused

EDGE = "grpc"
_BROKEN = object()


def _refused() -> Refused:
    return Refused("INVALID_MESSAGE", "This message is not of the call's type; is it made from another version of the .proto?")


class WireCheck(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stubs alone
    """Wraps the asynchronous calls of this port."""

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_deserializer is None:
            return handler
        read = handler.request_deserializer

        def read_or_mark(data: bytes) -> Any:
            try:
                return read(data)
            except Exception:  # the parser's own errors, which only the codec may know
                return _BROKEN

        if handler.request_streaming:
            name = "stream_stream" if handler.response_streaming else "stream_unary"
            call = _with_whole_requests(getattr(handler, name), handler.response_streaming)
        else:
            name = "unary_stream" if handler.response_streaming else "unary_unary"
            call = _with_whole_request(getattr(handler, name), handler.response_streaming)
        return handler if call is None else handler._replace(**{"request_deserializer": read_or_mark, name: call})


def _with_whole_request(call: Any, is_stream: bool) -> Any:
    if is_stream:
        return None  # ours are answered at once; the library's own take no harm

    if not asyncio.iscoroutinefunction(call):

        def check_here(request: Any, context: Any) -> Any:
            if request is _BROKEN:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(_refused()))
            return call(request, context)

        return check_here

    async def check(request: Any, context: Any) -> Any:
        if request is _BROKEN:
            await abort(context, EDGE, _refused())
        return await call(request, context)

    return check


def _with_whole_requests(call: Any, is_stream: bool) -> Any:
    async def whole(requests: Any) -> AsyncIterator[Any]:
        async for request in requests:
            if request is _BROKEN:
                raise _refused()
            yield request

    if not is_stream:
        return None

    async def check(requests: Any, context: Any) -> AsyncIterator[Any]:
        async for answer in call(whole(requests), context):
            yield answer

    return check
