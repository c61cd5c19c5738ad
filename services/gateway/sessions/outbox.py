"""The updates waiting for one client: bounded. A slow client loses interims first; one that takes nothing at all is given up."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from services.gateway.sessions.updates import Failed, Interim, Speakers, Update
from voxrelay.telemetry import THINNED


class Outbox:
    """Filled and emptied on one event loop. ``end`` lets the reader see what is left and then stop."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: deque[Update] = deque()
        self._news = asyncio.Event()
        self._is_ended = False
        self.is_overrun = False

    def put(self, update: Update) -> None:
        if self._is_ended:
            return
        if isinstance(update, Speakers):
            self._forget_speakers_of(update.utterance_id)
        if isinstance(update, Interim) and self._waiting and isinstance(self._waiting[-1], Interim):
            self._waiting[-1] = update  # a newer interim makes the older one worthless
            THINNED.labels("gateway").inc()
        elif len(self._waiting) < self._limit:
            self._waiting.append(update)
        else:
            self._thin(update)
        self._news.set()

    def put_back(self, updates: Sequence[Update]) -> None:
        """These come before everything that waits: they were taken and may not have arrived."""
        self._waiting.extendleft(reversed(updates))
        self._news.set()

    def end(self) -> None:
        self._is_ended = True
        self._news.set()

    async def get(self) -> Update | None:
        """The next update, or None after the last."""
        while not self._waiting:
            if self._is_ended:
                return None
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()

    def _forget_speakers_of(self, utterance_id: str) -> None:
        """They are about to be told again, better."""
        if any(isinstance(waiting, Speakers) and waiting.utterance_id == utterance_id for waiting in self._waiting):
            self._waiting = deque(w for w in self._waiting if not (isinstance(w, Speakers) and w.utterance_id == utterance_id))
            THINNED.labels("gateway").inc()

    def _thin(self, update: Update) -> None:
        kept = [waiting for waiting in self._waiting if not _may_change(waiting)]
        THINNED.labels("gateway").inc(len(self._waiting) - len(kept))
        if _may_change(update):
            THINNED.labels("gateway").inc()
        elif len(kept) < self._limit:
            kept.append(update)
        else:
            self.is_overrun = True
            kept.append(Failed("CLIENT_TOO_SLOW", "Results were not read fast enough; they are kept and can be fetched by the session's id."))
            self._is_ended = True
        self._waiting = deque(kept)


def _may_change(update: Update) -> bool:
    return isinstance(update, Interim) or (isinstance(update, Speakers) and not update.is_final)
