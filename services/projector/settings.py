"""What can be set: variables ``VOXRELAY_PROJECTOR_<NAME>``."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from voxrelay.settings import Settings


class ProjectorSettings(Settings):
    model_config = SettingsConfigDict(env_prefix="VOXRELAY_PROJECTOR_", extra="ignore", frozen=True)

    uploads: int = Field(8, ge=1, le=64, description="objects on their way to the object store at once")
