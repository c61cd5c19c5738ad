"""How long audio and text are kept, and the job that removes what is older. 0 days keep them."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from voxrelay.settings import Settings
from voxrelay.storage.deletion import Deletions, Part, Proof

DAY_S = 86_400.0
BY = "retention"


class RetentionSettings(Settings):
    model_config = SettingsConfigDict(env_prefix="VOXRELAY_RETENTION_", extra="ignore", frozen=True)

    audio_days: float = Field(0, ge=0, le=36_500, description="days after a session was opened that its recordings are kept; 0 keeps them")
    text_days: float = Field(0, ge=0, le=36_500, description="days that words, speakers and attributes are kept; 0 keeps them")

    @property
    def days(self) -> dict[Part, float]:
        """Of the parts that are not kept for ever."""
        wanted: dict[Part, float] = {"audio": self.audio_days, "text": self.text_days}
        return {part: days for part, days in wanted.items() if days}


def due(deletions: Deletions, settings: RetentionSettings, now: float) -> dict[Part, int]:
    """How many sessions have a part that is too old, by part."""
    return {part: deletions.count_before(now - days * DAY_S, [part]) for part, days in settings.days.items()}


def run(deletions: Deletions, settings: RetentionSettings, now: float) -> Iterator[Proof]:
    """Delete what is too old, some sessions a step. The objects go with ``deletions.finish``."""
    for part, days in settings.days.items():
        yield from deletions.before(now - days * DAY_S, BY, [part], reason=BY)
