"""What a benchmark measures, as processes of its own: another's sessions have nothing to say to them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.report import OUT

REPOSITORY = Path(__file__).resolve().parent.parent


@contextmanager
def broker(name: str) -> Iterator[Mapping[str, str]]:
    """A Kafka broker; what leads to it. ``name`` is the benchmark's."""
    root = OUT / f"{name}-services"

    def services(*arguments: str) -> str:
        command = [sys.executable, str(REPOSITORY / "scripts" / "services"), *arguments, "--root", str(root)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    services("start", "--only", "kafka")
    try:
        yield json.loads(services("env", "--json", "--only", "kafka"))
    finally:
        services("stop", "--wipe")


def broker_pid(name: str) -> int:
    """The process of the broker that ``broker`` started for this benchmark."""
    return int(json.loads((OUT / f"{name}-services" / "services.json").read_text())["services"]["kafka"]["pid"])


@contextmanager
def stack(
    name: str, kafka: Mapping[str, str], services: Sequence[str], settings: Mapping[str, str] | None = None, modules: Mapping[str, Any] | None = None
) -> Iterator[Any]:
    """The ``local_services.stack.Stack``, ready. ``modules``: other programs in a service's place.

    Ends the program with status 1 when a service ended meanwhile: what was measured then is not what it says.
    """
    sys.path.insert(0, str(REPOSITORY / "scripts"))
    from local_services.stack import Stack

    shutil.rmtree(OUT / f"{name}-stack", ignore_errors=True)  # the logs of the run before
    database = {"VOXRELAY_DATABASE_URL": f"sqlite:///{OUT / name}.db"}
    running = Stack(OUT / f"{name}-stack", {**kafka, **database, **(settings or {})}, services, modules)
    running.prepare()
    running.start()
    try:
        running.wait_ready()
        yield running
        if ended := running.ended():
            raise SystemExit("\n".join(f"{name} ended by itself with status {running.exit_status(name)}: {running.log_path(name)}" for name in ended))
    finally:
        running.stop()


@contextmanager
def program(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    """``python -m COMMAND``, ended by SIGTERM: the first line it prints, and its process."""
    child = subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY, env={**os.environ, **environment})
    try:
        yield child.stdout.readline() if child.stdout else "", child.pid
    finally:
        child.terminate()
        child.wait(60)


@contextmanager
def embedded(settings: Mapping[str, str] | None = None) -> Iterator[tuple[str, int]]:
    """The embedded platform with the bundled engines: its address and process."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["services", "--port", "0", "--grpc-port", "0", "--data", folder, "--announce", "json"]
        with program(command, {"VOXRELAY_LOG_LEVEL": "error"} | dict(settings or {})) as (line, pid):
            yield str(json.loads(line)["url"]), pid


@contextmanager
def relay(kafka: Mapping[str, str], hops: int, partitions: int = 8) -> Iterator[tuple[int, int]]:
    """The bare relay (``benchmarks.relay``) over this broker: its port and process."""
    with program(["benchmarks.relay", str(hops), str(partitions)], kafka) as (port, pid):
        yield int(port), pid
