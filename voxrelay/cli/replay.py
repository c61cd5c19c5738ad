"""``voxrelay replay``: another model over what was said, compared with what was published."""

from __future__ import annotations

import os
import sys

import typer

from voxrelay.cli.console import Failure
from voxrelay.cli.durations import between


def replay(
    model: str = typer.Option(..., help="A model for transcribe, from 'models list'."),
    begin: str = typer.Option("1h", "--from", help="When: 2026-01-31T12:00 (UTC), or so long ago (90s, 30m, 2h, 1d)."),
    end: str = typer.Option("0s", "--to", help="Until when, in the same way; now when absent."),
    lane: str = typer.Option("live", help="live or bulk."),
    as_json: bool = typer.Option(False, "--json", help="As JSON."),
) -> None:
    """Run another model over the audio the broker still holds (a day by default), at full speed and without touching live traffic.

    Says for each session that opened in that time how far the new text is from the one that was published.
    """
    begin_s, end_s = between(begin, end)
    if lane not in ("live", "bulk"):
        raise Failure("--lane is live or bulk.", 2)
    arguments = ["--model", model, "--from", repr(begin_s), "--to", repr(end_s), "--lane", lane, *(["--json"] if as_json else [])]
    os.execv(sys.executable, [sys.executable, "-m", "services.replay", *arguments])  # noqa: S606  # this very interpreter
