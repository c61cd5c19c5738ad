"""Times as people write them: 30m, 12h, 90d, or a day."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

from voxrelay.cli.console import Failure

_DURATION = re.compile(r"(\d{1,5})([dhm])")
_SECONDS = {"d": 86_400, "h": 3600, "m": 60}


def duration_s(text: str) -> float:
    """Raises ``Failure`` for what is none."""
    found = _DURATION.fullmatch(text)
    if not found:
        raise Failure(f"{text} is no length of time: write 30m, 12h or 7d.", 2)
    return float(int(found[1]) * _SECONDS[found[2]])


def is_duration(text: str) -> bool:
    return _DURATION.fullmatch(text) is not None


def moment(text: str) -> float:
    """A time or a day's first second (UTC), or that long ago; seconds since the epoch. Raises ``Failure`` for what is none of them."""
    if is_duration(text):
        return time.time() - duration_s(text)
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise Failure(f"{text} is neither a day (2026-01-31) nor a time ago (90d, 12h).", 2) from None
