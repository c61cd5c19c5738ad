"""Compares the simulation with what was measured, and says what so many sessions need.

    python -m benchmarks.scaling [--measured FILE] [--sessions 1000 10000 1000000] [--streams-a-gpu 0]

The measured figures are those of ``measured.json``, or a file of the same form; ``--take-over`` makes it from the last runs of
``benchmarks.overhead`` and ``benchmarks.gateway``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.report import OUT, percentile, print_table, write_json, write_shares
from benchmarks.scaling import costs, sizes
from benchmarks.scaling.simulation import Simulation, chunks_of

SECONDS = 20.0
WARM_UP_S = 2.0
SIMULATED = (10, 25, 50, 75, 100, 125, 150, 175, 200, 250, 300)


def simulate(work: dict[str, Any], sessions: int, cores: int, seed: int) -> dict[str, Any]:
    """Latencies in milliseconds, and the cores that each process keeps busy."""
    rng = Random(seed)
    arrivals = chunks_of(sessions, SECONDS, rng)
    simulation = Simulation(work, costs.ROUTE, cores, rng)
    took = [late * 1000 for at, late in zip(arrivals, simulation.run(arrivals), strict=True) if at >= WARM_UP_S]
    busy = {name: round(used / SECONDS, 3) for name, used in simulation.busy_s.items()}
    return {"sessions": sessions, "p50_ms": round(percentile(took, 0.5), 1), "p99_ms": round(percentile(took, 0.99), 1), "cores_busy": busy}


def take_over(path: Path) -> None:
    """The newest figures of the other benchmarks become the measured ones; what the stages cost stays."""
    overhead, gateway = (json.loads((OUT / f"{name}.json").read_text()) for name in ("overhead", "gateway"))
    kept = costs.measured(path)["stage_cores_a_stream"] if path.exists() else {}
    figures = {"machine": overhead["machine"], "overhead": overhead["rows"], "gateway": gateway["rows"], "stage_cores_a_stream": kept}
    path.write_text(json.dumps(figures, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measured", type=Path, default=costs.MEASURED)
    parser.add_argument("--take-over", action="store_true")
    parser.add_argument("--sessions", type=int, nargs="+", default=[1_000, 10_000, 1_000_000])
    parser.add_argument("--streams-a-gpu", type=int, default=0, help="live streams that one GPU transcribes; 0: on processors")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.take_over:
        take_over(arguments.measured)
    figures = costs.measured(arguments.measured)
    work, cores = costs.unit_costs(figures["overhead"]), figures["machine"]["cores"]
    print_table(
        "Unit costs, microseconds of a core",
        ("process", "waking", "event", "full at sessions"),
        [
            (name, round(w.wake_s * 1e6), round(w.event_s * 1e6), round(w.threads / (w.event_s * costs.CHUNKS_A_SECOND * costs.visits()[name])))
            for name, w in work.items()
        ],
    )
    simulated = [simulate(work, sessions, cores, arguments.seed) for sessions in SIMULATED]
    seen = {row["sessions"]: row for row in figures["overhead"] if row["mode"] == "Kafka"}
    print_table(
        f"Simulated on {cores} cores, and measured",
        ("sessions", "p50 ms", "p99 ms", "measured p50", "measured p99", "busiest", "cores busy"),
        [
            (
                *(row["sessions"], row["p50_ms"], row["p99_ms"]),
                *(seen.get(row["sessions"], {}).get(name, "") for name in ("p50_ms", "p99_ms")),
                max(row["cores_busy"], key=row["cores_busy"].__getitem__),
                round(sum(row["cores_busy"].values()), 2),
            )
            for row in simulated
        ],
    )
    a_session = min(row["cpu_share"] / row["sessions"] for row in figures["gateway"])
    assumed = sizes.Assumed(streams_a_gpu=arguments.streams_a_gpu)
    wanted = [(sessions, sizes.size(sessions, a_session, figures["stage_cores_a_stream"], assumed)) for sessions in arguments.sessions]
    stages = tuple(figures["stage_cores_a_stream"])
    print_table(
        "What so many live sessions need, of each cell",
        ("sessions", "cells", "partitions", "gateways", *(f"{stage} cores" for stage in stages), "GPUs", "brokers", "log TB", "busiest partition"),
        [
            (
                *(sessions, need.cells, need.partitions, need.gateways, *(need.cores.get(stage, "on GPU") for stage in stages)),
                *(need.gpus, need.brokers, need.log_tb, need.busiest_partition),
            )
            for sessions, need in wanted
        ],
    )
    write_json("scaling", {"simulated": simulated, "sizes": [{"sessions": sessions, **vars(need)} for sessions, need in wanted]})
    lines = {f"simulated {name}": [(row["sessions"], row[f"{name}_ms"]) for row in simulated] for name in ("p50", "p99")}
    lines |= {f"measured {name}": [(at, row[f"{name}_ms"]) for at, row in sorted(seen.items())] for name in ("p50", "p99")}
    write_shares("scaling", "sessions", "ms from socket to result", lines)


if __name__ == "__main__":
    main()
