"""Times as people write them, for every command alike."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from voxrelay.cli.console import Failure
from voxrelay.cli.durations import between, duration_s, moment

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("7d", 604_800), ("604800s", 604_800)])
def test_a_length_of_time_is_also_so_long_ago(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds
    assert moment(text) == pytest.approx(time.time() - seconds, abs=5)


@pytest.mark.parametrize(
    ("text", "at"),
    [("2026-01-31", NOON - 43_200), ("2026-01-31T12:00", NOON), ("2026-01-31T12:00:00Z", NOON), ("2026-01-31T14:00+02:00", NOON)],
)
def test_a_time_is_utc_unless_it_says_its_zone(text: str, at: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert moment(text) == at
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["soon", "", "5", "1w", "-1d", "2026-13-01"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(Failure, match="neither a day"):
        moment(text)


@pytest.mark.parametrize("text", ["100000d", "9999999999s", "9999999999d"])
def test_what_lies_beyond_the_calendar_is_refused(text: str) -> None:
    for read in (duration_s, moment):
        with pytest.raises(Failure, match="99999d is the most"):
            read(text)


def test_what_ends_before_it_begins_is_refused() -> None:
    begin_s, end_s = between("2h", "1h")
    assert end_s - begin_s == pytest.approx(3600, abs=5)
    with pytest.raises(Failure, match="before"):
        between("1h", "2h")
