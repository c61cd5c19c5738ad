"""What a key may use, as data: the gateway enforces it, the command line and the pages name it."""

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


PLANS = {
    plan.name: plan
    for plan in (
        Plan("free", 100, 2, 300, 20),
        Plan("developer", 100, 10, 10_000, 100),
        Plan("professional", 100, 50, 50_000, 1000),
        Plan("enterprise", 100, UNLIMITED, UNLIMITED, UNLIMITED),
    )
}
