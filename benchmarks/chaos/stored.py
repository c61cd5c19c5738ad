"""What the platform keeps of a session: rows without ids and clocks, objects by name."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping
from typing import Any
from unittest.mock import patch

from sqlalchemy import select

from voxrelay.errors import Unavailable
from voxrelay.storage import database
from voxrelay.storage.database import answering
from voxrelay.storage.objects import ObjectStore

TABLES = ("utterances", "results", "transcripts", "words", "speaker_segments", "attributes", "stage_finishes", "recordings")
VARYING = {"session_id", "object", "updated_at", "created_at", "revision"}  # interims count revisions up, and how many there are is chance
LOOK_EVERY_S = 0.3
Key = tuple[str, ...]
Kept = dict[Key, Any]


class Store:
    """Reads straight from the servers, past the proxies. ``environment`` leads to them."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._engine = database.connect(environment["VOXRELAY_DATABASE_URL"])
        with patch.dict(os.environ, {name: value for name, value in environment.items() if name.startswith("AWS_")}):  # for this store alone
            self._objects = ObjectStore(environment["VOXRELAY_OBJECT_STORE_URL"])

    def close(self) -> None:
        self._engine.dispose()

    def wait_for(self, session_id: str, objects: Collection[Key] | None, limit_s: float) -> Kept:
        """All of a session once it is complete and has these objects (None: as many as it has utterances); at the limit, what there is."""
        deadline = time.monotonic() + limit_s
        while True:
            try:
                kept = self.read(session_id)
                wanted = objects if objects is not None else [("objects", f"utterances/{key[1]}.flac") for key in kept if key[0] == "recordings"]
                utterances, recordings = (sum(key[0] == table for key in kept) for table in ("utterances", "recordings"))
                if kept[("sessions", "is_complete")] and recordings >= utterances and set(wanted) <= kept.keys():
                    return kept
            except Unavailable:
                kept = {}
            if time.monotonic() > deadline:
                return kept
            time.sleep(LOOK_EVERY_S)

    def read(self, session_id: str) -> Kept:
        """By table and primary key (without the session) the row's values; by name the objects."""
        kept: Kept = {("sessions", "is_complete"): False}
        with answering(), self._engine.connect() as connection:
            sessions = database.sessions.c
            for is_complete, audio_s in connection.execute(
                select(sessions.is_complete, sessions.audio_seconds).where(sessions.session_id == session_id)
            ):
                kept |= {("sessions", "is_complete"): is_complete, ("sessions", "audio_seconds"): audio_s}
            for name in TABLES:
                table = database.metadata.tables[name]
                keys = [column.name for column in table.primary_key.columns if column.name != "session_id"]
                for row in connection.execute(select(table).where(table.c.session_id == session_id)).mappings():
                    kept[(name, *(str(row[key]) for key in keys))] = {
                        column: value for column, value in row.items() if column not in VARYING and column not in keys
                    }
        prefix = f"sessions/{session_id}/"
        for name in self._objects.list(prefix):
            kept[("objects", name.removeprefix(prefix))] = self._objects.get(name)
        return kept
