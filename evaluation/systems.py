"""What is compared: engines and models by name, each beside the same without any processing before it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from services.engines import CHOICES
from voxrelay.engines import EngineUnusable
from voxrelay.events import SessionConfig
from voxrelay.models.registry import ModelRegistry
from voxrelay.settings import PlatformSettings, load_settings

UNPROCESSED = "unprocessed"
FIXED = ("sample_rate_hz", "channels", "stages", "interim_results", "attributes", "custom_vocabulary", "owner")  # of a session: not to be chosen


@dataclass(frozen=True, slots=True)
class System:
    """The settings that are in force while it runs, and what its sessions ask for."""

    name: str
    settings: Mapping[str, str] = field(default_factory=dict)
    session: Mapping[str, Any] = field(default_factory=dict)

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Settings are read from the environment when an engine is made; this process has no other use of them meanwhile."""
        before = {name: os.environ.get(name) for name in self.settings}
        os.environ.update(self.settings)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def system(name: str, session: Mapping[str, Any]) -> System:
    """``name`` is an engine (``dtln``), a model of the registry (``dtln-int8``), or several with + between them (``dtln+pocketsphinx``).

    What is not named is as the settings say. Raises ``EngineUnusable``.
    """
    settings: dict[str, str] = {}
    for part in name.split("+"):
        settings |= _settings_of(part)
    return System(name, settings, session)


def unprocessed(task_baseline: Mapping[str, Any], beside: System) -> System:
    """The same system, behind the passthrough in place of a suppressor."""
    settings = {name: value for name, value in beside.settings.items() if name != "VOXRELAY_DENOISE_MODEL"}
    return System(UNPROCESSED, settings | {"VOXRELAY_DENOISE_ENGINE": "passthrough"}, {**beside.session, **task_baseline})


def _settings_of(name: str) -> dict[str, str]:
    for choice in CHOICES:
        if name in choice.table:
            return {_variable(choice.settings, choice.setting): name}
    registry = ModelRegistry(load_settings(PlatformSettings).models)
    known = {entry.name: entry for entry in registry.entries()}
    if name not in known:
        engines = ", ".join(sorted(engine for choice in CHOICES for engine in choice.table))
        raise EngineUnusable(f"There is no engine or model '{name}': engines are {engines}; 'voxrelay models list' names the models.")
    entry = known[name]
    for choice in CHOICES:
        model = "model" if choice.setting == "engine" else f"{choice.setting}_model"
        if entry.engine in choice.table and model in choice.settings.model_fields:
            return {_variable(choice.settings, choice.setting): entry.engine, _variable(choice.settings, model): name}
    raise EngineUnusable(f"'{name}' is a model of '{entry.engine}', which no service can be told to use by a setting.")


def _variable(settings: Any, setting: str) -> str:
    return f"{settings.model_config['env_prefix']}{setting.upper()}"


def session_options(texts: list[str]) -> dict[str, Any]:
    """``NAME=VALUE`` of what a session may ask for (``noise_suppression=1``). Raises ``EngineUnusable``."""
    known = {name: type(value) for name, value in asdict(SessionConfig()).items() if name not in FIXED}
    options: dict[str, Any] = {}
    for text in texts:
        name, found, value = text.partition("=")
        if not found or name not in known:
            raise EngineUnusable(f"'{text}' is nothing a session asks for: write NAME=VALUE with one of {', '.join(known)}.")
        try:
            options[name] = value == "true" if known[name] is bool else known[name](value)
        except ValueError:
            raise EngineUnusable(f"'{value}' cannot be {name}.") from None
    return options
