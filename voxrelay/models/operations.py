"""What an operator does with models, for the command line and the gateway alike: show them, put one into use, go back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from voxrelay.events import ModelActivated
from voxrelay.models.activations import ActivationLog, activated, rolled_back, shadowed
from voxrelay.models.catalogue import ModelEntry
from voxrelay.models.registry import ModelRegistry


class ModelOperations:
    """Thread-safe. Without a log models are shown and nothing is activated."""

    def __init__(self, registry: ModelRegistry, log: ActivationLog | None, clock: Callable[[], float] = time.time) -> None:
        self.registry, self._log, self._clock = registry, log, clock

    def rows(self, task: str = "") -> list[dict[str, Any]]:
        """Every model, with what it is used for. Raises ``Unavailable``."""
        decisions = self._log.decisions() if self._log is not None else {}
        return [self._row(entry, decisions.get(entry.task)) for entry in self.registry.entries() if task in ("", entry.task)]

    def row(self, name: str) -> dict[str, Any]:
        """One of them, with its files. Raises ``EngineUnusable`` for an unknown name, ``Unavailable``."""
        entry = self.registry.entry(name)
        decision = self._log.decision(entry.task) if self._log is not None else None
        files = [{"path": file.path, "sha256": file.sha256, "size_bytes": file.size_bytes} for file in entry.files]
        more = {"summary": entry.summary, "licence_url": entry.licence_url, "options": dict(entry.options), "files": files}
        return self._row(entry, decision) | more

    def states(self) -> list[dict[str, Any]]:
        """What each process works with, and why where that is not what was asked for. Raises ``Unavailable``."""
        return [asdict(state) for state in self._log.states()] if self._log is not None else []

    def activate(self, name: str, share: float = 1.0) -> ModelActivated:
        """For all sessions, or as a candidate for a share of them. Raises ``EngineUnusable``, ``Refused``, ``Unavailable``."""
        entry = self.registry.entry(name)
        log = self._needed_log()
        decision = activated(log.decision(entry.task), entry, self._clock(), share)
        if entry.files:
            self.registry.path(name)  # here and right, or an error that says what to do
        log.decide(decision)
        return decision

    def shadow(self, name: str, share: float = 1.0) -> ModelActivated:
        """Let it hear a share of the live sessions, answering nobody; 0 ends that. Raises ``EngineUnusable``, ``Refused``, ``Unavailable``."""
        entry = self.registry.entry(name)
        log = self._needed_log()
        decision = shadowed(log.decision(entry.task), entry, self._clock(), share)
        if entry.files and share:
            self.registry.path(name)
        log.decide(decision)
        return decision

    def rollback(self, task: str) -> ModelActivated:
        """Raises ``Refused`` where there is nothing to go back to, ``Unavailable``."""
        log = self._needed_log()
        decision = rolled_back(log.decision(task), self._clock())
        log.decide(decision)
        return decision

    def _needed_log(self) -> ActivationLog:
        if self._log is None:
            raise ValueError("no log of activations")
        return self._log

    def _row(self, entry: ModelEntry, decision: ModelActivated | None) -> dict[str, Any]:
        use = ""
        if decision is not None and entry.name == decision.model:
            use = "active"
        elif decision is not None and entry.name == decision.candidate:
            use = f"candidate for {decision.share:.0%}"
        elif decision is not None and entry.name == decision.shadow:
            use = f"in the shadow of {decision.shadow_share:.0%}"
        return {
            "name": entry.name,
            "task": entry.task,
            "engine": entry.engine,
            "languages": list(entry.languages),
            "size_bytes": entry.size_bytes,
            "licence": entry.licence,
            "source": entry.source,
            "revision": entry.revision,
            "digest": entry.digest,
            "is_installed": self.registry.is_installed(entry.name),
            "use": use,
        }
