"""Who calls, and what their plan allows."""

from __future__ import annotations

from dataclasses import dataclass

UNLIMITED = 0  # of any of a plan's numbers


@dataclass(frozen=True, slots=True)
class Plan:
    """What a key may use; 0 is without limit. ``models`` are the names allowed, empty for all."""

    name: str
    requests_per_minute: int = UNLIMITED
    concurrent_sessions: int = UNLIMITED
    minutes_per_month: int = UNLIMITED
    vocabulary_terms: int = UNLIMITED
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Caller:
    """``owner`` is the id of the key behind the call, empty where none is asked for. It is what sessions and usage are filed under."""

    owner: str
    plan: Plan


ANYBODY = Caller("", Plan("open"))
