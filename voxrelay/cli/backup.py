"""``voxrelay backup`` and ``voxrelay restore``: the database and the recordings, to a folder or bucket and back."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import typer

from voxrelay.cli.console import Failure, err, print_json
from voxrelay.settings import PlatformSettings, load_settings
from voxrelay.storage import database
from voxrelay.storage.backup import Manifest, NotRestorable
from voxrelay.storage.backup import back_up as write
from voxrelay.storage.backup import restore as read
from voxrelay.storage.deletion import Deletions
from voxrelay.storage.objects import ObjectStore

DATA = typer.Option(None, help="Data folder of 'voxrelay serve'; VOXRELAY_DATABASE_URL, where it is set, goes first.")
AS_JSON = typer.Option(False, "--json", help="The manifest, as JSON.")


def backup(
    to: str = typer.Option(..., help="An empty folder, or s3://bucket/prefix, gs://…, az://…"),
    as_json: bool = AS_JSON,
    data: Path = DATA,
) -> None:
    """Copy the database and the recordings. Services may go on; keys' hashes and signing secrets are in it, so guard it like the database."""
    platform = _platform(data)
    if not platform.database_url and not (platform.data / "voxrelay.db").is_file():
        raise Failure(f"Nothing is stored in {platform.data}: say where with --data or VOXRELAY_DATABASE_URL.", 3)
    try:
        manifest = write(platform.resolved_database_url, ObjectStore(platform.resolved_object_store_url), _place(to))
    except NotRestorable as error:
        raise Failure(str(error)) from None
    _say("Copied", manifest, as_json)


def restore(
    source: str = typer.Option(..., "--from", help="A folder or bucket that 'voxrelay backup' wrote."),
    deletions: Path = typer.Option(None, help="What 'voxrelay retention proofs --json' wrote since: these sessions are deleted again."),
    as_json: bool = AS_JSON,
    data: Path = DATA,
) -> None:
    """Put a backup into an empty database and the object store. No service may run. Then read again from Kafka what came after it."""
    platform = _platform(data)
    if not platform.database_url:
        platform.data.mkdir(parents=True, exist_ok=True)
    objects = ObjectStore(platform.resolved_object_store_url)
    try:
        manifest = read(platform.resolved_database_url, objects, _place(source))
    except NotRestorable as error:
        raise Failure(str(error)) from None
    if deletions is not None:
        _delete_again(platform, objects, deletions)
    _say("Restored", manifest, as_json)
    if platform.kafka_bootstrap:
        moment = datetime.fromtimestamp(manifest.created_at, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        err.print(f"[dim]What came after the backup: 'voxrelay topics rewind --to {moment}' before the projectors start.[/dim]")


def _delete_again(platform: PlatformSettings, objects: ObjectStore, file: Path) -> None:
    engine = database.connect(platform.resolved_database_url)
    again = Deletions(engine)
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            proof = json.loads(line)
            again.repeat([session["session_id"] for session in proof["sessions"]], proof["parts"], proof["requested_by"], proof["deletion_id"])
    again.finish(objects)
    engine.dispose()


def _platform(data: Path | None) -> PlatformSettings:
    platform = load_settings(PlatformSettings)
    return platform if data is None else platform.model_copy(update={"data": data})


def _place(address: str) -> ObjectStore:
    return ObjectStore(address if "://" in address else Path(address).absolute().as_uri())


def _say(did: str, manifest: Manifest, as_json: bool) -> None:
    if as_json:
        print_json(asdict(manifest))
    else:
        err.print(f"{did} {manifest.rows} rows and {manifest.recordings} recordings of version {manifest.version}.")
