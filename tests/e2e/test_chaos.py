"""A small fault campaign by the tool's own code: people speak, one thing after another breaks and comes back, and nothing is lost or changed.

Everything is its own: a cluster of three brokers, PostgreSQL, an S3 server, every service as a process. ``make chaos`` is the long one.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.chaos.callers import voices
from benchmarks.chaos.campaign import Campaign, Round
from benchmarks.chaos.plan import plan
from benchmarks.chaos.platform import Platform
from benchmarks.chaos.verdict import Outcome

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(900)]

SEED = 5
SESSIONS = 4
SECONDS = 30.0
STAGES = ("denoise", "diarize", "transcribe", "classify", "projector")
FAULTS = (
    *[("kill", service) for service in (*STAGES, "gateway/1")],
    ("drain", "transcribe"),
    ("scale", "denoise"),
    ("broker kill", "kafka-2"),
    ("database restart", "postgres"),
    ("store refuses", "s3"),
    ("poison", "speech.audio.denoised.v1"),
    ("engine out of memory", "transcribe"),
)


@pytest.fixture(scope="module")
def platform(kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Where real services are wanted at all (``kafka_bootstrap`` says so), it brings its own."""
    with Platform(tmp_path_factory.mktemp("chaos"), print) as platform:
        yield platform


@pytest.fixture(scope="module")
def campaign(platform: Platform, eval_data: Path) -> Iterator[Campaign]:
    campaign = Campaign(platform, voices(2, SECONDS, eval_data), SESSIONS, print)
    yield campaign
    campaign.close()


@pytest.fixture(scope="module")
def undisturbed(campaign: Campaign) -> dict[str, Outcome]:
    return campaign.run_undisturbed()


@pytest.fixture(scope="module")
def disturbed(campaign: Campaign, undisturbed: dict[str, Outcome]) -> Round:
    return campaign.run(SEED, plan(SEED, campaign.duration_s, FAULTS))


def test_an_undisturbed_run_says_something(undisturbed: dict[str, Outcome]) -> None:
    """Otherwise nothing would be compared with nothing."""
    for outcome in undisturbed.values():
        kinds = {key[0] for key in outcome.kept}
        assert len(outcome.heard.of("final")) >= 2
        assert {"words", "speaker_segments", "attributes", "recordings", "objects"} <= kinds
        assert len({final["speaker"] for final in outcome.heard.of("final")}) >= 2
        assert outcome.heard.messages[-1][1]["type"] == "closed"


def test_every_fault_struck(disturbed: Round) -> None:
    assert len(disturbed.struck) == len(FAULTS)
    assert not disturbed.problems


def test_nothing_is_lost_doubled_or_changed(disturbed: Round) -> None:
    assert len(disturbed.callers) == SESSIONS
    assert not disturbed.verdict.differences
    assert disturbed.verdict.is_clean


def test_sigterm_drains_and_ends_with_status_zero(platform: Platform, disturbed: Round) -> None:
    """All at once, and last: nothing starts them again."""
    services = (*STAGES, "synth", "gateway", "gateway/1")
    with ThreadPoolExecutor(len(services)) as threads:
        assert dict(zip(services, threads.map(platform.stop, services), strict=True)) == dict.fromkeys(services, 0)
