"""What was measured, and what follows from it for one event."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.scaling.simulation import Step, Work

MEASURED = Path(__file__).with_name("measured.json")
CHUNKS_A_SECOND = 10
LINGER_S, STAGE_LINGER_S = 0.005, 0.001  # of the gateway's producer and a stage's
ROUTE = (
    *(Step("client"), Step("gateway"), Step("broker", LINGER_S), Step("denoise"), Step("broker", STAGE_LINGER_S)),
    *(Step("transcribe"), Step("broker", STAGE_LINGER_S), Step("gateway"), Step("client")),
)
TOGETHER = ("denoise", "transcribe")  # a stage's results leave with its batch


def measured(path: Path = MEASURED) -> dict[str, Any]:
    """Figures of ``benchmarks.overhead``, ``benchmarks.gateway`` and the stages, with machine and date."""
    return dict(json.loads(path.read_text()))


def visits() -> dict[str, int]:
    """How often a chunk comes to each process."""
    return {name: sum(step.process == name for step in ROUTE) for name in dict.fromkeys(step.process for step in ROUTE)}


def unit_costs(rows: Sequence[Mapping[str, Any]]) -> dict[str, Work]:
    """From the cores each process kept busy at the least and the greatest load that left some idle.

    At the least load every event wakes its process: waking and the event together are what it cost. At the greatest many events share one waking,
    and what it cost is the event's own.
    """
    rows = sorted((row for row in rows if row["mode"] == "Kafka"), key=lambda row: row["sessions"])

    def a_visit_s(row: Mapping[str, Any], name: str) -> float:
        return float(row["cores_busy"][name]) / (row["sessions"] * CHUNKS_A_SECOND * visits()[name])

    costs = {}
    for name in visits():
        least, greatest = a_visit_s(rows[0], name), min(a_visit_s(row, name) for row in rows)
        costs[name] = Work(max(0.0, least - greatest), greatest, threads=2 if name == "broker" else 1, hands_over_together=name in TOGETHER)
    return costs
