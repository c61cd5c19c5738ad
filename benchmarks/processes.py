"""What a process has used of the machine, and the machine's neighbours of ours, from /proc."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
from local_services.processes import descendants  # it lies in scripts/

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int, *, with_ended: bool = False) -> float:
    """Processor seconds of all its threads so far, and of the children it has seen to their end."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11 : 15 if with_ended else 13])) / TICKS_A_SECOND


def memory_mb(pid: int) -> float:
    """Resident."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES / 1e6


def stolen_s() -> float:
    """Processor seconds, of all cores, in which this machine had work and its host ran another one (proc_stat(5), steal)."""
    return int(Path("/proc/stat").read_text().split("\n", 1)[0].split()[8]) / TICKS_A_SECOND


async def cores_busy(pids: Mapping[str, int], start_at: float, seconds: float) -> dict[str, float]:
    """How much of a core each process used, by name, from ``start_at`` (of ``time.perf_counter``) on for so long; ``stolen`` is the host's share."""
    await asyncio.sleep(max(0.0, start_at - time.perf_counter()))
    before, started = used(pids), time.perf_counter()
    await asyncio.sleep(seconds)
    passed = time.perf_counter() - started
    return {name: round((value - before[name]) / passed, 3) for name, value in used(pids).items()}


class Watch:
    """Memory and processor time of each process with its workers. ``cores`` counts from when it was asked last."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids, self._at = pids, time.perf_counter()
        self._used = used(pids)

    def memory(self) -> dict[str, float]:
        """MB."""
        return {name: round(_with_workers(pid, self._pids.values(), memory_mb), 2) for name, pid in self._pids.items()}

    def cores(self) -> dict[str, float]:
        """And ``stolen``, by the machine's neighbours."""
        now_used, now = used(self._pids), time.perf_counter()
        passed, self._at = max(1e-6, now - self._at), now
        found = {name: round((value - self._used[name]) / passed, 3) for name, value in now_used.items()}
        self._used = now_used
        return found


def used(pids: Mapping[str, int]) -> dict[str, float]:
    """Processor seconds so far of each process with its workers, and ``stolen``."""
    return {name: _with_workers(pid, pids.values(), partial(cpu_s, with_ended=True)) for name, pid in pids.items()} | {"stolen": stolen_s()}


def _with_workers(pid: int, named: Iterable[int], measure: Callable[[int], float]) -> float:
    """Of the process and its descendants, but for those that are measured by a name of their own, and theirs."""
    found, workers = measure(pid), _descendants(pid)
    for other in workers.intersection(named):
        workers -= {other} | _descendants(other)
    for worker in workers:
        try:
            found += measure(worker)
        except OSError:
            continue  # it has just ended
    return found


def _descendants(pid: int) -> set[int]:
    return {descendant for descendant, _ in descendants(pid)}
