"""Which model does a task: decisions as pure functions, and the log they are written to and read from.

A decision is a ``ModelActivated`` on a compacted topic, keyed by task: the newest holds. Two people who decide at the same moment
overwrite each other, as with any setting.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from voxrelay.bus.api import Bus, Record, TopicPartition
from voxrelay.errors import Refused, Unavailable
from voxrelay.events import ModelActivated, ModelLoaded
from voxrelay.models.catalogue import ModelEntry
from voxrelay.topology import MODEL_ACTIVATED, MODEL_LOADED, ControlTopic

MOST_EARLIER = 10
EMPTY_POLLS = 100  # of 0.1 s each, before a log that should have more to say is given up
MOST_VALUE_BYTES = 64_000


def activated(now: ModelActivated, entry: ModelEntry, at: float, share: float = 1.0) -> ModelActivated:
    """The decision for a model: for all sessions, or as a candidate for a share of them. Raises ``Refused``."""
    if entry.task != now.task:
        raise Refused("INVALID_PARAMETER", f"'{entry.name}' is a model for {entry.task}, not for {now.task}.")
    if not 0.0 < share <= 1.0:
        raise Refused("INVALID_PARAMETER", "The share of sessions must be above 0 and at most 1.")
    if share < 1.0:
        return replace(now, candidate=entry.name, share=share, activated_at=at)
    earlier = now.earlier if entry.name == now.model else (*now.earlier, now.model)[-MOST_EARLIER:]
    return ModelActivated(now.task, entry.name, earlier=earlier, activated_at=at)


def rolled_back(now: ModelActivated, at: float) -> ModelActivated:
    """A candidate is dropped; without one, the model before comes back. Raises ``Refused`` where there is none."""
    if now.candidate:
        return replace(now, candidate="", share=0.0, activated_at=at)
    if not now.earlier:
        raise Refused("NOT_FOUND", f"No model was activated for '{now.task}': there is nothing to go back to.")
    return ModelActivated(now.task, now.earlier[-1], earlier=now.earlier[:-1], activated_at=at)


class ActivationLog:
    """Both control topics on one bus. Every call reads or writes the log; nothing is kept between calls."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def decisions(self) -> dict[str, ModelActivated]:
        """The decision in force for each task that has one. Raises ``Unavailable``."""
        return {decision.task: decision for record in self._newest(MODEL_ACTIVATED) if (decision := decision_of(record)) is not None}

    def decision(self, task: str) -> ModelActivated:
        return self.decisions().get(task, ModelActivated(task))

    def states(self) -> list[ModelLoaded]:
        """What each process said last of what it works with. Raises ``Unavailable``."""
        return [state for record in self._newest(MODEL_LOADED) if (state := _state_of(record)) is not None]

    def decide(self, decision: ModelActivated) -> None:
        """In force for every instance once this returns. Raises ``Unavailable``."""
        self._write(MODEL_ACTIVATED, decision.task, asdict(decision))

    def report(self, state: ModelLoaded) -> None:
        self._write(MODEL_LOADED, f"{state.task}/{state.instance}", asdict(state))

    def retract(self, task: str, instance: str) -> None:
        """The process ends: it works with nothing any more."""
        self._write(MODEL_LOADED, f"{task}/{instance}", None)

    def _write(self, topic: ControlTopic, key: str, value: dict[str, Any] | None) -> None:
        producer = self._bus.producer()
        try:
            content = json.dumps(value).encode() if value is not None else None
            producer.send(topic.name, key.encode(), content, (("content-type", b"application/json"),), partition=0)
            producer.flush()
        finally:
            producer.close()

    def _newest(self, topic: ControlTopic) -> Sequence[Record]:
        source = TopicPartition(topic.name, 0)
        self._bus.partitions(topic.name)
        start, end = self._bus.offsets([source])[source]
        newest: dict[bytes, Record] = {}
        if start == end:
            return []
        consumer = self._bus.read({source: start})
        try:
            seen, empty = start, 0
            while seen < end:
                records = consumer.poll(500, 0.1)
                empty = 0 if records else empty + 1
                if empty > EMPTY_POLLS:
                    raise Unavailable("The log of activated models could not be read.")
                for record in records:
                    seen = record.offset + 1
                    newest[record.key] = record
        finally:
            consumer.close()
        return list(newest.values())


def decision_of(record: Record) -> ModelActivated | None:
    """None for a tombstone and for what is no decision."""
    value = _parsed(record)
    try:
        found = ModelActivated(**{**value, "earlier": tuple(value.get("earlier", ()))}) if value else None
    except TypeError:
        return None
    return found if found is not None and found.task == record.key.decode(errors="replace") else None


def _state_of(record: Record) -> ModelLoaded | None:
    value = _parsed(record)
    try:
        return ModelLoaded(**value) if value else None
    except TypeError:
        return None


def _parsed(record: Record) -> dict[str, Any]:
    if record.value is None or len(record.value) > MOST_VALUE_BYTES:
        return {}
    try:
        value = json.loads(record.value)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
