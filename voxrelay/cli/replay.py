"""``voxrelay replay``: another model over what was said, compared with what was published."""

from __future__ import annotations

import os
import re
import sys
import time
from datetime import datetime

import typer

from voxrelay.cli.console import Failure

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def replay(
    model: str = typer.Option(..., help="A model for transcribe, from 'models list'."),
    begin: str = typer.Option("1h", "--from", help="When: 2026-01-31T12:00, or so long ago (90s, 30m, 2h, 1d)."),
    end: str = typer.Option("0s", "--to", help="Until when, in the same way; now when absent."),
    lane: str = typer.Option("live", help="live or bulk."),
    as_json: bool = typer.Option(False, "--json", help="As JSON."),
) -> None:
    """Run another model over the audio the broker still holds (a day by default), at full speed and without touching live traffic.

    Says for each session that opened in that time how far the new text is from the one that was published.
    """
    begin_s, end_s = between(begin, end, time.time())
    if lane not in ("live", "bulk"):
        raise Failure("--lane is live or bulk.", 2)
    arguments = ["--model", model, "--from", repr(begin_s), "--to", repr(end_s), "--lane", lane, *(["--json"] if as_json else [])]
    os.execv(sys.executable, [sys.executable, "-m", "services.replay", *arguments])  # noqa: S606  # this very interpreter


def between(begin: str, end: str, now: float) -> tuple[float, float]:
    """``--from`` and ``--to`` in seconds since the epoch. Raises ``Failure``."""
    begin_s, end_s = _moment(begin, now), _moment(end, now)
    if begin_s >= end_s:
        raise Failure("--from must lie before --to.", 2)
    return begin_s, end_s


def _moment(text: str, now: float) -> float:
    """Seconds since the epoch; a time without a zone is this machine's."""
    ago = re.fullmatch(r"(\d+)([smhd])", text)
    if ago:
        return now - int(ago[1]) * _SECONDS[ago[2]]
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise Failure(f"'{text}' is no time: write 2026-01-31T12:00, or 90s, 30m, 2h or 1d for so long ago.", 2) from None
