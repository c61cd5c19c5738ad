"""What a process has used of the machine, and the machine's neighbours of ours, from /proc."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Processor seconds of all its threads so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


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


def used(pids: Mapping[str, int]) -> dict[str, float]:
    """Processor seconds so far of each process, and ``stolen``."""
    return {name: cpu_s(pid) for name, pid in pids.items()} | {"stolen": stolen_s()}
