"""A model in the shadow of the one in use: it hears the same sessions, and what it says goes to a topic that nobody is answered from.

The stage's thread only hands the batches over. The work is done in a thread of its own behind a bounded queue: where the shadow cannot
keep up, sessions are left out from there on and counted, and no live result waits. Nothing of it is checkpointed: a session that is
restored from a checkpoint is heard no further.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from voxrelay import codec
from voxrelay.bus.api import Bus
from voxrelay.errors import Unavailable
from voxrelay.events import Event, Lane, SessionConfigured, SessionOpened
from voxrelay.models.slot import EngineSlot, EngineSupply, NothingInShadow
from voxrelay.stage import Stage
from voxrelay.telemetry import SHADOW_LEFT_OUT, fields
from voxrelay.topology import Topic

log = logging.getLogger(__name__)

MOST_WAITING = 5_000  # events: 16 MB of audio, three minutes of it for 30 sessions
WAIT_S = 0.5
PRODUCER = "shadow"


class ShadowedStage:
    """``stage``, and beside it what ``make`` gives for the model in the slot's shadow, while there is one.

    The stage's own thread calls everything but ``close``.
    """

    def __init__(
        self, stage: Stage, bus: Bus, name: str, topic: Topic, lane: Lane, slot: EngineSlot[Any], make: Callable[[EngineSupply[Any]], Stage]
    ) -> None:
        self._stage, self._node, self._topic, self._lane, self._slot = stage, name, topic, lane, slot
        self._shadow = make(slot.shadow)
        self._producer = bus.producer()
        self._left_out = SHADOW_LEFT_OUT.labels(name)
        self._model = ""  # that the sessions in hand are heard by
        self._open: set[str] = set()  # sessions that have not ended as far as they were handed over
        self._wanted: set[str] = set()  # those, and those that ended: what else lies in the queue is not heard any more
        self._gone: deque[str] = deque()  # to be forgotten in the shadow's thread
        self._waiting: deque[Sequence[Event]] = deque()
        self._waiting_events = 0
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name=f"shadow-{name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """What still waits is not heard."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join(WAIT_S)

    # --- the stage's thread -------------------------------------------------------------------------------------------------

    def process(self, batch: Sequence[Event]) -> Iterable[Event]:
        self._hand_over(batch)
        return self._stage.process(batch)

    def snapshot(self, session_id: str) -> bytes | None:
        return self._stage.snapshot(session_id)

    def restore(self, session_id: str, state: bytes) -> None:
        self._stage.restore(session_id, state)

    def forget(self, session_id: str) -> None:
        """Of a session that ended the shadow hears the rest; any other is taken up again or has moved, and is left out."""
        self._leave_out([session_id])
        self._stage.forget(session_id)

    def _hand_over(self, batch: Sequence[Event]) -> None:
        model = self._slot.decision.shadow
        if model != self._model:
            self._drop(self._open)
            self._model = model
        if not model:
            return
        opened = {event.session_id for event in batch if isinstance(event.payload, SessionOpened) and self._slot.is_shadowed(event.session_id)}
        self._open |= opened
        self._wanted |= opened
        heard = [event for event in batch if event.session_id in self._open and event.session_id in self._wanted]
        if not heard:
            return
        if not self._put(heard):
            self._leave_out({event.session_id for event in heard})
        self._open -= {event.session_id for event in heard if event.payload.ends_session}

    def _put(self, heard: Sequence[Event]) -> bool:
        with self._changed:
            if self._waiting_events + len(heard) > MOST_WAITING:
                return False
            self._waiting.append(heard)
            self._waiting_events += len(heard)
            self._changed.notify()
        return True

    def _leave_out(self, session_ids: Iterable[str]) -> None:
        counted = [session_id for session_id in session_ids if session_id in self._open and session_id in self._wanted]
        self._left_out.inc(len(counted))
        self._drop(counted)

    def _drop(self, session_ids: Iterable[str]) -> None:
        for session_id in list(session_ids):
            self._open.discard(session_id)
            self._wanted.discard(session_id)
            self._gone.append(session_id)

    # --- the shadow's thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._is_closed:
            with self._changed:
                if not self._waiting and not self._gone:
                    self._changed.wait(WAIT_S)
                batch = self._waiting.popleft() if self._waiting else []
                self._waiting_events -= len(batch)
            try:
                while self._gone:
                    self._shadow.forget(self._gone.popleft())
                self._hear([event for event in batch if event.session_id in self._wanted])
            except NothingInShadow:
                self._give_up()
            except Exception as error:  # whatever a model does, the live stage goes on
                log.error("The model in the shadow failed; it hears the sessions to come.", extra=fields(model=self._model, reason=str(error)))
                self._left_out.inc(self._give_up())
        self._give_up()
        self._producer.close()

    def _hear(self, batch: Sequence[Event]) -> None:
        if not batch:
            return
        for result in self._shadow.process([without_interims(event) for event in batch]):
            if type(result.payload) in self._topic.payloads and result.payload.is_durable:
                self._publish(result)
        self._producer.report()
        self._wanted -= {event.session_id for event in batch if event.payload.ends_session}

    def _publish(self, result: Event) -> None:
        """Without a sequence, for nobody relies on it; the id is the same whenever the same model says it again."""
        what = f"{getattr(result.payload, 'utterance_id', 'end')}/{getattr(result.payload, 'revision', 0)}"
        event_id = f"{result.session_id}/{PRODUCER}/{self._node}/{self._model}/{what}"
        stamped = Event(result.session_id, result.payload, PRODUCER, 0, event_id, time.time())
        key, value, headers = codec.encode(stamped, self._topic.encoding)
        with suppress(Unavailable):  # the live stage says it, and waits; this result is missing in the comparison
            self._producer.send(self._topic.name(self._lane), key, value, headers)

    def _give_up(self) -> int:
        """Nothing that was begun is gone on with. How many sessions that were."""
        sessions = list(self._wanted)
        for session_id in sessions:
            self._wanted.discard(session_id)
            with suppress(Exception):
                self._shadow.forget(session_id)
        return len(sessions)


def without_interims(event: Event) -> Event:
    """The same, of a session that asks for finals alone."""
    payload = event.payload
    if isinstance(payload, SessionOpened | SessionConfigured):
        return replace(event, payload=replace(payload, config=replace(payload.config, interim_results=False)))
    return event
