"""What a process and the worker processes it started take of the machine: read from /proc when somebody scrapes, and nothing on systems without."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


def _of(pid: int) -> tuple[float, float]:
    """Resident bytes and CPU seconds of a process; zeros where it has ended."""
    try:
        resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, IndexError, ValueError):
        return 0.0, 0.0
    return float(resident), (int(fields[11]) + int(fields[12])) / _TICKS


class Footprint(Collector):
    """A worker that died takes its CPU seconds with it: the counter begins again, as counters may."""

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        memory = GaugeMetricFamily("voxrelay_memory_bytes", "Resident memory.", labels=["part"])
        processor = CounterMetricFamily("voxrelay_cpu_seconds", "Processor time, user and system.", labels=["part"])
        workers = [_of(child.pid) for child in multiprocessing.active_children() if child.pid is not None]
        for part, taken in (("service", [_of(os.getpid())]), ("workers", workers)):
            memory.add_metric([part], sum(bytes_ for bytes_, _ in taken))
            processor.add_metric([part], sum(seconds for _, seconds in taken))
        yield memory
        yield processor
