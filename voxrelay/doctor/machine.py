"""This machine: weights, disk, memory, ports."""

from __future__ import annotations

import errno
import http.client
import shutil
import socket
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from voxrelay.doctor.report import Finding, finding, named
from voxrelay.models.registry import ModelRegistry

GIGABYTE = 1e9
SHORT_DISK_BYTES = 5 * GIGABYTE
FULL_DISK_BYTES = 0.5 * GIGABYTE
SHORT_MEMORY_BYTES = 1 * GIGABYTE
ANSWER_WITHIN_S = 2.0
CGROUP = Path("/sys/fs/cgroup")
MEMORY = Path("/proc/meminfo")


class Port(NamedTuple):
    number: int
    what: str
    setting: str


def models(folder: Path, needed: Collection[str]) -> list[Finding]:
    """Every file that is there is read and compared with its checksum; the models of these names must be there."""
    registry = ModelRegistry(folder)
    known = {entry.name: entry for entry in registry.entries()}
    there = sorted(name for name in known if known[name].files and registry.is_installed(name))
    unknown = [name for name in needed if name not in known]
    missing = [name for name in needed if name in known and not registry.is_installed(name)]
    corrupt = [name for name in there if not registry.has_checksums(name)]
    found = []
    if unknown:
        found.append(finding("MODELS_UNKNOWN", folder=folder, names=named(unknown)))
    if missing:
        found.append(finding("MODELS_MISSING", folder=folder, names=" ".join(missing)))
    if corrupt:
        found.append(finding("MODELS_CORRUPT", folder=folder, names=" ".join(corrupt)))
    return found or [finding("MODELS_WHOLE", folder=folder, names=named(there) or "none are needed")]


def disk(folders: Collection[Path], short_bytes: float = SHORT_DISK_BYTES, full_bytes: float = FULL_DISK_BYTES) -> list[Finding]:
    """Room on each disk these folders lie on, or will be made on; then the folders that cannot be written."""
    by_disk: dict[int, list[Path]] = {}
    for folder in dict.fromkeys(_existing(folder) for folder in folders):
        by_disk.setdefault(folder.stat().st_dev, []).append(folder)
    found = []
    for together in by_disk.values():
        free = shutil.disk_usage(together[0]).free
        code = "DISK_FULL" if free < full_bytes else "DISK_SHORT" if free < short_bytes else "DISK_ROOM"
        found.append(finding(code, free_gb=f"{free / GIGABYTE:.1f}", folder=" and ".join(map(str, together))))
    return found + [refusal for together in by_disk.values() for folder in together for refusal in _unwritable(folder)]


def _unwritable(folder: Path) -> list[Finding]:
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return [finding("DISK_NOT_WRITABLE", folder=folder, reason=error.strerror)]
    return []


def memory(short_bytes: float = SHORT_MEMORY_BYTES) -> list[Finding]:
    free = free_memory_bytes()
    if free < short_bytes:
        return [finding("MEMORY_SHORT", free_gb=f"{free / GIGABYTE:.1f}", needed_gb=f"{short_bytes / GIGABYTE:.1f}")]
    return [finding("MEMORY_ROOM", free_gb=f"{free / GIGABYTE:.1f}")]


def free_memory_bytes(meminfo: Path = MEMORY, cgroup: Path = CGROUP) -> float:
    """What may still be taken here: of the machine, or of the container where that has less. ``inf`` where neither is told (not Linux)."""
    free = float("inf")
    try:
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
        free = float(lines["MemAvailable"].split()[0]) * 1024
        limit = (cgroup / "memory.max").read_text().strip()
        if limit != "max":
            free = min(free, float(limit) - float((cgroup / "memory.current").read_text()))
    except (OSError, KeyError):
        pass  # no container, or another kind of cgroup
    return free


def ports(host: str, wanted: Sequence[Port]) -> list[Finding]:
    """Free, ours, or somebody else's. 0 takes a free one and is not looked at."""
    return [_port(host, port) for port in wanted if port.number]


def _port(host: str, port: Port) -> Finding:
    values: dict[str, Any] = {"port": port.number, "what": port.what, "host": host, "setting": port.setting}
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port.number, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, socket.SOCK_STREAM) as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(address)
            server.listen(1)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return finding("PORT_OURS" if _is_ours(host, port.number) else "PORT_TAKEN", **values)
        return finding("PORT_UNUSABLE", reason=error.strerror, **values)
    return finding("PORT_FREE", **values)


def _is_ours(host: str, port: int) -> bool:
    """Whether it answers as our ports do, which speak HTTP or gRPC, without TLS."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # asked, not opened
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_WITHIN_S)
    try:
        connection.request("GET", "/health")
        return b'"alive"' in connection.getresponse().read(1000)
    except (OSError, http.client.HTTPException):
        return _speaks_grpc(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    finally:
        connection.close()


def _speaks_grpc(address: str) -> bool:
    """Whether gRPC's health service answers there."""
    with grpc.insecure_channel(address) as channel:
        try:
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=ANSWER_WITHIN_S)
        except grpc.RpcError:
            return False
        return True


def _existing(folder: Path) -> Path:
    """The folder itself or the nearest one above it that exists."""
    folder = folder.absolute()
    return next(place for place in (folder, *folder.parents) if place.is_dir())
