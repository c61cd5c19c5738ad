"""Which fault when, decided by a seed alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.chaos.faults import KINDS

FIRST_S = 3.0  # people have begun to speak
QUIET_S = 4.0  # at the end, so that what begins late is still during speech


@dataclass(frozen=True, slots=True)
class Fault:
    """Seconds since the run began."""

    kind: str
    target: str
    at_s: float
    lasts_s: float


def every_fault(kinds: Sequence[str]) -> list[tuple[str, str]]:
    """Each kind with each of its targets. Raises ``ValueError`` for a kind that is none."""
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ValueError(f"There is no fault '{unknown[0]}': choose from {', '.join(KINDS)}.")
    return [(kind, target) for kind in kinds for target in KINDS[kind].targets]


def deal(seed: int, rounds: int, faults: Sequence[tuple[str, str]], of_each: int | None = None) -> list[list[tuple[str, str]]]:
    """All faults once, shared out over the rounds; every kind is spread over as many of them as it can be.

    ``of_each``: only so many targets of each kind, which the seed chooses.
    """
    chance = random.Random(seed)
    by_kind: dict[str, list[str]] = {}
    for kind, target in faults:
        by_kind.setdefault(kind, []).append(target)
    hands: list[list[tuple[str, str]]] = [[] for _ in range(rounds)]
    turn = 0
    for kind, targets in by_kind.items():
        chance.shuffle(targets)
        for target in targets[:of_each]:
            hands[turn % rounds].append((kind, target))
            turn += 1
    return hands


def plan(seed: int, span_s: float, faults: Sequence[tuple[str, str]]) -> list[Fault]:
    """These faults in any order, each somewhere in its share of the time that people speak, so that they overlap now and then."""
    chance = random.Random(seed)
    order = list(faults)
    chance.shuffle(order)
    share_s = max(0.0, span_s - FIRST_S - QUIET_S) / max(1, len(order))
    planned = []
    for number, (kind, target) in enumerate(order):
        shortest, longest = KINDS[kind].lasts_s
        planned.append(Fault(kind, target, round(FIRST_S + (number + chance.random()) * share_s, 2), round(chance.uniform(shortest, longest), 2)))
    return sorted(planned, key=lambda fault: fault.at_s)
