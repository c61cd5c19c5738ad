"""What the embedded platform costs before anybody speaks: seconds until it takes calls, memory of all its processes when idle.

python -m benchmarks.startup [--times 5]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from benchmarks import alone
from benchmarks.report import percentile, print_table, write_bars, write_json

IDLE_S = 5.0


def _children(pid: int) -> list[int]:
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += _children(int(child))
    return found


def _memory_mb(pid: int) -> float:
    """Proportional set size of the process and its children: what they really take, shared pages counted once."""
    total_kb = 0
    for process in _children(pid):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total_kb += int(line.split()[1])
    return total_kb / 1024


def run() -> tuple[float, float]:
    """Seconds to ready and megabytes idle, of one start."""
    started = time.perf_counter()
    with alone.embedded() as (_, pid):
        ready_s = time.perf_counter() - started
        time.sleep(IDLE_S)
        return ready_s, _memory_mb(pid)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5)
    starts = [run() for _ in range(parser.parse_args().times)]
    ready = [start[0] for start in starts]
    memory = [start[1] for start in starts]
    rows = [
        ("ready, s", *(f"{percentile(ready, share):.2f}" for share in (0.5, 1.0))),
        ("idle memory, MB", *(f"{percentile(memory, share):.0f}" for share in (0.5, 1.0))),
    ]
    print_table(f"Embedded platform, {len(starts)} starts", ("", "median", "worst"), rows)
    write_json("startup", {"ready_s": ready, "memory_mb": memory})
    bars = {f"start {number}": {"ready, s": start[0], "idle memory, 100 MB": start[1] / 100} for number, start in enumerate(starts, 1)}
    write_bars("startup", "s, 100 MB", bars)


if __name__ == "__main__":
    main()
