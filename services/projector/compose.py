"""Puts the service together: database, object store, projection, archive, calls."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from services.projector.archive import ArchiveStage
from services.projector.housekeeping import Housekeeping
from services.projector.projection import ResultProjection
from services.projector.rpc import add
from services.projector.settings import ProjectorSettings
from voxrelay.engines import EngineUnusable
from voxrelay.errors import Unavailable
from voxrelay.service import ProjectionPart, Service, StagePart
from voxrelay.settings import PlatformSettings, load_settings
from voxrelay.storage import database, migrations
from voxrelay.storage.deletion import Deletions
from voxrelay.storage.objects import ObjectStore
from voxrelay.storage.retention import RetentionSettings
from voxrelay.storage.views import Views
from voxrelay.topology import ARCHIVE, PROJECTOR

log = logging.getLogger(__name__)


def compose(platform: PlatformSettings) -> Service:
    """Raises ``EngineUnusable`` for an address that is none and for a database of another version. One that does not answer yet is waited for."""
    settings = load_settings(ProjectorSettings)
    _check_version(platform.resolved_database_url)
    engine = database.connect(platform.resolved_database_url)
    reader = database.connect(platform.resolved_database_url, is_read_only=True)
    objects = ObjectStore(platform.resolved_object_store_url)
    uploads = ThreadPoolExecutor(settings.uploads, thread_name_prefix="upload")
    views = Views(reader)
    is_alone = not platform.kafka_bootstrap  # the embedded platform: nobody else would run the daily job
    housekeeping = Housekeeping(Deletions(engine), objects, load_settings(RetentionSettings), is_retention_daily=is_alone)
    housekeeping.start()

    def close() -> None:
        housekeeping.close()
        uploads.shutdown()
        engine.dispose()
        reader.dispose()

    return Service(
        name="projector",
        stages=[StagePart(ARCHIVE, lambda _lane: ArchiveStage(objects, engine, uploads))],
        projections=[ProjectionPart(PROJECTOR, lambda lane: ResultProjection(engine, lane=lane))],
        add_rpc=partial(add, views=views),
        checks={"database": views.check, "object store": objects.check},
        close=close,
    )


def _check_version(url: str) -> None:
    try:
        found = migrations.current(url)
    except Unavailable as error:
        log.warning("The database does not answer yet; its version is not checked.", extra={"fields": {"reason": str(error)}})
        return
    if found != migrations.newest():
        raise EngineUnusable(f"The database is at version '{found}', this Voxrelay needs '{migrations.newest()}': run 'voxrelay database migrate'.")
