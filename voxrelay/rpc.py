"""The gRPC server of the synchronous calls: health, reflection, bounded messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

MAX_MESSAGE_BYTES = 64 * 1024 * 1024  # ten minutes of 48 kHz mono pcm_s16le and some room
WORKERS = 8


class RpcServer:
    """Serves from ``start`` until ``close``; calls run on a pool of threads."""

    def __init__(self, host: str, port: int, registrations: Sequence[Callable[[Any], Sequence[str]]]) -> None:
        self._server = grpc.server(
            ThreadPoolExecutor(WORKERS, thread_name_prefix="rpc"),
            maximum_concurrent_rpcs=4 * WORKERS,  # more are RESOURCE_EXHAUSTED at once instead of waiting without end
            options=[("grpc.max_receive_message_length", MAX_MESSAGE_BYTES), ("grpc.max_send_message_length", MAX_MESSAGE_BYTES)],
        )
        names = [name for register in registrations for name in register(self._server)]
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server)
        for name in ("", *names):
            self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        self.port = self._server.add_insecure_port(f"{host}:{port}")

    def start(self) -> None:
        self._server.start()

    def close(self, grace_s: float = 5.0) -> None:
        self._health.enter_graceful_shutdown()
        self._server.stop(grace_s).wait()
