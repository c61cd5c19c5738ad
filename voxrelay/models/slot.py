"""The engines of one task in one process: the one in use, perhaps a candidate, and those that open sessions still hold.

A stage asks for a session's engine when the session opens; where no state of the session is the model's own, again whenever it saves the
session between two utterances; what it saves names the model. So a model changes at a checkpoint and nowhere else, and a replay has the
models that the first run had (docs/adr/0010). Threads: stages and calls take and leave from any thread; one thread alone, the follower's,
exchanges.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Generic, Protocol, TypeVar, runtime_checkable

from prometheus_client import Histogram

from voxrelay.engines import EngineUnusable
from voxrelay.errors import Unavailable
from voxrelay.events import Engine, ModelActivated
from voxrelay.telemetry import ENGINE_INFO, ENGINE_SECONDS, MODEL_LOADS, fields

log = logging.getLogger(__name__)


class Exchangeable(Protocol):
    """What an engine needs for it: a name. One that holds more than memory has an end as well (``Closable``)."""

    @property
    def engine(self) -> Engine: ...


@runtime_checkable
class Closable(Protocol):
    def close(self) -> None: ...


EngineType = TypeVar("EngineType", bound=Exchangeable)
Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(slots=True, eq=False)
class Loaded(Generic[EngineType]):
    """A model that is ready. ``model`` is empty for the engine that the settings name; ``identity`` is what results say of it."""

    model: str
    engine: EngineType
    holders: int = 0

    @property
    def identity(self) -> Engine:
        engine = self.engine.engine
        return replace(engine, version=f"{engine.version}+{self.model}") if self.model else engine


class EngineSupply(Protocol[EngineType]):
    """What a stage needs of a slot."""

    def take(self, session_id: str) -> Loaded[EngineType]: ...

    def take_again(self, session_id: str, model: str) -> Loaded[EngineType]: ...

    def take_same(self, model: str) -> Loaded[EngineType]: ...

    def renew(self, session_id: str, held: Loaded[EngineType]) -> Loaded[EngineType]: ...

    def leave(self, held: Loaded[EngineType]) -> None: ...

    def seconds(self, stage: str) -> Histogram: ...


class EngineSlot(Generic[EngineType]):
    """``load`` makes a model's engine, warm, and raises ``EngineUnusable`` when it cannot; without it nothing can be exchanged."""

    def __init__(self, task: str, configured: EngineType, load: Callable[[str], EngineType] | None = None) -> None:
        self.task = task
        self._load, self._lock = load, Lock()
        self._decision = ModelActivated(task)  # what is in force here: only models that are loaded
        self._ready: dict[str, Loaded[EngineType]] = {"": Loaded("", configured)}
        self._told: set[tuple[str, str, str, str]] = set()
        self._tell()

    # --- stages and calls ----------------------------------------------------------------------------------------------------

    @property
    def current(self) -> EngineType:
        """The engine of most sessions, for questions that take no time."""
        with self._lock:
            return self._ready[self._decision.model].engine

    @property
    def identity(self) -> Engine:
        """What results say of that engine."""
        with self._lock:
            return self._ready[self._decision.model].identity

    def take(self, session_id: str) -> Loaded[EngineType]:
        """The engine for a session that opens. Whoever takes one leaves it."""
        with self._lock:
            return self._held(self._chosen(session_id))

    def take_again(self, session_id: str, model: str) -> Loaded[EngineType]:
        """The engine a saved session had: loaded for it where it must be, else the one in use, which is logged."""
        try:
            return self.take_same(model)
        except EngineUnusable as error:
            log.error("A saved session goes on with another model than it had.", extra=fields(task=self.task, model=model, reason=str(error)))
            return self.take(session_id)

    def take_same(self, model: str) -> Loaded[EngineType]:
        """The engine of a saved session whose state is that model's own. Raises ``EngineUnusable`` when it cannot be had any more."""
        with self._lock:
            if model in self._ready:
                return self._held(model)
        fresh = self._made(model)
        with self._lock:
            known = self._ready.setdefault(model, fresh)
            self._tell()
            held = self._held(model)
        if known is not fresh:
            _close([fresh])
        return held

    def renew(self, session_id: str, held: Loaded[EngineType]) -> Loaded[EngineType]:
        """What the session has from here on: the same, or the model that has been activated since; the other is left."""
        with self._lock:
            chosen = self._chosen(session_id)
            if chosen == held.model:
                return held
            fresh = self._held(chosen)
        self.leave(held)
        return fresh

    def leave(self, held: Loaded[EngineType]) -> None:
        """An engine that nobody holds and no decision names is closed."""
        with self._lock:
            held.holders -= 1
            if unused := self._unused():
                self._tell()
        _close(unused)

    def seconds(self, stage: str) -> Histogram:
        """Where the stage counts its engine's calls."""
        return ENGINE_SECONDS.labels(stage)

    # --- the shadow ------------------------------------------------------------------------------------------------------------

    @property
    def shadow(self) -> EngineSupply[EngineType]:
        """What the stage of the model in the shadow takes its engine from."""
        return _Shadow(self)

    def is_shadowed(self, session_id: str) -> bool:
        """Whether the model in the shadow is to hear a session that opens now."""
        decision = self._decision
        return bool(decision.shadow) and part_of(session_id, b"shadow") < decision.shadow_share

    def take_shadow(self) -> Loaded[EngineType]:
        """Raises ``NothingInShadow``."""
        with self._lock:
            if not self._decision.shadow:
                raise NothingInShadow
            return self._held(self._decision.shadow)

    # --- the follower ----------------------------------------------------------------------------------------------------------

    def exchange(self, wanted: ModelActivated) -> ModelActivated:
        """Load what is wanted beside what there is, then let sessions have it. The decision now in force.

        Raises ``EngineUnusable`` with one sentence when a model cannot be loaded; all stays as it was. But a shadow that cannot be
        loaded keeps nothing else from changing: then the rest is in force, without it.
        """
        if wanted.shadow and wanted.shadow not in self._ready:
            self._load_and_use(replace(wanted, shadow="", shadow_share=0.0))
        return self._load_and_use(wanted)

    def _load_and_use(self, wanted: ModelActivated) -> ModelActivated:
        fresh: dict[str, Loaded[EngineType]] = {}
        try:
            for model in (wanted.model, wanted.candidate, wanted.shadow):
                if model and model not in self._ready and model not in fresh:
                    fresh[model] = self._made(model)
        except EngineUnusable:
            _close(list(fresh.values()))
            raise
        with self._lock:
            for model, loaded in fresh.items():
                self._ready.setdefault(model, loaded)
            self._decision = wanted
            unused = self._unused()
            self._tell()
        _close([*unused, *(loaded for model, loaded in fresh.items() if self._ready.get(model) is not loaded and loaded not in unused)])
        return wanted

    @property
    def decision(self) -> ModelActivated:
        with self._lock:
            return self._decision

    def models(self) -> set[str]:
        """Those that are loaded."""
        with self._lock:
            return set(self._ready)

    def close(self) -> None:
        with self._lock:
            everything = list(self._ready.values())
        _close(everything)

    # --- inside ----------------------------------------------------------------------------------------------------------------

    def _made(self, model: str) -> Loaded[EngineType]:
        if self._load is None:
            raise EngineUnusable(f"The engine for '{self.task}' cannot be exchanged here.")
        try:
            loaded = Loaded(model, self._load(model))
        except (EngineUnusable, Unavailable) as error:
            MODEL_LOADS.labels(self.task, "failed").inc()
            raise EngineUnusable(str(error)) from error
        except Exception as error:  # a library may raise anything over a model it cannot read; the service goes on with what it has
            MODEL_LOADS.labels(self.task, "failed").inc()
            log.warning("A model's library failed.", extra=fields(task=self.task, model=model), exc_info=True)
            raise EngineUnusable(f"The model '{model}' could not be loaded ({type(error).__name__}): check that its files fit its engine.") from error
        MODEL_LOADS.labels(self.task, "loaded").inc()
        return loaded

    def _tell(self) -> None:
        """Which engines are ready here, for whoever watches."""
        ready = {(self.task, one.name, one.version, one.model_digest) for one in (loaded.identity for loaded in self._ready.values())}
        for gone in self._told - ready:
            ENGINE_INFO.remove(*gone)
        for engine in ready:
            ENGINE_INFO.labels(*engine).set(1)
        self._told = ready

    def _chosen(self, session_id: str) -> str:
        """The same for a session whoever asks, as long as the decision is: by the hash of its id."""
        decision = self._decision
        return decision.candidate if decision.candidate and part_of(session_id) < decision.share else decision.model

    def _held(self, model: str) -> Loaded[EngineType]:
        loaded = self._ready[model]
        loaded.holders += 1
        return loaded

    def _unused(self) -> list[Loaded[EngineType]]:
        """Takes out what may go. The configured engine stays: it is what a failure falls back to."""
        named = {"", self._decision.model, self._decision.candidate, self._decision.shadow}
        return [self._ready.pop(model) for model, loaded in list(self._ready.items()) if loaded.holders <= 0 and model not in named]


