"""The open sessions of a stage, each with the engine it holds."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from voxrelay.models.slot import EngineSupply, Loaded


class _Holding(Protocol):
    @property
    def loaded(self) -> Loaded[Any]: ...


SessionType = TypeVar("SessionType", bound=_Holding)


class OpenSessions(dict[str, SessionType]):
    """Sessions by id. One that ends holds its engine until ``leave_ended``, when the batch it ended in is answered."""

    def __init__(self, slot: EngineSupply[Any]) -> None:
        super().__init__()
        self._slot = slot
        self._ended: list[SessionType] = []

    def end(self, session_id: str) -> SessionType | None:
        """The session that is open no more; None where there was none."""
        session = self.pop(session_id, None)
        if session is not None:
            self._ended.append(session)
        return session

    def leave_ended(self) -> None:
        while self._ended:
            self._slot.leave(self._ended.pop().loaded)
