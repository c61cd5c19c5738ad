"""The gRPC server of the gateway's port: limits, keepalive, TLS, health that tells the truth, reflection in both versions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from services.gateway.access.gate import Gate
from services.gateway.protocols import recognition
from services.gateway.sessions.hub import SessionHub
from services.gateway.settings import GatewaySettings
from services.gateway.tls import Tls
from services.gateway.wire import WireCheck
from voxrelay.errors import Unavailable

Registration = Callable[[Any], Sequence[str]]

THREADS = 8
LOOK_AT_HEALTH_EVERY_S = 0.1
KEEPALIVE_TIMEOUT_S = 10
LEAST_PING_INTERVAL_S = 10  # of clients; more often is taken for abuse
REFLECTION_V1 = "grpc.reflection.v1.ServerReflection"
COMPRESSIONS = {"none": grpc.Compression.NoCompression, "gzip": grpc.Compression.Gzip, "deflate": grpc.Compression.Deflate}


def channel_options(settings: GatewaySettings) -> list[tuple[str, int]]:
    """Limits of connections and messages, in the library's names."""
    options = [
        ("grpc.max_receive_message_length", settings.grpc_max_message_bytes),
        ("grpc.max_send_message_length", settings.grpc_max_message_bytes),
        ("grpc.keepalive_time_ms", int(settings.grpc_keepalive_s * 1000)),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_S * 1000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", LEAST_PING_INTERVAL_S * 1000),
    ]
    if settings.grpc_connection_age_s:
        options.append(("grpc.max_connection_age_ms", int(settings.grpc_connection_age_s * 1000)))
        options.append(("grpc.max_connection_age_grace_ms", int(settings.session_lifetime_s * 1000)))  # no running call is cut off
    return options


class RpcPort:
    """Lives on the loop that calls ``start``."""

    def __init__(self, hub: SessionHub, gate: Gate, settings: GatewaySettings, tls: Tls | None, services: Sequence[Registration]) -> None:
        """``services`` are further gRPC services for this port."""
        self._hub, self._settings, self._tls = hub, settings, tls
        self._server = grpc.aio.server(
            ThreadPoolExecutor(THREADS, thread_name_prefix="rpc"),
            interceptors=[recognition.KeyCheck(gate), WireCheck(recognition.SERVICES)],
            options=channel_options(settings),
            maximum_concurrent_rpcs=settings.grpc_max_calls,
            compression=COMPRESSIONS[settings.grpc_compression],
        )
        self._sessions = ("", *recognition.add(self._server, hub))  # what needs the log, and the port as a whole
        self._others = [name for register in services for name in register(self._server)]
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]  # set where grpc.aio is there
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._add_reflection([*self._sessions[1:], *self._others, health.SERVICE_NAME, reflection.SERVICE_NAME])

    async def start(self, address: str) -> int:
        """Listens at ``host:port``; the port it got."""
        port: int
        if self._tls is not None:
            port = self._server.add_secure_port(address, self._tls.grpc_credentials())
        else:
            port = self._server.add_insecure_port(address)
        await self.tell_health()
        await self._server.start()
        self._watching = asyncio.create_task(self._watch())
        return port

    async def drain(self) -> None:
        """NOT_SERVING from now on, for everything: balancers send their calls elsewhere. Running calls go on."""
        self._watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._watching
        await self._health.enter_graceful_shutdown()

    async def stop(self, grace_s: float) -> None:
        await self._server.stop(grace_s)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_AT_HEALTH_EVERY_S)
            await self.tell_health()

    async def tell_health(self) -> None:
        """Recognition serves while sessions can be opened; the other services have their engines loaded before the port opens."""
        for name in self._others:
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        for name in self._sessions:
            await self._health.set(name, self._status())

    def _status(self) -> Any:
        try:
            self._hub.check()
        except Unavailable:
            return health_pb2.HealthCheckResponse.NOT_SERVING
        return health_pb2.HealthCheckResponse.SERVING if self._hub.is_ready else health_pb2.HealthCheckResponse.NOT_SERVING

    def _add_reflection(self, names: Sequence[str]) -> None:
        """v1alpha from the library, and v1, which has the same messages under another name and which the library does not offer yet."""
        names = [*names, REFLECTION_V1]
        reflection.enable_server_reflection(names, self._server)
        servicer = reflection.aio.ReflectionServicer(names)  # type: ignore[attr-defined]  # set where grpc.aio is there
        method = grpc.stream_stream_rpc_method_handler(
            servicer.ServerReflectionInfo,
            reflection_pb2.ServerReflectionRequest.FromString,
            reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(REFLECTION_V1, {"ServerReflectionInfo": method}),))
