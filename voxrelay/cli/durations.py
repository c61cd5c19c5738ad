"""Times as people write them: 90s, 30m, 12h, 90d, a day, or a day and a time."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

from voxrelay.cli.console import Failure

_DURATION = re.compile(r"(\d{1,10})([dhms])")
_SECONDS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
LONGEST_S = 99_999 * 86_400  # beyond it lie days that no calendar here has


def duration_s(text: str) -> float:
    """Raises ``Failure`` for what is none."""
    found = _DURATION.fullmatch(text)
    if not found:
        raise Failure(f"{text} is no length of time: write 30m, 12h or 7d.", 2)
    seconds = int(found[1]) * _SECONDS[found[2]]
    if seconds > LONGEST_S:
        raise Failure(f"{text} is too long: 99999d is the most.", 2)
    return float(seconds)


def is_duration(text: str) -> bool:
    return _DURATION.fullmatch(text) is not None


def moment(text: str) -> float:
    """A time or a day's first second (UTC unless it says its zone), or that long ago; seconds since the epoch.

    Raises ``Failure`` for what is none of them.
    """
    if is_duration(text):
        return time.time() - duration_s(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Failure(f"{text} is neither a day (2026-01-31), nor a time (2026-01-31T12:00), nor so long ago (90d, 12h, 30m, 90s).", 2) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def between(begin: str, end: str) -> tuple[float, float]:
    """``--from`` and ``--to`` in seconds since the epoch. Raises ``Failure``."""
    begin_s, end_s = moment(begin), moment(end)
    if begin_s >= end_s:
        raise Failure("--from must lie before --to.", 2)
    return begin_s, end_s
