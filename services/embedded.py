"""Every service in one process: the in-memory bus, SQLite, a local folder. The same stages, runner and codec as over Kafka."""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from services.gateway.compose import compose as compose_gateway
from services.gateway.server import GatewayServer
from voxrelay import tracing
from voxrelay.bus.memory import MemoryBus
from voxrelay.engines import EngineUnusable
from voxrelay.models.activations import ActivationLog
from voxrelay.process import ServiceThreads, or_exit, spare_collector, stop_on_signals
from voxrelay.service import Service
from voxrelay.settings import PlatformSettings, load_settings
from voxrelay.storage.migrations import migrate
from voxrelay.telemetry import configure_logging, tell_process
from voxrelay.topology import topic_specs

SERVICES = ("denoise", "diarize", "transcribe", "classify", "synth", "projector")
PARTITIONS = 4
NAMED = (("transcribe", "models"), ("synth", "voices"))  # whose models /v1/models lists, and as what


class Embedded:
    """The whole platform. ``start`` returns when it takes calls."""

    def __init__(self, platform: PlatformSettings, services: Sequence[Service], port: int, grpc_port: int) -> None:
        self._services = services
        self._bus = MemoryBus()
        self._bus.create_topics(topic_specs(PARTITIONS))
        ActivationLog.lasting(self._bus, platform.data).take_up()
        self._threads = ServiceThreads(self._bus, platform, services)
        checks = {"runners": self._threads.check} | {name: check for service in services for name, check in service.checks.items()}
        rpc_services = [service.add_rpc for service in services if service.add_rpc is not None]
        offered = {setting: service.models for service in services for name, setting in NAMED if service.name == name}
        self._gateway: GatewayServer = compose_gateway(platform, self._bus, checks, rpc_services, port=port, grpc_port=grpc_port, **offered)

    @property
    def port(self) -> int:
        return self._gateway.port

    @property
    def grpc_port(self) -> int:
        return self._gateway.grpc_port

    @property
    def is_encrypted(self) -> bool:
        return self._gateway.is_encrypted

    @property
    def has_failed(self) -> bool:
        return self._threads.failed.is_set() or self._gateway.has_failed

    def start(self) -> None:
        self._threads.start()
        self._gateway.start()

    def stop(self) -> None:
        """Sessions finish, stages drain, engines end."""
        if not self._gateway.has_failed:
            self._gateway.stop()
        self._threads.stop()
        for service in self._services:
            service.close()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="voxrelay serve", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--grpc-port", type=int, default=50051)
    parser.add_argument("--data", type=Path, default=Path(".data"))
    parser.add_argument("--announce", choices=["text", "json"], default="text", help="how to say where it listens")
    return parser.parse_args()


def _announce(how: str, host: str, embedded: Embedded, seconds: float) -> None:
    url = f"{'https' if embedded.is_encrypted else 'http'}://{host}:{embedded.port}"
    if how == "json":
        print(json.dumps({"url": url, "grpc": f"{host}:{embedded.grpc_port}"}), flush=True)
        return
    print(f"Voxrelay is ready after {seconds:.1f} s.")
    print(f"  Page       {url}/")
    print(f"  WebSocket  {url.replace('http', 'ws', 1)}/ws/v1/transcribe")
    print(f"  REST       {url}/docs")
    print(f"  gRPC       {host}:{embedded.grpc_port}")
    print(f"Try: curl -s --data-binary @call.wav {url}/api/process")
    print("Ctrl-C ends it.", flush=True)


def main(services: Sequence[str] = SERVICES) -> None:
    started = time.monotonic()
    arguments = _arguments()
    platform = load_settings(PlatformSettings).model_copy(update={"data": arguments.data, "host": arguments.host})
    configure_logging("warning" if platform.log_level == "info" else platform.log_level, "text" if sys.stderr.isatty() else platform.log_format)
    tell_process("embedded")
    stop = threading.Event()
    stop_on_signals(stop)
    with or_exit(EngineUnusable, OSError):
        tracing.configure(platform.traces_endpoint, platform.traces_ratio, "embedded")
        platform.data.mkdir(parents=True, exist_ok=True)
        migrate(platform.resolved_database_url)
        composed = [import_module(f"services.{name}.compose").compose(platform) for name in services]
        embedded = Embedded(platform, composed, arguments.port, arguments.grpc_port)
        embedded.start()
    spare_collector()
    _announce(arguments.announce, arguments.host, embedded, time.monotonic() - started)
    while not stop.wait(0.2) and not embedded.has_failed:
        pass
    failed = embedded.has_failed
    embedded.stop()
    tracing.close()
    raise SystemExit(1 if failed else 0)
