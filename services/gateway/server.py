"""uvicorn and gRPC on one event loop in one thread, so that the gateway can stand alone or inside the embedded platform."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Sequence
from functools import partial

import uvicorn

from services.gateway import browsers
from services.gateway.access.gate import Gate
from services.gateway.app import build_app
from services.gateway.protocols import deletion
from services.gateway.requests.bounds import HEAD_BYTES, PatientProtocol
from services.gateway.rpc import Registration, RpcPort
from services.gateway.sessions.hub import SessionHub
from services.gateway.settings import GatewaySettings
from services.gateway.sockets.short_way import ShortWaySocket
from services.gateway.tls import tls_of
from voxrelay.bus.api import Bus
from voxrelay.engines import EngineUnusable
from voxrelay.errors import Unavailable
from voxrelay.models.operations import ModelOperations
from voxrelay.probe import Checks
from voxrelay.runner.tombstones import forget_checkpoints
from voxrelay.storage.access import AccessStore
from voxrelay.storage.deletion import Deletions
from voxrelay.storage.views import Views
from voxrelay.telemetry import fields

log = logging.getLogger(__name__)

LOOPBACK = ("127.0.0.1", "::1", "localhost")
FALSE_ALARM = "ASGI callable returned without completing handshake."  # uvicorn's, of every WebSocket that is refused with an HTTP answer
UVICORN_LOGGERS = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")
DRAIN_LOOK_S = 0.2
SHUTDOWN_S = 10  # after the drain; a client that reads nothing does not keep the gateway from ending
READY_WITHIN_S = 5.0  # after that it listens all the same, and /ready tells what is missing


def _is_alarm(record: logging.LogRecord) -> bool:
    return record.msg != FALSE_ALARM


class GatewayServer:
    """``start`` returns once both ports listen. ``stop`` drains: no new sessions, the open ones may finish for ``drain_s``."""

    def __init__(
        self,
        bus: Bus,
        settings: GatewaySettings,
        host: str,
        checks: Checks,
        views: Views | None,
        rpc_services: Sequence[Registration] = (),
        access: AccessStore | None = None,
        model_operations: ModelOperations | None = None,
        deletions: Deletions | None = None,
    ) -> None:
        """``rpc_services`` are further gRPC services for the same port; ``access`` holds the keys and is closed at the end; without
        ``deletions`` no session can be deleted here.

        Raises ``EngineUnusable`` for an address that would be open to everybody.
        """
        is_loopback = host in LOOPBACK
        has_keys = _may_have_keys(access)
        if not is_loopback and not has_keys:
            raise EngineUnusable(
                f"Listening on {host} without API keys would let everybody in:"
                " create one with 'voxrelay keys create --name NAME --plan PLAN', or listen on 127.0.0.1."
            )
        self._gate = Gate(access, are_keys_always_needed=not is_loopback)
        self._gate.are_keys_needed = has_keys
        self._bus, self._settings, self._host, self._checks, self._views, self._rpc_services = bus, settings, host, checks, views, rpc_services
        self._model_operations = model_operations
        self._deletions = deletions
        self._tls = tls_of(settings)
        self._listening = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="gateway", daemon=True)
        self.port = self.grpc_port = 0

    def start(self) -> None:
        """Raises what kept a port from listening, as ``OSError`` with the port in it."""
        self._socket = socket.socket(socket.AF_INET6 if ":" in self._host else socket.AF_INET)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((self._host, self._settings.port))
        except OSError as error:
            raise OSError(f"Port {self._settings.port} on {self._host} cannot be listened on: {error.strerror}.") from error
        self.port = self._socket.getsockname()[1]
        self._thread.start()
        self._listening.wait()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Returns when it has ended; it may have ended already."""
        if not self._thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    @property
    def is_encrypted(self) -> bool:
        """Whether the ports speak TLS."""
        return self._tls is not None

    @property
    def has_failed(self) -> bool:
        return not self._thread.is_alive() or self._hub.failed

    def _run(self) -> None:
        import uvloop

        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve())
        except BaseException as error:
            self._failure = error
            log.critical("The gateway failed.", exc_info=True)
        finally:
            self._listening.set()

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        self._hub = SessionHub(self._bus, self._settings, self._gate)
        await self._hub.start()
        keeping = asyncio.create_task(self._gate.keep_places())
        deleting = deletion.router(self._deletions, partial(forget_checkpoints, self._bus), self._gate) if self._deletions is not None else None
        app = build_app(self._hub, self._gate, self._checks, self._views, self._model_operations, deleting)
        hosts = self._settings.allowed_hosts or (browsers.LOOPBACK_HOSTS if self._host in LOOPBACK else ())
        browsers.add(app, self._settings.allowed_origins, hosts)
        config = uvicorn.Config(
            app,
            http=PatientProtocol,
            h11_max_incomplete_event_size=HEAD_BYTES,
            ws=ShortWaySocket,
            ws_max_size=self._settings.max_frame_bytes,
            ws_per_message_deflate=False,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=SHUTDOWN_S,
            **(self._tls.uvicorn_options() if self._tls is not None else {}),
        )
        for name in UVICORN_LOGGERS:  # they would write every address with its query, and a key may stand in it
            logging.getLogger(name).setLevel(logging.WARNING)
        logging.getLogger("uvicorn.error").addFilter(_is_alarm)
        server = uvicorn.Server(config)
        rpc = RpcPort(self._hub, self._gate, self._settings, self._tls, self._rpc_services)
        self.grpc_port = await rpc.start(f"{self._host}:{self._settings.grpc_port}")
        serving = asyncio.create_task(self._serve_http(server))
        deadline = self._loop.time() + READY_WITHIN_S
        while not serving.done() and not (server.started and (self._hub.is_ready or self._loop.time() > deadline)):
            await asyncio.sleep(0.01)
        await rpc.tell_health()
        self._listening.set()
        log.info("The gateway listens.", extra=fields(port=self.port, grpc_port=self.grpc_port))
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait((stopping, serving), return_when=asyncio.FIRST_COMPLETED)
        await rpc.drain()
        await self._drain()
        server.should_exit = True
        await serving
        await rpc.stop(1.0)
        await self._hub.close()
        keeping.cancel()
        await self._gate.close()

    async def _serve_http(self, server: uvicorn.Server) -> None:
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]  # signals are the process's business
        await server.serve(sockets=[self._socket])

    async def _drain(self) -> None:
        self._hub.is_draining = True
        deadline = self._loop.time() + self._settings.drain_s
        while self._hub.open_sessions and self._loop.time() < deadline:
            await asyncio.sleep(DRAIN_LOOK_S)


def _may_have_keys(access: AccessStore | None) -> bool:
    """True also while the database does not answer: nobody is let in then, and it may have keys."""
    try:
        return access is not None and access.has_keys()
    except Unavailable as error:
        log.warning("The database does not answer yet; until it does nobody is let in.", extra=fields(reason=str(error)))
        return True
