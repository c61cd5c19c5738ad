"""How busy a stage is, as its results say it."""

from __future__ import annotations

import pytest

from tests.unit.runner.counting import CountingStage
from tests.unit.runner.test_stage_runner import feed, make_bus, read_all, run_until_idle, session_of
from voxrelay import codec
from voxrelay.runner.measures import StageMeasures
from voxrelay.topology import AUDIO_DENOISED


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_share_of_the_last_second_that_its_batches_took(share: float) -> None:
    now = [1000.0]
    measures = StageMeasures("denoise", "live", lambda: now[0])
    for busy in (0.5, share):
        for _ in range(30):
            now[0] += 0.1 * (1 - busy)  # nothing came
            began = now[0]
            now[0] += 0.1 * busy
            measures.worked(began)
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