class NothingInShadow(LookupError):
    """It was taken out meanwhile."""


@dataclass(frozen=True, slots=True)
class _Shadow(Generic[EngineType]):
    """Every session has the model in the shadow; none is saved."""

    slot: EngineSlot[EngineType]

    def take(self, session_id: str) -> Loaded[EngineType]:  # noqa: ARG002  # the same for all
        return self.slot.take_shadow()

    def take_again(self, session_id: str, model: str) -> Loaded[EngineType]:  # noqa: ARG002  # as above
        return self.slot.take_shadow()

    def take_same(self, model: str) -> Loaded[EngineType]:  # noqa: ARG002  # as above
        return self.slot.take_shadow()

    def renew(self, session_id: str, held: Loaded[EngineType]) -> Loaded[EngineType]:  # noqa: ARG002  # as above
        return held

    def leave(self, held: Loaded[EngineType]) -> None:
        self.slot.leave(held)

    def seconds(self, stage: str) -> Histogram:
        """Apart from the live stage's, which is what a caller waits for."""
        return ENGINE_SECONDS.labels(f"{stage}.shadow")


def part_of(session_id: str, purpose: bytes = b"share") -> float:
    """Where in [0, 1) a session stands, evenly spread and always the same; for another purpose elsewhere."""
    return int.from_bytes(hashlib.blake2b(session_id.encode(), digest_size=8, person=purpose).digest()) / 2**64


def answers(work: Sequence[tuple[Loaded[EngineType], Item]], ask: Callable[[EngineType, list[Item]], Sequence[Answer]]) -> list[Answer]:
    """One call an engine for all that is due to it, whichever sessions it is of. In the order of the work."""
    found: dict[int, Answer] = {}
    for loaded in dict.fromkeys(loaded for loaded, _ in work):
        places = [place for place, (owner, _) in enumerate(work) if owner is loaded]
        found.update(zip(places, ask(loaded.engine, [work[place][1] for place in places]), strict=True))
    return [found[place] for place in range(len(work))]


def _close(unused: Sequence[Loaded[EngineType]]) -> None:
    for loaded in unused:
        if isinstance(loaded.engine, Closable):
            loaded.engine.close()
