"""Which voice speaks for whom."""

from __future__ import annotations

from collections.abc import Sequence


def names_in(asked: str) -> list[str]:
    """The names of a comma-separated list."""
    return [name.strip() for name in asked.split(",") if name.strip()]


def voice_names(asked: str, base: str, variants: Sequence[str], speakers: int) -> list[str]:
    """A voice for each speaker: those asked for (comma-separated) in turn, else the base voice and its variants."""
    given = names_in(asked)
    if len(given) == 1 and "+" not in given[0]:
        base, given = given[0], []
    names = given or [base, *(f"{base}+{variant}" for variant in variants)]
    return [names[speaker % len(names)] for speaker in range(max(1, speakers))]
