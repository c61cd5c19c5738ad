"""``voxrelay usage``: what was used, by key and day, straight from the database (of VOXRELAY_DATABASE_URL, or of a data folder)."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import typer
from rich.table import Column, Table

from voxrelay.cli.console import Failure, print_json, print_table
from voxrelay.cli.sessions import AS_JSON, DATA, stored_views
from voxrelay.shapes import usage_json


def usage(
    key: str = typer.Option("", help="Only this key's, by its id."),
    first: str = typer.Option("", "--from", help="First day, 2026-01-31 (UTC)."),
    last: str = typer.Option("", "--to", help="Last day."),
    as_json: bool = AS_JSON,
    data: Path = DATA,
) -> None:
    """Seconds of audio and characters of speech by key and day, as they were stored."""
    found = stored_views(data).usage(key or None, _day(first), _day(last))
    if as_json:
        print_json([usage_json(of_day) for of_day in found])
        return
    if not found:
        raise Failure("Nothing was used.", 3)
    table = Table(*(Column(name, no_wrap=True) for name in ("day", "key", "sessions", "audio", "syntheses", "characters")), box=None)
    for of in found:
        table.add_row(str(of.day), of.owner or "(none)", str(of.sessions), f"{of.audio_seconds:.1f} s", str(of.syntheses), str(of.characters))
    print_table(table)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise Failure(f"{text} is no day: write 2026-01-31.", 2) from None
