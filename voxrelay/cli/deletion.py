"""``voxrelay delete`` and ``voxrelay retention``: sessions removed for good, and the proofs of it."""

from __future__ import annotations

import getpass
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import typer
from rich.table import Column, Table

from voxrelay.bus.api import Bus
from voxrelay.cli.console import Failure, err, print_json, print_table
from voxrelay.cli.durations import moment
from voxrelay.runner.tombstones import KEPT_S, OVER_AFTER_S, forget_checkpoints
from voxrelay.settings import PlatformSettings, load_settings
from voxrelay.storage import database, retention
from voxrelay.storage.deletion import SESSION_ID, Deletions, Proof, proof_json
from voxrelay.storage.objects import ObjectStore
from voxrelay.storage.retention import RetentionSettings

app = typer.Typer(help="What is kept for how long, and the proofs of what was deleted.", no_args_is_help=True)

DATA = typer.Option(None, help="Data folder of 'voxrelay serve'; VOXRELAY_DATABASE_URL, where it is set, goes first.")
AS_JSON = typer.Option(False, "--json", help="As JSON, one proof a line.")
DRY_RUN = typer.Option(False, "--dry-run", help="Only say how many sessions it would be.")


def delete(
    session: str = typer.Option("", help="This session. One that is not stored yet never will be."),
    key: str = typer.Option("", help="All sessions opened with this key, by its id."),
    before: str = typer.Option("", help="All sessions opened before: a day (2026-01-31, UTC), or that long ago: 90d, 12h."),
    by: str = typer.Option("", help="Who wants it, for the proof; without it the user and machine."),
    is_agreed: bool = typer.Option(False, "--yes", help="Do not ask."),
    is_dry: bool = DRY_RUN,
    as_json: bool = AS_JSON,
    data: Path = DATA,
) -> None:
    """Delete words, speakers, attributes and audio for good. Safe to repeat; what still comes of these sessions is not kept."""
    if [bool(session), bool(key), bool(before)].count(True) != 1:
        raise Failure("Say what to delete: one of --session, --key, --before.", 2)
    if session and not SESSION_ID.fullmatch(session):
        raise Failure(f"{session} is no id of a session.", 2)
    platform = _platform(data)
    with _deletions(platform) as deletions:
        at = moment(before) if before else 0.0
        count = 1 if session else deletions.count_key(key) if key else deletions.count_before(at)
        if is_dry:
            _say_due(count, as_json)
            return
        if sys.stdin.isatty() and not is_agreed:
            typer.confirm(f"Delete {count} sessions for good?", abort=True, err=True)
        by = by or f"{getpass.getuser()}@{socket.gethostname()}"
        if session:
            proof = deletions.session(session, by)
            proofs: Iterable[Proof] = [proof] if proof is not None else []
        else:
            proofs = deletions.key(key, by) if key else deletions.before(at, by)
        _carry_out(platform, deletions, proofs, as_json)
        if session and not as_json and proof is None:
            err.print(f"[dim]{session} was deleted before.[/dim]")


@app.command()
def run(is_dry: bool = DRY_RUN, as_json: bool = AS_JSON, data: Path = DATA) -> None:
    """Delete what is older than VOXRELAY_RETENTION_AUDIO_DAYS and …_TEXT_DAYS: a daily job. 'voxrelay serve' runs it by itself."""
    settings, platform = load_settings(RetentionSettings), _platform(data)
    with _deletions(platform) as deletions:
        if is_dry:
            due = retention.due(deletions, settings, time.time())
            if as_json:
                print_json(due)
            else:
                for part, count in due.items():
                    print(f"{part}: {count} sessions")
            return
        _carry_out(platform, deletions, retention.run(deletions, settings, time.time()), as_json)


@app.command()
def proofs(
    since: str = typer.Option("", help="Only those asked for since: a day (2026-01-31, UTC), or that long ago: 90d, 12h."),
    as_json: bool = AS_JSON,
    data: Path = DATA,
) -> None:
    """What was deleted: by whom, why, when, which sessions, how much. --json has all of it, to be kept elsewhere."""
    with _deletions(_platform(data)) as deletions:
        found = deletions.proofs(moment(since) if since else 0.0)
        if as_json:
            for proof in found:
                print_json(proof_json(proof))
            return
        columns = ("proof", "asked for (UTC)", "by", "why", "parts", "sessions", "rows", "objects", "finished")
        table = Table(*(Column(name, no_wrap=True) for name in columns), box=None)
        for proof in found:
            rows = sum(sum(session.rows.values()) for session in proof.sessions)
            objects = sum(session.objects or 0 for session in proof.sessions)
            numbers = (str(len(proof.sessions)), str(rows), str(objects), "yes" if proof.finished_at else "no")
            when = datetime.fromtimestamp(proof.requested_at, UTC).strftime("%Y-%m-%d %H:%M")
            table.add_row(proof.deletion_id, when, proof.requested_by, f"{proof.reason} {proof.selector}", ", ".join(proof.parts), *numbers)
        if not table.row_count:
            raise Failure("Nothing was deleted yet.", 3)
        print_table(table)


@app.command()
def proof(deletion_id: str = typer.Argument(..., help="A proof's id."), data: Path = DATA) -> None:
    """One proof whole, as JSON."""
    with _deletions(_platform(data)) as deletions:
        found = deletions.proof(deletion_id)
    if found is None:
        raise Failure(f"There is no proof {deletion_id}: 'voxrelay retention proofs' names them.", 3)
    print_json(proof_json(found))


def _platform(data: Path | None) -> PlatformSettings:
    platform = load_settings(PlatformSettings)
    if data is not None:
        platform = platform.model_copy(update={"data": data})
    if not platform.database_url and not (platform.data / "voxrelay.db").is_file():
        raise Failure(f"Nothing is stored in {platform.data}: say where with --data or VOXRELAY_DATABASE_URL.", 3)
    return platform


@contextmanager
def _deletions(platform: PlatformSettings) -> Iterator[Deletions]:
    engine = database.connect(platform.resolved_database_url)
    try:
        yield Deletions(engine)
    finally:
        engine.dispose()


def _carry_out(platform: PlatformSettings, deletions: Deletions, found: Iterable[Proof], as_json: bool) -> None:
    """Each step with its objects before the next, so that little is open whenever this is interrupted."""
    objects, bus = ObjectStore(platform.resolved_object_store_url), _bus(platform)
    deletions.finish(objects)  # what somebody began and did not finish
    sessions = 0
    for begun in found:
        if bus is not None:
            now, session_ids = time.time(), [session.session_id for session in begun.sessions]
            forget_checkpoints(bus, deletions.created_between(session_ids, now - KEPT_S, now - OVER_AFTER_S))
        deletions.finish(objects)
        done = deletions.proof(begun.deletion_id) or begun
        sessions += len(done.sessions)
        if as_json:
            print_json(proof_json(done))
        else:
            print(f"{done.deletion_id}  {len(done.sessions)} sessions, {', '.join(done.parts)}")
    err.print(f"[dim]Deleted from {sessions} sessions. What Kafka still holds, and how long: docs/operations/retention.md.[/dim]")


def _bus(platform: PlatformSettings) -> Bus | None:
    """None where the bus is the memory of 'voxrelay serve': its checkpoints go with the sessions."""
    if not platform.kafka_bootstrap:
        return None
    from voxrelay.bus.kafka import connect  # its library is not there where nothing runs over Kafka

    return connect(platform)


def _say_due(count: int, as_json: bool) -> None:
    if as_json:
        print_json({"sessions": count})
    else:
        print(f"{count} sessions")
