"""The whole platform as separate processes over a real cluster, every link to its servers through a proxy, every part to be broken by itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from local_services import commands
from local_services.kafka import BROKERS
from local_services.processes import free_port
from local_services.stack import SERVICES, Stack
from local_services.state import locked_state

from benchmarks.chaos.proxy import Network, Proxy

GATEWAYS = 2
MOST_REPLICAS = 3
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
SETTINGS = {
    "VOXRELAY_PARTITIONS": "6",
    "VOXRELAY_LOG_LEVEL": "info",
    # A final waits for its speakers and attributes, as long as it takes: what came in time must not depend on the fault.
    "VOXRELAY_GATEWAY_JOIN_WAIT_S": "90",
    "VOXRELAY_GATEWAY_STAGE_TIMEOUT_S": "180",
    "VOXRELAY_GATEWAY_MAX_LAG_S": "600",
    "VOXRELAY_GATEWAY_MAX_BUSY": "0",
    "VOXRELAY_GATEWAY_RESUME_S": "90",
    "VOXRELAY_GATEWAY_DRAIN_S": "3",
}
Say = Callable[[str], None]


class Platform:
    """Servers and services in ``folder``. ``with`` starts all of it, and ends all of it whatever happened.

    Services are named ``transcribe`` or, for a further replica, ``transcribe/1``. Methods block; one fault at a time may use one service.
    """

    def __init__(
        self, folder: Path, say: Say, *, brokers: int = 3, modules: Mapping[str, Sequence[str]] | None = None, has_clock: bool = False
    ) -> None:
        """``modules`` as ``Stack`` has them. ``has_clock`` puts libfaketime under the services, so that their clock can jump."""
        self._root, self._folder, self._say, self._brokers = folder / "services", folder, say, brokers
        self._modules = modules or {}
        self._has_clock = has_clock
        self._network = Network()
        self._holding = ExitStack()  # of the servers' folder, for as long as it runs: they are broken and mended side by side
        self._stacks: list[Stack] = []
        self._wanted: set[str] = set()
        self.links: dict[str, Proxy] = {}
        self.brokers = BROKERS[:brokers]
        self.direct: dict[str, str] = {}

    def __enter__(self) -> Platform:
        self._state = self._holding.enter_context(locked_state(self._root))
        try:
            self._start_servers()
            self._start_services()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    @property
    def gateways(self) -> list[str]:
        """Addresses of the gateways that run, ws://host:port. Never empty: with none running, where the first one will be."""
        running = [stack.url.replace("http", "ws", 1) for stack in self._stacks if stack.is_up("gateway")]
        return running or [self._stacks[0].url.replace("http", "ws", 1)]

    @property
    def replicas(self) -> list[str]:
        """Every service that runs."""
        return [_named(name, number) for number, stack in enumerate(self._stacks) for name in stack.services if stack.is_up(name)]

    def stack_of(self, service: str) -> tuple[Stack, str]:
        name, _, number = service.partition("/")
        return self._stacks[int(number or 0)], name

    def kill(self, service: str) -> None:
        self._wanted.discard(service)
        stack, name = self.stack_of(service)
        stack.kill(name)

    def start(self, service: str) -> None:
        stack, name = self.stack_of(service)
        if not stack.is_up(name):
            stack.start(name)
        self._wanted.add(service)

    def start_what_ended(self) -> list[str]:
        """Services that ended by themselves, started again as an orchestrator does: one that cannot go on ends, and a restart is exact."""
        ended = [service for service in sorted(self._wanted) if not self.stack_of(service)[0].is_up(self.stack_of(service)[1])]
        for service in ended:
            self.start(service)
        return ended

    def stop(self, service: str) -> int | None:
        """SIGTERM; its exit status."""
        self._wanted.discard(service)
        stack, name = self.stack_of(service)
        stack.stop(name)
        return stack.exit_status(name)

    def wait_ready(self) -> None:
        for number, stack in enumerate(self._stacks):
            running = [name for name in stack.services if _named(name, number) in self.replicas]
            if running:
                stack.wait_ready(*running)

    def kill_server(self, name: str) -> None:
        commands.kill(self._state, name, self._tell)

    def stop_server(self, name: str) -> None:
        commands.stop(self._state, [name], False, self._tell)

    def start_server(self, name: str) -> None:
        commands.start(self._state, [name], self._tell)

    def clock_file(self, service: str) -> Path:
        return self._folder / f"clock-{service.replace('/', '-')}"

    def log(self, service: str) -> Path:
        stack, name = self.stack_of(service)
        return stack.log_path(name)

    # --- from nothing ---

    def _start_servers(self) -> None:
        self._say(f"starting {self._brokers} broker(s), PostgreSQL and the object store")
        state = self._state
        if not state.exists:
            commands.lay_out(state, self._brokers)
            for name in commands.all_names(state):
                record = state.record(name)
                record.port = record.port or free_port()
                self.links[name] = Proxy(self._network, free_port(), record.port)
                if name in BROKERS:
                    record.settings["advertised_port"] = str(self.links[name].port)
            state.save()
        for link in self.links.values():
            link.open()
        commands.start(state, commands.all_names(state), self._tell)
        self.direct = commands.environment(state, commands.all_names(state))
        for name in self.brokers:
            ports = state.record(name).port, self.links[name].port
            self.direct["VOXRELAY_KAFKA_BOOTSTRAP"] = self.direct["VOXRELAY_KAFKA_BOOTSTRAP"].replace(f":{ports[0]}", f":{ports[1]}")
        self._through = self._through_proxies({name: state.record(name).port or 0 for name in ("postgres", "s3")})

    def _through_proxies(self, ports: Mapping[str, int]) -> dict[str, str]:
        found = dict(self.direct)
        for variable, name in (("VOXRELAY_DATABASE_URL", "postgres"), ("AWS_ENDPOINT_URL", "s3")):
            found[variable] = found[variable].replace(f":{ports[name]}", f":{self.links[name].port}")
        return found

    def _start_services(self) -> None:
        self._say("starting the seven services and a second gateway")
        environment = {**self._through, **SETTINGS}
        self._stacks = [
            Stack(self._folder / f"stack-{number}", environment, modules=self._modules, replica=number, further=self._clocks(number))
            for number in range(MOST_REPLICAS)
        ]
        self._stacks[0].prepare()
        for service in (*SERVICES, *(_named("gateway", number) for number in range(1, GATEWAYS))):
            self.start(service)
        self.wait_ready()

    def _clocks(self, number: int) -> dict[str, dict[str, str]]:
        """Variables that put each service's wall clock under a file of its own."""
        if not self._has_clock:
            return {}
        found = {}
        for name in SERVICES:
            path = self.clock_file(_named(name, number))
            path.write_text("+0\n")
            found[name] = {
                "LD_PRELOAD": str(FAKETIME),
                "FAKETIME_TIMESTAMP_FILE": str(path),
                "FAKETIME_CACHE_DURATION": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
        return found

    def _end(self) -> None:
        for number, stack in enumerate(self._stacks):
            for name in stack.services:
                if _named(name, number) in self.replicas:
                    stack.thaw(name)
                    stack.kill(name)
        commands.stop(self._state, commands.all_names(self._state), True, self._tell)
        self._holding.close()
        for link in self.links.values():
            link.close()
        self._network.close()

    def _tell(self, text: str) -> None:
        if os.environ.get("VOXRELAY_CHAOS_VERBOSE"):
            self._say(text)


def _named(name: str, number: int) -> str:
    return f"{name}/{number}" if number else name
