"""Who calls, and what their plan allows."""

from __future__ import annotations

from dataclasses import dataclass

from voxrelay.plans import UNLIMITED, Plan

__all__ = ["ANYBODY", "UNLIMITED", "Caller", "Plan"]


@dataclass(frozen=True, slots=True)
class Caller:
    """``owner`` is the id of the key behind the call, empty where none is asked for. It is what sessions and usage are filed under.

    ``is_admin`` sees what belongs to others. ``user`` is who logged in, empty for a key; ``token_ends_at`` is when the token presented
    ends (seconds since the epoch), 0 for a key.
    """

    owner: str
    plan: Plan
    is_admin: bool = False
    user: str = ""
    token_ends_at: float = 0.0

    @property
    def sees(self) -> str | None:
        """Whose stored sessions and usage are shown: this owner's, or None for everybody's."""
        return None if self.is_admin else self.owner


ANYBODY = Caller("", Plan("open"), is_admin=True)
