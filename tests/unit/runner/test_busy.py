"""How busy a stage is, as its results say it."""

from __future__ import annotations

from unittest.mock import Mock

import pytest
from prometheus_client import REGISTRY

from tests.unit.runner.counting import CountingStage
from tests.unit.runner.test_stage_runner import feed, make_bus, read_all, run_until_idle, session_of
from voxrelay import codec
from voxrelay.bus.api import Consumer
from voxrelay.runner.measures import StageMeasures
from voxrelay.topology import AUDIO_DENOISED, DENOISE


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_share_of_the_last_second_that_its_batches_took(share: float) -> None:
    now = [1000.0]
    measures, consumer = StageMeasures("denoise", "live", lambda: now[0]), Mock(spec=Consumer)
    for busy in (0.5, share):
        for _ in range(30):
            now[0] += 0.1 * (1 - busy)  # nothing came
            began = now[0]
            now[0] += 0.1 * busy
            measures.handled([], consumer, began)
    assert measures.busy_share == pytest.approx(share, abs=0.01)


def test_results_say_how_busy_their_stage_was() -> None:
    bus, stage, now = make_bus(), CountingStage(), [1000.0]

    def pass_time(seconds: float) -> None:
        now[0] += seconds

    feed(bus, "s", session_of(60))
    stage.fail = lambda event: pass_time(0.04)
    run_until_idle(bus, stage, between=lambda: pass_time(0.06), clock=lambda: now[0], batch_events=1)
    told = [codec.decode(record.key, record.value, record.headers).busy for record in read_all(bus, AUDIO_DENOISED.name("live"))]
    assert told[0] == 0.0, "nothing is known yet"
    assert told[-10:] == pytest.approx([0.4] * 10, abs=0.05)


def test_waiting_for_the_log_is_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    bus, stage, now = make_bus(), CountingStage(), [1000.0]

    def pass_time(seconds: float) -> None:
        now[0] += seconds

    feed(bus, "s", session_of(20))
    producer = bus.producer()
    flush = producer.flush
    monkeypatch.setattr(producer, "flush", lambda *timeout: (pass_time(1.0), flush(*timeout)))
    monkeypatch.setattr(bus, "producer", lambda **_: producer)
    stage.fail = lambda event: pass_time(0.25)
    labels = {"stage": DENOISE.name, "lane": "live"}
    before = REGISTRY.get_sample_value("voxrelay_busy_seconds_total", labels) or 0.0
    run_until_idle(bus, stage, clock=lambda: now[0])
    events = len(session_of(20))
    assert now[0] >= 1000.0 + 0.25 * events + 1.0, "the log took its time"
    after = REGISTRY.get_sample_value("voxrelay_busy_seconds_total", labels) or 0.0
    assert after - before == pytest.approx(0.25 * events, abs=0.01)
