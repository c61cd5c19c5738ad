"""The seven services as separate processes over the real services: for `scripts/stack`, the fault tests and the benchmarks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local_services.processes import ServiceError, descendants, free_port, is_running, kill, launch, log_tail, start_time_ticks

SERVICES = ("gateway", "denoise", "diarize", "transcribe", "classify", "synth", "projector")
READY_WITHIN_S = 90.0
STOP_WITHIN_S = 60.0
REPOSITORY = Path(__file__).resolve().parent.parent.parent


@dataclass
class _Running:
    process: subprocess.Popen[bytes]
    started: int
    probe_port: int


class Stack:
    """Starts, watches, kills and restarts the services. One thread uses it."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        services: Sequence[str] = SERVICES,
        modules: Mapping[str, Sequence[str]] | None = None,
        replica: int | None = 0,
        further: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        """`environment` leads to the real services (what `scripts/services env` prints) and may hold any VOXRELAY_ setting.

        `modules` puts another `python -m` call in a service's place. Two stacks over the same broker need different `replica` numbers,
        or None: then a process leaves its groups when it stops, as a pod of a Deployment does, and is not waited for.
        `further` are variables of one service alone.
        """
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.services = tuple(services)
        self._modules = modules or {}
        self._replica = replica
        self._further = further or {}
        self.port = free_port()
        self.grpc_port = free_port()
        self._environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", **environment}
        self._running: dict[str, _Running] = {}
        self._ports = {name: (free_port(), free_port()) for name in self.services}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def metrics_ports(self) -> dict[str, int]:
        """Where each service answers /metrics."""
        return {name: self.port if name == "gateway" else ports[0] for name, ports in self._ports.items()}

    def prepare(self) -> None:
        """Topics and tables."""
        for arguments in (("topics", "create"), ("database", "migrate")):
            command = [sys.executable, "-m", "voxrelay.cli", *arguments]
            done = subprocess.run(command, env=self._environment, cwd=REPOSITORY, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise ServiceError(f"voxrelay {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")

    def start(self, *names: str) -> None:
        for name in names or self.services:
            probe_port, rpc_port = self._ports[name]
            instance = "" if self._replica is None else f"{name}-{self._replica}"
            own = {"VOXRELAY_INSTANCE": instance, "VOXRELAY_METRICS_PORT": str(probe_port), "VOXRELAY_GRPC_PORT": str(rpc_port)}
            if name == "gateway":
                own |= {"VOXRELAY_GATEWAY_PORT": str(self.port), "VOXRELAY_GATEWAY_GRPC_PORT": str(self.grpc_port)}
                probe_port = self.port
            command = [sys.executable, "-m", *self._modules.get(name, (f"services.{name}",))]
            process = launch(command, self.log_path(name), self._environment | own | dict(self._further.get(name, {})), REPOSITORY)
            self._running[name] = _Running(process, start_time_ticks(process.pid) or 0, probe_port)

    def wait_ready(self, *names: str) -> None:
        """Until each answers /ready with 200. Raises `ServiceError` with the end of the log of one that does not."""
        deadline = time.monotonic() + READY_WITHIN_S
        for name in names or self.services:
            while not self._is_ready(name):
                if self._running[name].process.poll() is not None or time.monotonic() > deadline:
                    raise ServiceError(f"{name} is not ready; its log ends:\n{log_tail(self.log_path(name))}")
                time.sleep(0.1)

    def kill(self, name: str) -> None:
        """SIGKILL, with its worker processes."""
        running = self._running[name]
        kill(running.process.pid, running.started)
        running.process.wait()

    def restart(self, name: str) -> None:
        self.start(name)

    def freeze(self, name: str) -> None:
        """SIGSTOP, with its worker processes; `thaw` lets them go on."""
        self._signal_all(name, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        self._signal_all(name, signal.SIGCONT)

    def workers(self, name: str) -> list[int]:
        """Process ids of what it has started."""
        return [pid for pid, _ in descendants(self.pid(name))]

    def _signal_all(self, name: str, number: signal.Signals) -> None:
        running = self._running[name]
        for pid, started in [(running.process.pid, running.started), *descendants(running.process.pid)]:
            if is_running(pid, started):
                os.kill(pid, number)

    def stop(self, *names: str) -> None:
        """SIGTERM to all at once, then wait for each to drain."""
        running = [self._running[name] for name in names or self.services if name in self._running]
        for item in running:
            if is_running(item.process.pid, item.started):
                os.kill(item.process.pid, signal.SIGTERM)
        for item in running:
            try:
                item.process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                kill(item.process.pid, item.started)
                item.process.wait()

    def pid(self, name: str) -> int:
        return self._running[name].process.pid

    def is_up(self, name: str) -> bool:
        """Whether it was started and has not ended."""
        return name in self._running and not self.has_ended(name)

    def has_ended(self, name: str) -> bool:
        return self._running[name].process.poll() is not None

    def ended(self) -> list[str]:
        """Those that were started and ended by themselves, or by somebody else."""
        return [name for name in self._running if self.has_ended(name)]

    def exit_status(self, name: str) -> int | None:
        return self._running[name].process.poll()

    def log_path(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _is_ready(self, name: str) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._running[name].probe_port}/ready", timeout=5.0) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
