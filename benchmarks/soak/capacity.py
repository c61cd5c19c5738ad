"""How many people the platform carries: more and more call until it is late."""

from __future__ import annotations

import asyncio

from benchmarks.report import percentile
from benchmarks.soak.calls import Load

BROKER_WARM_UP_S = 25.0
SETTLE_S, LOOK_S = 3.0, 6.0  # of each step; longer where one or two people have not said so much yet
LEAST_MESSAGES, LONGEST_LOOK_S = 5, 30.0
STEP = 1.25
TAKEN = 0.9  # the rest are between two calls, or refused


async def capacity(load: Load, first: int, late_s: float) -> tuple[int, list[tuple[int, float]]]:
    """The most sessions that are taken, with 95 % of their messages no later than this; each step with its p95 in seconds."""
    steps: list[tuple[int, float]] = []
    count, best = first, 0
    await load.hold(count)
    await asyncio.sleep(BROKER_WARM_UP_S)
    while True:
        await load.hold(count)
        await asyncio.sleep(SETTLE_S)
        load.delays.clear()
        await asyncio.sleep(LOOK_S)
        looked_s = LOOK_S
        while len(load.delays) < LEAST_MESSAGES and looked_s < LONGEST_LOOK_S:
            await asyncio.sleep(1.0)
            looked_s += 1.0
        waited_s = percentile(load.delays, 0.95) if load.delays else float("inf")
        steps.append((count, round(waited_s, 3)))
        print(f"  {count} sessions, {load.in_call} in a call: p95 {waited_s * 1000:.0f} ms", flush=True)
        if waited_s > late_s or load.in_call < TAKEN * count:
            return best or 1, steps
        best, count = count, max(count + 1, int(count * STEP))
