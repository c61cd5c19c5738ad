"""What a service is to the runner: a stage (events in, events out) or a projection (events in, rows out).

Both are plain synchronous Python without Kafka, clock or environment. One instance is called from one thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from voxrelay.events import Event


class Stage(Protocol):
    """Reads exactly one topic; keeps state by session.

    The promises the runner's exactness rests on:

    * What a session's durable output is depends on that session's input alone — not on how records were batched, on other
      sessions or on time. Its order and number are the same in every run.
    * ``process`` sees the events of one session in order, and never one twice.
    * A session that a stage has no state for is ignored unless the event opens it (a late record after the end, or a session
      that did not ask for this stage).
    """

    def process(self, batch: Sequence[Event]) -> Iterable[Event]:
        """Handle what one poll brought, for many sessions at once.

        Raises ``Poison`` for an event that can never be processed and ``Unavailable`` when an engine or store does not answer.
        After either the runner forgets all sessions and restores them from their checkpoints, so half-changed state does no harm.
        """
        ...

    def snapshot(self, session_id: str) -> bytes | None:
        """The session's state, small (indices, centroids, context), or None when now is no good moment: in mid-utterance."""
        ...

    def restore(self, session_id: str, state: bytes) -> None:
        """The state as ``snapshot`` gave it. What follows is the next event after that snapshot.

        Raises ``ValueError``, ``KeyError`` or ``TypeError`` for a state that another version gave, and ``EngineUnusable`` for one of a model
        that cannot be had any more: that session is given up, loudly.
        """
        ...

    def forget(self, session_id: str) -> None:
        """Drop the session's state, if there is any: it ended, expired or moved to another process."""
        ...


class Projection(Protocol):
    """Reads any number of topics into a store that it alone writes. Idempotent: a batch may come again after a fault."""

    def project(self, batch: Sequence[Event]) -> None:
        """Store the batch, wholly or not at all. Raises ``Unavailable`` to see it again later, ``Poison`` as a stage does."""
        ...
