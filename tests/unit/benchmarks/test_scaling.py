"""The simulation agrees with what queueing theory knows in closed form, and sizes follow from unit costs."""

from __future__ import annotations

from random import Random
from statistics import mean

import pytest

from benchmarks.scaling import costs, sizes
from benchmarks.scaling.simulation import Simulation, Step, Work, chunks_of

SERVICE_S = 0.001


def arrivals(rate_hz: float, number: int, seed: int) -> list[float]:
    rng, at = Random(seed), 0.0
    return [at := at + rng.expovariate(rate_hz) for _ in range(number)]


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_one_server_waits_as_pollaczek_and_khinchine_say(load: float) -> None:
    work = {"one": Work(0.0, SERVICE_S, at_most=1)}
    took = Simulation(work, [Step("one")], 1, Random(1), is_regular=True).run(arrivals(load / SERVICE_S, 60_000, 7))
    assert mean(took) == pytest.approx(SERVICE_S + load * SERVICE_S / (2 * (1 - load)), rel=0.08)


def test_what_comes_while_a_process_is_at_work_shares_its_next_waking() -> None:
    work = {"one": Work(0.010, 0.001)}
    simulation = Simulation(work, [Step("one")], 1, Random(1), is_regular=True)
    assert simulation.run([0.0, 0.001, 0.002]) == pytest.approx([0.011, 0.021, 0.021])
    assert simulation.busy_s["one"] == pytest.approx(0.023)


def test_a_stage_hands_its_batch_over_together() -> None:
    work = {"first": Work(0.0, 0.005), "stage": Work(0.0, 0.001, hands_over_together=True)}
    took = Simulation(work, [Step("stage"), Step("first")], 2, Random(1), is_regular=True).run([0.0, 0.0, 0.0])
    assert took == pytest.approx([0.006, 0.011, 0.016])  # the first alone, then the other two


def test_events_are_gathered_before_a_step() -> None:
    work = {"one": Work(0.0, 0.0001)}
    took = Simulation(work, [Step("one", gathered_s=0.005)], 1, Random(1), is_regular=True).run([0.0, 0.004, 0.006])
    assert took == pytest.approx([0.0051, 0.0012, 0.0051])


def test_processes_wait_for_cores() -> None:
    work = {"a": Work(0.0, 0.01), "b": Work(0.0, 0.01)}
    route = [Step("a"), Step("b")]
    both = [Simulation(work, route, cores, Random(1), is_regular=True).run([0.0, 0.01]) for cores in (1, 2)]
    assert both[0] == pytest.approx([0.02, 0.03]) or both[0] == pytest.approx([0.03, 0.03])
    assert both[1] == pytest.approx([0.02, 0.02])


def test_the_same_seed_gives_the_same_figures_and_another_one_does_not() -> None:
    def once(seed: int) -> list[float]:
        rng = Random(seed)
        return Simulation({"one": Work(0.0001, 0.0002)}, [Step("one")], 1, rng).run(chunks_of(5, 2.0, rng))

    assert once(3) == once(3)
    assert once(3) != once(4)
    assert len(once(3)) == 100


def test_unit_costs_are_those_of_the_least_and_the_fullest_load() -> None:
    def row(sessions: int, waking_us: float) -> dict[str, object]:
        chunks = sessions * costs.CHUNKS_A_SECOND
        busy = {name: chunks * count * (waking_us + 100) / 1e6 for name, count in costs.visits().items()}
        return {"mode": "Kafka", "sessions": sessions, "cores_busy": busy}

    found = costs.unit_costs([row(200, 0.0), row(10, 300.0), {"mode": "embedded"}])
    assert {round(work.wake_s * 1e6) for work in found.values()} == {300}
    assert {round(work.event_s * 1e6) for work in found.values()} == {100}


def test_sizes_grow_with_the_sessions_and_no_process_is_without_a_partition() -> None:
    stages = {"denoise": 0.01, "transcribe": 0.25}
    needs = [sizes.size(sessions, 0.001, stages, sizes.Assumed()) for sessions in (10, 1_000, 5_000)]
    for need in needs:
        assert need.partitions >= 2 * max(need.gateways, need.cores["transcribe"] / sizes.WORKERS_A_PROCESS)
        assert need.brokers >= sizes.COPIES
        assert need.gpus == 0
    assert needs[0].gateways == 1
    assert needs[1].gateways == 2  # 1,000 sessions are one core, planned with 60 % of each
    assert needs[1].cores == {"denoise": 17, "transcribe": 209}
    assert [need.cells for need in needs] == [1, 1, 1]
    million = sizes.size(1_000_000, 0.001, stages, sizes.Assumed(streams_a_gpu=100))
    assert million.cells == 200
    assert million.gpus == 25
    assert "transcribe" not in million.cores
