"""Loading an engine by name. Folder = capability, file = library: only ``load`` imports an adapter, and with it its library."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any


class EngineUnusable(Exception):
    """The configured engine cannot be used here; the message is one sentence that says what to do."""


def load(capability: str, table: Mapping[str, str], name: str, *, extra: str = "", **options: Any) -> Any:
    """An instance of the engine ``name``: ``table`` maps names to ``module:Class``. Never another engine instead.

    ``extra`` of the distribution brings the engine's library; it is called like the capability unless said otherwise.
    Raises ``EngineUnusable`` for an unknown name, a missing library or missing weights.
    """
    return adapter(capability, table, name, extra=extra)(**options)


def adapter(capability: str, table: Mapping[str, str], name: str, *, extra: str = "") -> Any:
    """The engine's class, its library imported, nothing loaded. Raises ``EngineUnusable`` for an unknown name or a missing library."""
    if name not in table:
        raise EngineUnusable(f"There is no {capability} engine '{name}': choose one of {', '.join(sorted(table))}.")
    module_name, _, class_name = table[name].partition(":")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        raise EngineUnusable(
            f"The {capability} engine '{name}' needs the library {error.name}: pip install 'voxrelay[{extra or capability}]'."
        ) from error
    return getattr(module, class_name)
