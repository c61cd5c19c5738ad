"""Which model does a task: decisions as pure functions, and the log they are written to and read from.

A decision is a ``ModelActivated`` on a compacted topic, keyed by task: the newest holds. Two people who decide at the same moment
overwrite each other, as with any setting.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from voxrelay.bus.api import Bus, Record, TopicPartition
from voxrelay.bus.span import read_span
from voxrelay.errors import Refused
from voxrelay.events import ModelActivated, ModelLoaded
from voxrelay.models.catalogue import SERVED_TASKS, ModelEntry
from voxrelay.telemetry import fields
from voxrelay.topology import MODEL_ACTIVATED, MODEL_LOADED, STAGES, ControlTopic

SHADOWED: tuple[str, ...] = tuple(stage.asked_as for stage in STAGES if stage.shadow is not None)  # tasks that can have a model in the shadow
MOST_EARLIER = 10
MOST_VALUE_BYTES = 64_000
WRITE_WITHIN_S = 30.0
RETRACT_WITHIN_S = 3.0
KEPT = "activations.json"  # in the folder of what the embedded platform keeps

log = logging.getLogger(__name__)


def activated(now: ModelActivated, entry: ModelEntry, at: float, share: float = 1.0) -> ModelActivated:
    """The decision for a model: for all sessions, or as a candidate for a share of them. Raises ``Refused``."""
    if entry.task != now.task:
        raise Refused("INVALID_PARAMETER", f"'{entry.name}' is a model for {entry.task}, not for {now.task}.")
    if entry.task not in SERVED_TASKS:
        raise Refused("INVALID_PARAMETER", f"'{entry.name}' is for 'voxrelay evaluate': no service works with it.")
    if not 0.0 < share <= 1.0:
        raise Refused("INVALID_PARAMETER", "The share of sessions must be above 0 and at most 1.")
    if share < 1.0:
        return replace(now, candidate=entry.name, share=share, activated_at=at)
    earlier = now.earlier if entry.name == now.model else (*now.earlier, now.model)[-MOST_EARLIER:]
    stays = replace(now, model=entry.name, candidate="", share=0.0, earlier=earlier, activated_at=at)
    return replace(stays, shadow="", shadow_share=0.0) if now.shadow == entry.name else stays


def rolled_back(now: ModelActivated, at: float) -> ModelActivated:
    """A candidate is dropped; without one, the model before comes back. Raises ``Refused`` where there is none."""
    if now.candidate:
        return replace(now, candidate="", share=0.0, activated_at=at)
    if not now.earlier:
        raise Refused("NOT_FOUND", f"No model was activated for '{now.task}': there is nothing to go back to.")
    return replace(now, model=now.earlier[-1], earlier=now.earlier[:-1], activated_at=at)


def shadowed(now: ModelActivated, entry: ModelEntry, at: float, share: float) -> ModelActivated:
    """The decision that puts a model in the shadow for a share of the live sessions; 0 takes it out again. Raises ``Refused``."""
    if entry.task != now.task or now.task not in SHADOWED:
        raise Refused("INVALID_PARAMETER", f"'{entry.name}' is a model for {entry.task}: models for {', '.join(SHADOWED)} can be in the shadow.")
    if not 0.0 <= share <= 1.0:
        raise Refused("INVALID_PARAMETER", "The share of sessions must be 0 to 1.")
    if share == 0.0 and now.shadow != entry.name:
        raise Refused("NOT_FOUND", f"'{entry.name}' is not in the shadow of '{now.task}'.")
    return replace(now, shadow=entry.name if share else "", shadow_share=share, activated_at=at)


class ActivationLog:
    """Both control topics on one bus. Every call reads or writes the log; nothing is kept between calls.

    ``kept`` is a file for the decisions, where the bus itself ends with the process: ``take_up`` brings them back.
    """

    def __init__(self, bus: Bus, kept: Path | None = None) -> None:
        self._bus, self._kept = bus, kept

    @classmethod
    def lasting(cls, bus: Bus, data: Path) -> ActivationLog:
        """Decisions outlive the process: on the bus, or else in the folder ``data``."""
        return cls(bus, None if bus.outlives_process else data / KEPT)

    def take_up(self) -> None:
        """What was decided before the process ended is in force again. A file that cannot be read is passed over, and said to be."""
        if self._kept is None or not self._kept.exists():
            return
        try:
            decisions = [decision for value in json.loads(self._kept.read_text()) if (decision := _decision(value)) is not None]
        except (OSError, ValueError, TypeError, AttributeError) as error:
            log.warning("The activations that were kept cannot be read; the engines of the settings are used.", extra=fields(reason=str(error)))
            return
        for decision in decisions:
            self._write(MODEL_ACTIVATED, {decision.task: asdict(decision)})

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
        self._write(MODEL_ACTIVATED, {decision.task: asdict(decision)})
        if self._kept is not None:
            self._keep(self._kept)

    def report(self, state: ModelLoaded) -> None:
        self._write(MODEL_LOADED, {f"{state.task}/{state.instance}": asdict(state)})

    def retract(self, tasks: Collection[str], instance: str) -> None:
        """The process ends: it works with nothing of these any more. Raises ``Unavailable`` after a few seconds: it ends without the log, too."""
        self._write(MODEL_LOADED, {f"{task}/{instance}": None for task in tasks}, RETRACT_WITHIN_S)

    def _keep(self, kept: Path) -> None:
        fresh = kept.with_name(f"{kept.name}.new")
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(json.dumps([asdict(decision) for decision in self.decisions().values()], indent=1))
            os.replace(fresh, kept)
        except OSError as error:
            log.warning("An activation is in force and could not be kept: it ends with this process.", extra=fields(reason=str(error)))

    def _write(self, topic: ControlTopic, values: Mapping[str, dict[str, Any] | None], within_s: float = WRITE_WITHIN_S) -> None:
        producer = self._bus.producer()
        try:
            for key, value in values.items():
                content = json.dumps(value).encode() if value is not None else None
                producer.send(topic.name, key.encode(), content, (("content-type", b"application/json"),), partition=0)
            producer.flush(within_s)
        finally:
            producer.close()

    def _newest(self, topic: ControlTopic) -> Sequence[Record]:
        source = TopicPartition(topic.name, 0)
        self._bus.partitions(topic.name)
        start, end = self._bus.offsets([source])[source]
        newest: dict[bytes, Record] = {}
        for records in read_span(self._bus, {source: start}, {source: end}, "The log of activated models could not be read."):
            newest.update((record.key, record) for record in records)
        return list(newest.values())


def decision_of(record: Record) -> ModelActivated | None:
    """None for a tombstone and for what is no decision. What a newer version says besides is passed over."""
    found = _decision(_parsed(record))
    return found if found is not None and found.task == record.key.decode(errors="replace") else None


def _decision(content: dict[str, Any]) -> ModelActivated | None:
    value = _known(ModelActivated, content)
    try:
        return ModelActivated(**{**value, "earlier": tuple(value.get("earlier", ()))}) if value else None
    except TypeError:
        return None


def _state_of(record: Record) -> ModelLoaded | None:
    value = _known(ModelLoaded, _parsed(record))
    try:
        return ModelLoaded(**value) if value else None
    except TypeError:
        return None


def _known(kind: type[ModelActivated | ModelLoaded], value: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(kind)}
    return {name: found for name, found in value.items() if name in names}


def _parsed(record: Record) -> dict[str, Any]:
    if record.value is None or len(record.value) > MOST_VALUE_BYTES:
        return {}
    try:
        value = json.loads(record.value)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
