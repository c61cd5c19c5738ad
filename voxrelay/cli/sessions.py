"""``voxrelay sessions``: what was kept, straight from the database (of VOXRELAY_DATABASE_URL, or of a data folder)."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import typer
from rich.table import Column, Table

from voxrelay.cli.console import Failure, err, out, print_final, print_json, print_table
from voxrelay.export import FORMATS
from voxrelay.settings import PlatformSettings, load_settings
from voxrelay.shapes import hit_json, session_json, stored_json, summary_json
from voxrelay.storage import database
from voxrelay.storage.views import SessionSummary, StoredSession, Views

app = typer.Typer(help="The stored sessions: list, show, export, search.", no_args_is_help=True)

DATA = typer.Option(None, help="Data folder of 'voxrelay serve'; VOXRELAY_DATABASE_URL, where it is set, goes first.")
AS_JSON = typer.Option(False, "--json", help="As JSON.")


def stored_views(data: Path | None) -> Views:
    """Of the configured database. Raises ``Failure`` where a data folder holds none."""
    platform = load_settings(PlatformSettings)
    if data is not None:
        platform = platform.model_copy(update={"data": data})
    if not platform.database_url and not (platform.data / "voxrelay.db").is_file():
        raise Failure(f"Nothing is stored in {platform.data}: say where with --data or VOXRELAY_DATABASE_URL.", 3)
    return Views(database.connect(platform.resolved_database_url, is_read_only=True))


def _session(data: Path | None, session_id: str) -> StoredSession:
    views = stored_views(data)
    if session_id == "last":
        newest = views.sessions(limit=1)
        session_id = newest[0].session_id if newest else session_id
    found = views.session(session_id)
    if found is None:
        raise Failure(f"There is no session {session_id}: 'voxrelay sessions list' names them.", 3)
    return found


@app.command("list")
def list_sessions(
    limit: int = typer.Option(20, min=1, max=1000, help="How many."),
    before: str = typer.Option("", help="Go on after this session id."),
    as_json: bool = AS_JSON,
    data: Path = DATA,
) -> None:
    """The newest sessions first."""
    found = stored_views(data).sessions(limit, before)
    if as_json:
        print_json([summary_json(summary) for summary in found])
        return
    if not found:
        raise Failure("No session is stored yet.", 3)
    table = Table(*(Column(name, no_wrap=True) for name in ("session", "opened (UTC)", "audio", "said", "speakers", "complete")), box=None)
    for summary in found:
        table.add_row(
            summary.session_id,
            _opened(summary),
            f"{summary.audio_seconds:.1f} s",
            str(summary.utterances),
            ", ".join(summary.speakers),
            "yes" if summary.is_complete else "no",
        )
    print_table(table)


@app.command()
def show(session_id: str = typer.Argument(..., help="A session's id, or 'last'."), as_json: bool = AS_JSON, data: Path = DATA) -> None:
    """Who said what, when and how in one session."""
    session = _session(data, session_id)
    if as_json:
        print_json(session_json(session))
        return
    for stored in session.utterances:
        if stored.joined.text or stored.joined.segments:
            print_final(stored_json(stored))
    summary = session.summary
    state = "complete" if summary.is_complete else "not complete yet"
    err.print(f"[dim]{summary.session_id}, {_opened(summary)} UTC, {summary.audio_seconds:.1f} s of audio, {state}.[/dim]")


@app.command()
def export(
    session_id: str = typer.Argument(..., help="A session's id, or 'last'."),
    as_: str = typer.Option("json", "--format", "-f", help=f"One of {', '.join(FORMATS)}."),
    output: Path = typer.Option(None, "--output", "-o", help="File to write; standard output without it."),
    data: Path = DATA,
) -> None:
    """One session as JSON, subtitles (srt, vtt), speaker turns (rttm) or plain text."""
    if as_ not in FORMATS:
        raise Failure(f"There is no format {as_}: choose one of {', '.join(FORMATS)}.", 2)
    content = FORMATS[as_](_session(data, session_id))
    if output is None:
        sys.stdout.write(content)
    else:
        output.write_text(content, encoding="utf-8")
        err.print(f"[dim]Written to {output}.[/dim]")


@app.command()
def search(
    query: str = typer.Argument(..., help='Words and "quoted phrases" that must all have been said.'),
    limit: int = typer.Option(20, min=1, max=1000, help="How many."),
    as_json: bool = AS_JSON,
    data: Path = DATA,
) -> None:
    """Utterances in which this was said."""
    hits = stored_views(data).search(query, limit)
    if as_json:
        print_json([hit_json(hit) for hit in hits])
        return
    if not hits:
        raise Failure("Nobody said this.", 3)
    for hit in hits:
        out.print(hit.session_id, style="dim")
        print_final(stored_json(hit.utterance))


def _opened(summary: SessionSummary) -> str:
    return datetime.fromtimestamp(summary.opened_at, UTC).strftime("%Y-%m-%d %H:%M:%S") if summary.opened_at else "?"
