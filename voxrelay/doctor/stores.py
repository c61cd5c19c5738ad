"""Database and object store, and their clocks."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

from voxrelay.doctor.report import Finding, finding
from voxrelay.engines import EngineUnusable
from voxrelay.errors import Unavailable
from voxrelay.settings import PlatformSettings
from voxrelay.storage import migrations
from voxrelay.storage.health import Health, Unwritable
from voxrelay.storage.objects import ObjectStore

MOST_CLOCK_OFFSET_S = 5.0  # the gateways' leases and tokens rely on clocks that agree within some seconds
PROBE_FOLDER = "voxrelay-doctor"
NOBODY_ANSWERS = "error sending request"  # of obstore, where no connection comes about
# What obstore says around the reason, which tells an operator nothing.
NOISE = re.compile(
    r"Generic \w+ error: |Error performing |Object at location \S+ not found: "
    r"|The operation lacked the necessary privileges to complete for path \S+: "
    r"|/voxrelay-doctor/[0-9a-f]{32}| in [\d.]+(ns|µs|ms|s)(, after \d+ retries?, [^-]*)? - |: <\?xml.*"
)


def shown(url: str) -> str:
    """An address without its user and password, and without parameters, which may hold others."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, place, parts.path, "", ""))


def database(platform: PlatformSettings) -> list[Finding]:
    url, address = platform.resolved_database_url, shown(platform.resolved_database_url)
    if not platform.database_url and not (platform.data / "voxrelay.db").is_file():
        return [finding("DATABASE_TO_COME", folder=platform.data)]
    try:
        found, needed = migrations.current(url), migrations.newest()
        if not found:
            return [finding("DATABASE_EMPTY", address=address)]
        if found != needed:
            code = "DATABASE_OLD" if found in migrations.all_versions() else "DATABASE_NEWER"
            return [finding(code, version=found, needed=needed)]
        with Health(url) as health:
            health.check_writing()
    except EngineUnusable:
        return [finding("DATABASE_ADDRESS")]
    except Unwritable as error:
        return [finding("DATABASE_NOT_WRITABLE", address=address, reason=error)]
    except Unavailable as error:
        return [finding("DATABASE_SILENT", address=address, reason=_reason(error))]
    kind = "SQLite" if url.startswith("sqlite") else "PostgreSQL"
    return [finding("DATABASE_CURRENT", kind=kind, version=found)]


def objects(platform: PlatformSettings) -> list[Finding]:
    """Writes, reads and removes an object of a name nobody else uses."""
    address = shown(platform.resolved_object_store_url)
    name, content = f"{PROBE_FOLDER}/{uuid.uuid4().hex}", b"a probe of 'voxrelay doctor'"
    try:
        store = ObjectStore(platform.resolved_object_store_url)
    except EngineUnusable as error:
        return [finding("OBJECTS_ADDRESS", reason=str(error).rstrip("."))]
    try:
        store.put(name, content)
    except Unavailable as error:
        code = "OBJECTS_SILENT" if NOBODY_ANSWERS in str(error) else "OBJECTS_NOT_WRITTEN"
        return [finding(code, address=address, reason=_reason(error))]
    found = []
    try:
        if store.get(name) != content:
            found.append(finding("OBJECTS_NOT_READ", address=address, reason="something else came"))
    except Unavailable as error:
        found.append(finding("OBJECTS_NOT_READ", address=address, reason=_reason(error)))
    try:
        store.remove([name])
        if store.get(name) is not None:
            found.append(finding("OBJECTS_NOT_REMOVED", address=address, name=name, reason="it is still there"))
    except Unavailable as error:
        found.append(finding("OBJECTS_NOT_REMOVED", address=address, name=name, reason=_reason(error)))
    return found or [finding("OBJECTS_WORK", address=address)]


def clock(platform: PlatformSettings, now: Callable[[], float] = time.time) -> list[Finding]:
    """Against the database's clock, and the object store's, which tells whole seconds only."""
    offsets: dict[str, float] = {}
    others = {"the database": _database_offset, "the object store": _objects_offset}
    remote = {name: ask for name, ask in others.items() if _is_remote(platform, name)}
    if not remote:
        return [finding("CLOCK_ALONE")]
    for name, ask in remote.items():
        try:
            offsets[name] = ask(platform, now)
        except (Unavailable, EngineUnusable):
            continue  # their own checks say so
    if not offsets:
        return [finding("CLOCK_UNSEEN")]
    return [
        finding("CLOCK_DIFFERS" if abs(offset) > MOST_CLOCK_OFFSET_S else "CLOCK_AGREES", other=name, offset_s=f"{abs(offset):.1f}")
        for name, offset in offsets.items()
    ]


def _is_remote(platform: PlatformSettings, name: str) -> bool:
    url = platform.resolved_database_url if name == "the database" else platform.resolved_object_store_url
    return not url.startswith(("sqlite", "file", "memory"))


def _database_offset(platform: PlatformSettings, now: Callable[[], float]) -> float:
    with Health(platform.resolved_database_url) as health:
        before = now()
        theirs = health.now()
        return (before + now()) / 2 - theirs


def _objects_offset(platform: PlatformSettings, now: Callable[[], float]) -> float:
    store, name = ObjectStore(platform.resolved_object_store_url), f"{PROBE_FOLDER}/{uuid.uuid4().hex}"
    before = now()
    store.put(name, b"")
    after, theirs = now(), store.written_at(name)
    store.remove([name])
    if before - 1 <= theirs <= after:
        return 0.0  # as near as whole seconds can tell
    return (before + after) / 2 - theirs


def _reason(error: Exception) -> str:
    """What the store said, in one line, without our own words before it."""
    told = NOISE.sub(": ", (str(error).partition(": ")[2] or str(error)).partition("\n")[0])
    return re.sub(r"(: *)+: ", ": ", told).strip(" :.\n")
