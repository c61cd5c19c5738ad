"""Follows the activation log from its beginning and exchanges the engines of this process, in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from voxrelay.bus.api import Bus, TopicPartition
from voxrelay.engines import EngineUnusable
from voxrelay.errors import Unavailable
from voxrelay.events import ModelActivated, ModelLoaded
from voxrelay.models.activations import ActivationLog, decision_of
from voxrelay.models.slot import EngineSlot
from voxrelay.telemetry import fields
from voxrelay.topology import MODEL_ACTIVATED

log = logging.getLogger(__name__)

POLL_S = 0.2
TRY_AGAIN_S = 2.0


class ActivationFollower:
    """``start`` returns when what is in force is loaded, or could not be; from then on decisions take effect while the stages work."""

    def __init__(self, bus: Bus, slots: Sequence[EngineSlot[Any]], instance: str) -> None:
        self._bus, self._instance = bus, instance
        self._slots = {slot.task: slot for slot in slots}
        self._tried: dict[str, ModelActivated] = {}  # what was followed last: once, whether it could be or not
        self._log = ActivationLog(bus)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="activations", daemon=True)

    def start(self) -> None:
        try:
            decisions = self._log.decisions()
        except Unavailable as error:
            log.warning("The activated models are not known yet.", extra=fields(reason=str(error)))
            decisions = {}
        for decision in decisions.values():
            self._follow(decision)
        self._thread.start()

    def stop(self) -> None:
        """A model that is being loaded at this moment is not waited for."""
        self._stop.set()
        if self._tried:  # of these it has been said what is in use
            with suppress(Unavailable):
                self._log.retract(list(self._tried), self._instance)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._read()
            except Unavailable as error:
                log.warning("The log of activated models does not answer.", extra=fields(reason=str(error)))
                self._stop.wait(TRY_AGAIN_S)

    def _read(self) -> None:
        self._bus.partitions(MODEL_ACTIVATED.name)
        consumer = self._bus.read({TopicPartition(MODEL_ACTIVATED.name, 0): "earliest"})
        try:
            while not self._stop.is_set():
                newest = {record.key: record for record in consumer.poll(500, POLL_S)}  # what was overtaken meanwhile is not loaded
                for record in newest.values():
                    decision = decision_of(record)
                    if decision is not None:
                        self._follow(decision)
        finally:
            consumer.close()

    def _follow(self, decision: ModelActivated) -> None:
        slot = self._slots.get(decision.task)
        if slot is None or decision in (slot.decision, self._tried.get(decision.task)):
            return
        self._tried[decision.task] = decision
        reason = ""
        try:
            slot.exchange(decision)
            log.info(
                "Another model is in use.", extra=fields(task=slot.task, model=decision.model, candidate=decision.candidate, share=decision.share)
            )
        except EngineUnusable as error:
            reason = str(error)
            log.error("A model could not be loaded; the one before stays in use.", extra=fields(task=slot.task, model=decision.model, reason=reason))
        in_force = slot.decision
        try:
            self._log.report(ModelLoaded(slot.task, self._instance, in_force.model, in_force.candidate, reason, time.time(), in_force.shadow))
        except Unavailable as error:
            log.warning("Which model is in use could not be reported.", extra=fields(task=slot.task, reason=str(error)))
