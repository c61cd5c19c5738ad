"""Processes that outlive this script: launching, recognising, ending them, and the ports they listen on."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

STOP_GRACE_S = 20.0
POLL_INTERVAL_S = 0.05

_given_ports: set[int] = set()


class ServiceError(Exception):
    """What went wrong, in words for the person at the terminal, with what to do about it."""


def start_time_ticks(pid: int) -> int | None:
    """The kernel's start time of a process in clock ticks since boot; None where it has ended or is a zombie.

    Together with the pid it names one process for good: a pid that was given to another process later has another
    start time.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the program's name in brackets and may itself hold blanks and brackets.
    fields = stat.rpartition(")")[2].split()
    state, started = fields[0], int(fields[19])
    return None if state in "ZX" else started


def is_running(pid: int | None, started: int | None) -> bool:
    """Whether exactly the process that was recorded under this pid and start time still runs."""
    return pid is not None and started is not None and start_time_ticks(pid) == started


def launch(
    command: Sequence[str | Path],
    log_path: Path,
    environment: Mapping[str, str],
    folder: Path,
    user: str | None = None,
) -> subprocess.Popen[bytes]:
    """Starts a process in a session of its own (Ctrl-C of the caller does not reach it), its output appended to a file.

    `user` is given only by root: the process then runs as that user with that user's group and no others.
    """
    with log_path.open("ab") as log:
        return subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )


def end(pid: int, started: int, stop_signal: signal.Signals, grace_s: float = STOP_GRACE_S) -> None:
    """Asks a process to stop, and kills it with everything it started when it has not done so in time."""
    if not is_running(pid, started):
        return
    everything = [(pid, started), *descendants(pid)]
    os.kill(pid, stop_signal)
    if not _gone_within(everything, grace_s):
        _kill_all(everything)


def kill(pid: int, started: int) -> None:
    """Ends a process and everything it started with SIGKILL, the main process first, as a crash would."""
    if is_running(pid, started):
        _kill_all([(pid, started), *descendants(pid)])


def _kill_all(identities: Sequence[tuple[int, int]]) -> None:
    for pid, started in identities:
        if is_running(pid, started):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # it ended by itself between the look and the signal
    if not _gone_within(identities, STOP_GRACE_S):
        pids = ", ".join(str(pid) for pid, started in identities if is_running(pid, started))
        raise ServiceError(f"Processes {pids} did not end after SIGKILL; look at their state in /proc/PID/status.")


def _gone_within(identities: Sequence[tuple[int, int]], limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    while any(is_running(pid, started) for pid, started in identities):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_INTERVAL_S)
    return True


def descendants(pid: int) -> list[tuple[int, int]]:
    """Children, their children and so on. PostgreSQL's are in sessions of their own, so no process group holds them."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while the list was read
        parent = int(stat.rpartition(")")[2].split()[1])
        children.setdefault(parent, []).append(int(entry.name))
    found: list[tuple[int, int]] = []
    waiting = list(children.get(pid, ()))
    while waiting:
        child = waiting.pop()
        started = start_time_ticks(child)
        if started is not None:
            found.append((child, started))
        waiting.extend(children.get(child, ()))
    return found


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        # As the servers do: connections of an earlier server in TIME_WAIT do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A loopback port nobody listens on, outside the range the kernel hands to outgoing connections.

    Port 0 would give one inside that range. While a server is down in a fault test its clients try to reconnect all
    the time, and sooner or later the kernel gives one of them the server's own port as its source, which connects it
    to itself and keeps the server from coming back.
    """
    lowest_ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    if lowest_ephemeral > 12_000:
        for _ in range(200):
            port = random.randrange(10_240, lowest_ephemeral)
            # Services start side by side, and a port stays free until its server listens.
            if port not in _given_ports and port_is_free(port):
                _given_ports.add(port)
                return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def accepts_connections(port: int) -> bool:
    """Whether something accepts TCP connections on this loopback port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return True
    except OSError:
        return False


def log_tail(path: Path, lines: int = 25) -> str:
    """The last lines of a log file, indented for an error message."""
    if not path.exists():
        return "  (no log was written)"
    text = path.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join(f"  | {line}" for line in text) or "  (the log is empty)"
