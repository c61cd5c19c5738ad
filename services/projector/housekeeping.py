"""Beside the projector's work: objects of what was deleted are removed, and, on one machine, what is too old is deleted once a day."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from voxrelay.clock import steady_time
from voxrelay.errors import Unavailable
from voxrelay.storage import retention
from voxrelay.storage.deletion import Deletions
from voxrelay.storage.objects import ObjectStore
from voxrelay.storage.retention import DAY_S, RetentionSettings
from voxrelay.telemetry import fields

log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0


class Housekeeping:
    """Runs on a thread of its own from ``start`` until ``close``. ``is_retention_daily``: nobody else runs the daily job."""

    def __init__(
        self,
        deletions: Deletions,
        objects: ObjectStore,
        settings: RetentionSettings,
        *,
        is_retention_daily: bool,
        clock: Callable[[], float] = steady_time,
    ) -> None:
        self._deletions, self._objects, self._settings, self._clock = deletions, objects, settings, clock
        self._is_retention_daily = is_retention_daily
        self._next_retention = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def look(self) -> None:
        """Once. Raises ``Unavailable`` when a store does not answer."""
        if self._is_retention_daily and self._clock() >= self._next_retention:
            for proof in retention.run(self._deletions, self._settings, self._clock()):
                log.info("What was kept long enough was deleted.", extra=fields(deletion=proof.deletion_id, sessions=len(proof.sessions)))
                if self._stop.is_set():
                    return
            self._next_retention = self._clock() + DAY_S
        self._deletions.finish(self._objects)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.look()
            except Unavailable as error:
                log.warning("What was deleted cannot be cleared away yet.", extra=fields(reason=str(error)))
            self._stop.wait(LOOK_EVERY_S)
